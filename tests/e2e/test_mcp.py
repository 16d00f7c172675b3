"""`inferium mcp`: a network as tools of an assistant, by the protocol's own SDK, in both its eras."""

import asyncio
import json

import pytest
from mcp import Client, StdioServerParameters
from mcp_types import ElicitResult
from network import BINARY, Network
from test_runs import DOCUMENTS, publish

# Asks while a call goes on; and ends a call with its question.
ERAS = ("legacy", "auto")


@pytest.fixture(scope="module")
def network(tmp_path_factory):
    with Network(tmp_path_factory.mktemp("mcp") / "data", "--engine", "mock", model="mock") as running:
        publish(running, tmp_path_factory.mktemp("agents"), "reader", DOCUMENTS)
        yield running


def talk(network, do, *arguments, era="auto", answer=None):
    """What `do` gives of a client of a server with these arguments; `answer` is what its user says when asked."""
    server = StdioServerParameters(command=str(BINARY), args=["mcp", "--data", str(network.data), *arguments])
    asked = []

    async def user(_, params):
        asked.append(params.message)
        return ElicitResult(action=answer)

    async def run():
        async with Client(server, mode=era, elicitation_callback=user if answer else None) as client:
            return await do(client)

    return asyncio.run(run()), asked


def call(network, name, fields=None, *arguments, **more):
    result, asked = talk(network, lambda client: client.call_tool(name, fields or {}), *arguments, **more)
    if result.is_error:
        return result.content[0].text, asked
    assert json.loads(result.content[0].text) == result.structured_content
    return result.structured_content, asked


def balance(network, account):
    shown = network.run("wallet", "balance", account, "--data", network.data, "--json")
    assert shown.returncode == 0, shown.stderr
    return json.loads(shown.stdout)["balance_nano"]


def stranger(number):
    """Somebody's address, who holds nothing."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    return Ed25519PrivateKey.from_private_bytes(bytes([number] * 32)).public_key().public_bytes_raw().hex()


@pytest.mark.parametrize("era", ERAS)
def test_models_and_agents_answer_and_the_receipt_is_verified(network, era):
    async def do(client):
        tools = [tool.name for tool in (await client.list_tools()).tools]
        models = (await client.call_tool("models", {})).structured_content["models"]
        agents = (await client.call_tool("agents", {})).structured_content["agents"]
        answer = (await client.call_tool("ask", {"prompt": "Hi!", "tokens_max": 8})).structured_content
        run = (await client.call_tool("run_agent", {"agent": "reader", "task": "What do bees make?"})).structured_content
        receipt = (await client.call_tool("receipt", {"job": answer["jobs"][0]})).structured_content
        left = (await client.call_tool("network", {})).structured_content
        return tools, models, agents, answer, run, receipt, left

    (tools, models, agents, answer, run, receipt, left), asked = talk(network, do, era=era)
    assert tools == ["network", "models", "agents", "ask", "run_agent", "receipt", "balance", "transaction"]
    assert [model["id"] for model in models] == ["mock"] and [agent["name"] for agent in agents] == ["reader"]
    assert answer["answer"] and answer["usage"]["completion_tokens"] <= 8
    assert receipt["valid"] and receipt["job"] == answer["jobs"][0]
    assert receipt["prompt_tokens"] == answer["usage"]["prompt_tokens"]
    assert run["output"] if "output" in run else run["answer"]
    spent = answer["usage"]["cost_nano"] + run["cost_nano"]
    assert round((float(left["spend_max"]) - float(left["spend_left"])) * 1e9) == spent > 0
    assert asked == [] and left["account"] is None and left["network_key"] == network.network_key


@pytest.mark.parametrize("era", ERAS)
def test_a_transfer_is_sent_once_its_user_agrees(network, era):
    to = stranger(1 + ERAS.index(era))
    fields = {"to": to, "amount": "0.5"}
    signing = ("--as", "account", "--spend-max", "1")
    for answer in ("decline", "cancel"):
        told, asked = call(network, "transfer", fields, *signing, era=era, answer=answer)
        assert "did not agree" in told and len(asked) == 1 and balance(network, to) == 0
    told, asked = call(network, "transfer", fields, *signing, era=era, answer="accept")
    assert told["status"] == "final" and told["failed"] is None, told
    assert to in asked[0] and "0.5 IFR" in asked[0]
    assert balance(network, to) == 500_000_000
    shown, _ = call(network, "transaction", {"transaction": told["transaction"]}, era=era)
    assert (shown["status"], shown["height"]) == ("final", told["height"])
    held, _ = call(network, "balance", {"account": to}, era=era)
    assert held["balance_nano"] == 500_000_000


def test_nothing_is_sent_unasked_or_beyond_the_limit(network):
    to = stranger(9)
    fields = {"to": to, "amount": "0.5"}
    for era in ERAS:
        told, _ = call(network, "transfer", fields, "--as", "account", "--spend-max", "1", era=era)
        assert "--yes" in told
        told, asked = call(network, "transfer", fields, "--as", "account", "--spend-max", "0.5", era=era, answer="accept")
        assert "--spend-max" in told and asked == [], "its fee does not fit"
    assert balance(network, to) == 0

    async def two(client):
        return [await client.call_tool("transfer", fields) for _ in range(2)]

    (first, second), _ = talk(network, two, "--as", "account", "--spend-max", "0.9", "--yes")
    assert not first.is_error and second.is_error and "--spend-max" in second.content[0].text
    assert balance(network, to) == 500_000_000


def test_models_and_agents_spend_no_more_than_the_limit(network):
    told, _ = call(network, "ask", {"prompt": "Hi!"}, "--spend-max", "0")
    assert "--spend-max" in told
    told, _ = call(network, "run_agent", {"agent": "reader", "task": "x"}, "--spend-max", "0.000000001")
    assert "--spend-max" in told


def test_wrong_calls_are_named(network):
    async def wrong(client):
        told = []
        for name, fields in (("fly", {}), ("ask", {}), ("ask", {"prompt": "x", "more": 1}), ("transfer", {})):
            with pytest.raises(Exception) as error:
                await client.call_tool(name, fields)
            told.append(str(error.value))
        return told

    told, _ = talk(network, wrong)
    assert "fly" in told[0] and "prompt" in told[1] and "more" in told[2] and "--as" in told[3]
    for name, fields, word in (
        ("receipt", {"job": "00"}, "64 hex"),
        ("receipt", {"job": "00" * 32}, "knows no job"),
        ("balance", {"account": "me"}, "`account`"),
        ("balance", {}, "no account signs"),
        ("transaction", {"transaction": "../agents"}, "64 hex"),
        ("run_agent", {"agent": "../models", "task": "x"}, "no agent"),
        ("run_agent", {"agent": "nobody", "task": "x"}, "nobody"),
        ("ask", {"prompt": "x", "model": "huge"}, "mock"),
    ):
        told, _ = call(network, name, fields)
        assert word in told, (name, told)


def test_a_key_that_is_not_there_is_said_before_anything_else(network):
    told = network.run("mcp", "--data", network.data, "--as", "nobody", stdin="")
    assert told.returncode == 2 and "nobody" in told.stderr and told.stdout == ""
