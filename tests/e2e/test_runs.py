"""Runs of agents: opened on the chain, hosted by a worker, judged by validators, paid to the nano-IFR."""

import json
import socket
import subprocess
import threading
import time

import openai
import pytest
from network import BINARY, Network

NANO = 1_000_000_000
HEAD = 'name = "{name}"\nmodel = "mock"\nprice = "0.01"\nsystem_prompt = "Be brief."\n'
LIMITS = "[limits]\nsteps = {steps}\ntokens = {tokens}\ntool_calls = 4\nseconds = 60\n"


@pytest.fixture(scope="module")
def network(tmp_path_factory):
    with Network(tmp_path_factory.mktemp("runs") / "data", "--engine", "mock", model="mock") as running:
        yield running


def studio(network, *arguments, code=0):
    done = network.run("studio", *arguments, "--data", network.data, "--json")
    assert done.returncode == code, done.stdout + done.stderr
    return json.loads(done.stdout) if done.stdout.strip() else done.stderr


def publish(network, folder, name, more="", steps=3, tokens=20_000):
    file = folder / f"{name}.toml"
    file.write_text(HEAD.format(name=name) + more + LIMITS.format(steps=steps, tokens=tokens))
    studio(network, "publish", file, "--as", "account", "--yes")
    return file


DOCUMENTS = """
[tools.documents]
builtin = "documents"
[[prepare]]
tool = "documents__search"
arguments = { query = "{task}", k = 2 }
"""


@pytest.fixture(scope="module")
def agents(network, tmp_path_factory):
    folder = tmp_path_factory.mktemp("agents")
    publish(network, folder, "plain")
    publish(network, folder, "reader", DOCUMENTS)
    publish(network, folder, "poor", tokens=10)
    publish(network, folder, "secretive", 'secrets = ["TOKEN"]\n')
    return folder


def post(network, body):
    return network.request("/v1/runs", body)


def final(network, job, timeout=60):
    deadline = time.monotonic() + timeout
    while True:
        status, receipt = network.receipt(job)
        if status == 200 and receipt["status"] in ("final", "settled"):
            return receipt
        assert time.monotonic() < deadline, receipt
        time.sleep(0.3)


def test_a_run_is_answered_judged_and_paid(network, agents):
    before = studio(network, "show", "plain")["earned"]
    status, _, run = post(network, {"agent": "plain", "input": "What is a lease?"})
    assert status == 200 and run["status"] == "completed" and run["answer"], run
    [call] = run["calls"]
    assert call["type"] == "model" and call["prompt_tokens"] > 0 and call["text"].strip() == run["answer"]
    # What it costs is the agent's price and its model calls.
    assert run["cost_nano"] == NANO // 100 + round(float(call["cost"]) * NANO)
    # The run and its model call have receipts, which verify offline.
    for job in (run["inferium"]["job"], call["job"]):
        final(network, job)
    deadline = time.monotonic() + 90
    while (earned := studio(network, "show", "plain")["earned"])["runs"] == before["runs"]:
        assert time.monotonic() < deadline, "settled after the challenge window"
        time.sleep(0.5)
    parts = ("hosts_nano", "creator_nano", "committees_nano", "treasury_nano")
    paid = {part: earned[part] - before[part] for part in parts}
    assert paid["hosts_nano"] == NANO // 100 * 60 // 100 and paid["creator_nano"] == NANO // 100 * 25 // 100
    assert sum(paid.values()) == earned["fees_nano"] - before["fees_nano"] == NANO // 100


def test_who_paid_for_a_run_may_review_its_agent(network, agents):
    def shown():
        return network.request("/v1/agents/poor")[2]["reviews"], network.request("/v1/agents/plain")[2]["reviews"]

    runs = [post(network, {"agent": "plain", "input": f"What is {thing}?"})[2] for thing in ("a lease", "a fee")]
    addresses = [f"/v1/runs/{run['id']}/review" for run in runs]
    final(network, runs[0]["inferium"]["job"])
    final(network, runs[1]["inferium"]["job"])
    assert runs[0]["took_ms"] >= runs[0]["calls"][0]["took_ms"] >= 0
    good = network.request(addresses[0], {"rating": 5, "text": "It says what a lease is. <b>Good</b>"}, method="PUT")
    assert good[0] == 200 and good[2]["run"] == runs[0]["id"] and good[2]["job"] == runs[0]["inferium"]["job"], good
    told = studio(network, "review", runs[1]["id"], "--rating", 2, "Too", "short.")
    assert (told["rating"], told["text"]) == (2, "Too short.")
    none, both = shown()
    assert none["count"] == 0 and none["newest"] == []
    assert (both["count"], both["mean_hundredths"]) == (2, 350)
    assert [one["run"] for one in both["newest"]] == [runs[1]["id"], runs[0]["id"]] and both["newest"][1]["version"] == 1
    # One for each run: another one takes its place, and it can be taken back.
    assert network.request(addresses[1], {"rating": 4}, method="PUT")[0] == 200
    assert (shown()[1]["count"], shown()[1]["mean_hundredths"]) == (2, 450)
    assert network.request(addresses[1], method="DELETE")[0] == 200 and shown()[1]["count"] == 1
    # Not of others' runs, not of none, and not of one that came to nothing.
    made = network.run("key", "create", "--name", "reviewer", "--data", network.data, "--json")
    other = json.loads(made.stdout)["secret"]
    assert network.request(addresses[0], {"rating": 1}, key=other, method="PUT")[0] == 404
    assert network.request(addresses[0], key=other, method="DELETE")[0] == 404
    assert network.request(f"/v1/runs/{'0' * 64}/review", {"rating": 1}, method="PUT")[0] == 404
    status, _, failed = post(network, {"agent": "poor", "input": "What is a lease?"})
    assert status >= 400, failed
    run = next(run for run in network.request("/v1/runs")[2]["data"] if run["agent"]["name"] == "poor")
    status, _, refused = network.request(f"/v1/runs/{run['id']}/review", {"rating": 1}, method="PUT")
    assert status == 400 and refused["error"]["param"] == "run_id", refused
    assert shown()[0]["count"] == 0 and shown()[1]["count"] == 1


def test_tools_see_the_files_of_the_run(network, agents):
    files = [
        {"name": "leases.md", "content": "A lease is ten minutes long.\n"},
        {"name": "fees.md", "content": "A fee is never negative.\n"},
    ]
    status, _, run = post(network, {"agent": "reader", "input": "How long is a lease?", "files": files})
    assert status == 200, run
    tool = run["calls"][0]
    assert (tool["type"], tool["name"], tool["failed"]) == ("tool", "documents__search", False)
    assert "leases.md" in tool["response"] and "ten minutes" in tool["response"]
    assert json.loads(tool["arguments"])["query"] == "How long is a lease?"
    final(network, run["inferium"]["job"])
    # It is kept for its key, and for no other.
    status, _, kept = network.request(f"/v1/runs/{run['id']}")
    assert status == 200 and kept == run
    _, _, listed = network.request("/v1/runs")
    assert run["id"] in [one["id"] for one in listed["data"]] and "calls" not in listed["data"][0]
    made = network.run("key", "create", "--name", "stranger", "--data", network.data, "--json")
    stranger = openai.OpenAI(base_url=network.base_url, api_key=json.loads(made.stdout)["secret"], max_retries=0)
    with pytest.raises(openai.NotFoundError):
        stranger.get(f"/runs/{run['id']}", cast_to=object)


def test_an_agent_is_a_model_of_the_usual_clients(network, agents):
    client = openai.OpenAI(base_url=network.base_url, api_key=network.api_key, max_retries=0)
    asked = [{"role": "user", "content": "What is a lease?"}]
    whole = client.chat.completions.create(model="studio/plain", messages=asked)
    assert whole.choices[0].message.content and whole.choices[0].finish_reason == "stop"
    assert whole.usage.total_tokens > 0 and whole.model_extra["inferium"]["run"]
    stream = client.chat.completions.create(
        model="studio/plain", messages=asked, stream=True, stream_options={"include_usage": True}
    )
    chunks = list(stream)
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert text and chunks[-1].usage.total_tokens > 0
    for field in ({"temperature": 0.5}, {"max_tokens": 5}, {"n": 2}, {"stop": "x"}, {"seed": 1}):
        with pytest.raises(openai.BadRequestError) as refused:
            client.chat.completions.create(model="studio/plain", messages=asked, **field)
        assert refused.value.param in field
    with pytest.raises(openai.NotFoundError):
        client.chat.completions.create(model="studio/nobody", messages=asked)


def test_the_command_line_tells_what_a_run_does(network, agents, tmp_path):
    notes = tmp_path / "notes"
    notes.mkdir()
    (notes / "a.md").write_text("Bees make honey.\n")
    done = network.run("studio", "run", "reader", "What do bees make?", "--file", notes, "--data", network.data)
    assert done.returncode == 0 and done.stdout.strip(), done.stderr
    assert "tool   documents__search done" in done.stderr and "model  " in done.stderr
    listed = studio(network, "runs")["data"][0]
    assert listed["agent"]["name"] == "reader" and listed["status"] == "completed"
    logs = network.run("studio", "logs", listed["id"], "--data", network.data)
    assert "Bees make honey." in logs.stdout and listed["cost"] in logs.stdout
    assert "is no id" in studio(network, "logs", "x", code=2)


def test_what_comes_to_nothing_costs_nothing_but_its_model_calls(network, agents):
    def left():
        return network.request("/v1/key")[2]["left_nano"]

    cases = [
        ({"agent": "poor", "input": "x"}, 502, "run_failed", "tokens"),
        ({"agent": "secretive", "input": "x"}, 502, "run_failed", "TOKEN"),
        ({"agent": "nobody", "input": "x"}, 404, "agent_not_found", "nobody"),
        ({"agent": "plain"}, 400, "invalid_value", "input"),
        ({"agent": "plain", "input": "x", "files": [{"name": "../a", "content": ""}]}, 400, "invalid_value", "name"),
        ({"agent": "plain", "input": "x", "files": [{"name": "a"}]}, 400, "invalid_value", "content"),
        ({"agent": "plain", "input": "x", "more": 1}, 400, "unsupported_parameter", "more"),
        ({"agent": "plain", "input": "x", "price_max": "0.009"}, 400, "invalid_value", "costs 0.01"),
        ({"agent": "plain", "input": "x", "version": "0" * 64}, 400, "invalid_value", "version is"),
        ({"agent": "plain", "input": "x", "secrets": {"LD_PRELOAD": "./x.so"}}, 400, "invalid_value", "secrets"),
        ({"agent": "plain", "input": "x" * 70_000}, 400, "invalid_value", "input"),
    ]
    before = left()
    for body, code, kind, says in cases:
        status, _, answer = post(network, body)
        assert (status, answer["error"]["code"]) == (code, kind), answer
        assert says in answer["error"]["message"], answer
    assert left() == before
    shown = network.request("/v1/agents/plain")[2]
    exact = {"agent": "plain", "input": "x", "price_max": "0.01", "version": shown["version_digest"]}
    assert post(network, exact)[0] == 200
    status, _, run = post(network, {"agent": "secretive", "input": "x", "secrets": {"TOKEN": "t"}})
    assert status == 200 and run["answer"], run


def test_a_manifest_is_the_one_on_the_chain_or_none(network, agents):
    agent = studio(network, "show", "plain")["agent"]
    text = (agents / "plain.toml").read_text()
    put = network.request(f"/v1/agents/{agent}/manifest", raw=text.replace("brief", "long").encode(), method="PUT")
    assert put[0] == 400 and "the chain has" in put[2]["error"]["message"]
    assert network.request(f"/v1/agents/{agent}/manifest", raw=text.encode(), method="PUT")[0] == 200
    _, _, shown = network.request(f"/v1/agents/{agent}")
    assert shown["manifest"] == text and shown["model_name"] == "studio/plain"
    assert "plain" in [one["name"] for one in network.request("/v1/agents")[2]["data"]]
    assert network.request("/v1/agents/nobody")[0] == 404
    page = network.request("/v1/agents?limit=1")[2]
    more = network.request(f"/v1/agents?limit=1&after={page['last_id']}")[2]
    assert page["has_more"] and len(page["data"]) == len(more["data"]) == 1 and page["data"] != more["data"]
    assert network.request("/v1/agents?limit=0")[0] == network.request("/v1/agents?after=x")[0] == 400


def test_runs_that_nobody_waits_for_leave_no_lease(network, agents):
    url = network.base_url.removesuffix("/v1").removeprefix("http://")
    host, port = url.split(":")
    body = json.dumps({"agent": "plain", "input": "x"}).encode()
    head = f"POST /v1/runs HTTP/1.1\r\nhost: {url}\r\nauthorization: Bearer {network.api_key}\r\n"
    head += f"content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
    for wait in (0, 0.02, 0.05, 0.1, 0.2) * 4:
        with socket.create_connection((host, int(port))) as connection:
            connection.sendall(head.encode() + body)
            time.sleep(wait)
    # Whoever is served next finds a host, and the leases of the others are closed in time.
    assert post(network, {"agent": "plain", "input": "x"})[0] == 200
    deadline = time.monotonic() + 90
    while (left := studio(network, "show", "plain")["open_runs"]) > 0:
        assert time.monotonic() < deadline, left
        time.sleep(1)


def test_what_a_run_orders_is_spent_within_the_policy_and_no_further(network, agents, tmp_path):
    payee = studio(network, "show", "plain")["creator"]
    more = (
        f'[[prepare]]\ntool = "pay"\narguments = {{ to = "{payee}", amount = "0.2" }}\n'
        f'[spending]\nper_run = "0.3"\nper_day = "0.5"\nrecipients = ["{payee}"]\n'
    )
    publish(network, tmp_path, "payer", more)
    studio(network, "fund", "payer", "5", "--as", "account", "--yes")

    def spent():
        shown = studio(network, "show", "payer")
        return shown["spent_today_nano"], shown["balance_nano"]

    assert spent() == (0, 5 * NANO)
    for paid in (NANO // 5, 2 * NANO // 5):
        status, _, run = post(network, {"agent": "payer", "input": "Pay."})
        assert status == 200, run
        assert run["calls"][0] == {"type": "spend", "to": payee, "amount": "0.2"}
        deadline = time.monotonic() + 90
        while spent()[0] < paid:
            assert time.monotonic() < deadline, "spent after the challenge window"
            time.sleep(0.5)
        assert spent() == (paid, 5 * NANO - paid)
    # A third one is more than the policy allows in a day: it runs and is paid, and its order is refused.
    before = studio(network, "show", "payer")["earned"]["runs"]
    assert post(network, {"agent": "payer", "input": "Pay."})[0] == 200
    deadline = time.monotonic() + 90
    while studio(network, "show", "payer")["earned"]["runs"] == before:
        assert time.monotonic() < deadline
        time.sleep(0.5)
    time.sleep(3)
    assert spent() == (2 * NANO // 5, 5 * NANO - 2 * NANO // 5)


def test_an_agent_hires_another_and_pays_on_delivery(network, agents, tmp_path):
    publish(network, tmp_path, "clerk")
    clerk = studio(network, "show", "clerk")
    boss = tmp_path / "boss.toml"
    order = '[[prepare]]\ntool = "hire"\narguments = { agent = "clerk", task = "File: {task}" }\n'
    spending = f'[spending]\nper_run = "0.3"\nper_day = "0.5"\nrecipients = ["agent:{clerk["agent"]}"]\n'
    boss.write_text(HEAD.format(name="boss") + order + LIMITS.format(steps=3, tokens=20_000) + spending)
    hired = studio(network, "hire", "clerk", "--into", boss)
    assert (hired["agent"], hired["missing"]) == (clerk["agent"], None), hired
    assert "already" in studio(network, "hire", "clerk", "--into", boss, code=4)
    studio(network, "publish", boss, "--as", "account", "--yes")
    studio(network, "fund", "boss", "5", "--as", "account", "--yes")

    status, _, run = post(network, {"agent": "boss", "input": "a letter"})
    assert status == 200, run
    call = run["calls"][0]
    assert (call["type"], call["agent"], call["task"]) == ("hire", clerk["agent"], "File: a letter"), call
    deadline = time.monotonic() + 120
    while True:
        call = network.request(f"/v1/runs/{run['id']}")[2]["calls"][0]
        if call["status"] == "completed":
            break
        assert call["status"] in ("ordered", "in_progress") and time.monotonic() < deadline, call
        time.sleep(0.5)
    delivered = network.request(f"/v1/runs/{call['run']}")[2]
    assert delivered["hired_by"] == run["id"] and delivered["answer"], delivered
    assert (delivered["agent"]["name"], delivered["price"]) == ("clerk", "0"), "the key pays its model calls alone"
    final(network, delivered["inferium"]["job"])

    # Delivered and past the challenge window: its price is gone from the account, with the little that its host has for a slot kept
    # free (SPEC M4), and all else came back to it.
    price = NANO // 100
    deadline = time.monotonic() + 150
    while True:
        runs, left = studio(network, "show", "clerk")["earned"]["runs"], studio(network, "show", "boss")["balance_nano"]
        if runs == 1 and 0 < 5 * NANO - price - left < price // 20:
            break
        assert time.monotonic() < deadline, (runs, left)
        time.sleep(0.5)
    assert studio(network, "show", "clerk")["earned"]["fees_nano"] == price
    logs = network.run("studio", "logs", run["id"], "--data", network.data)
    assert f"hire {clerk['agent']} for: File: a letter" in logs.stdout and f"completed, run {call['run']}" in logs.stdout

    # What it was hired as is pinned: of another version nothing is opened, and nothing is spent.
    file = tmp_path / "clerk.toml"
    file.write_text(file.read_text().replace("Be brief.", "Be briefer."))
    studio(network, "update", file, "--as", "account", "--yes")
    status, _, run = post(network, {"agent": "boss", "input": "another letter"})
    assert status == 200, run
    deadline = time.monotonic() + 90
    while (call := network.request(f"/v1/runs/{run['id']}")[2]["calls"][0])["status"] != "refused":
        assert call["status"] == "ordered" and time.monotonic() < deadline, call
        time.sleep(0.5)
    assert "version" in call["error"] and call["run"] is None, call
    assert studio(network, "show", "boss")["balance_nano"] == left


def test_a_worker_that_joined_hosts_agents(tmp_path):
    with Network(tmp_path / "data", "--engine", "mock", model="mock") as network:
        publish(network, tmp_path, "plain")
        command = ["worker", "join", "--network", network.data, "--data", tmp_path / "worker", "--engine", "mock", "--tier", "mid"]
        command += ["--slots", "64", "--faucet", "--json", "--host-agents", "2", "--host-price", "0.001"]
        worker = subprocess.Popen(
            [str(part) for part in (BINARY, *command)], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        events = []
        threading.Thread(target=lambda: events.extend(json.loads(line) for line in worker.stdout), daemon=True).start()
        try:
            deadline = time.monotonic() + 300
            while not any(event["event"] == "measured" for event in list(events)):
                assert time.monotonic() < deadline and worker.poll() is None, events
                time.sleep(0.1)
            node = next(event["node"] for event in events if event["event"] == "registered")
            # Hosts are drawn, and nobody is passed over for long.
            hosted = None
            while hosted != node:
                assert time.monotonic() < deadline, run
                status, _, run = post(network, {"agent": "plain", "input": "What is a lease?"})
                hosted = run["inferium"]["worker"] if status == 200 else None
            assert run["answer"] and final(network, run["inferium"]["job"])["worker"] == node
        finally:
            worker.terminate()
            assert worker.wait(timeout=200) == 0
