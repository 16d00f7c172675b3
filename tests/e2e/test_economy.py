"""The economy as its users meet it: measured workers, votes, stake, disputes, and answers to "why?"."""

import json
import subprocess
import threading
import time

import pytest
from network import BINARY, Network

NANO = 1_000_000_000


@pytest.fixture(scope="module")
def devnet(tmp_path_factory):
    with Network(tmp_path_factory.mktemp("economy") / "data", "--engine", "mock", model="mock") as running:
        yield running


def command(network, *arguments, code=0):
    """A command's JSON, with the network's data folder."""
    done = network.run(*arguments, "--data", network.data, "--json")
    assert done.returncode == code, done.stdout + done.stderr
    return json.loads(done.stdout) if done.stdout.strip() else done.stderr


def sign(network, *arguments, by, code=0):
    return command(network, *arguments, "--as", by, "--yes", code=code)


def parameter(network, name):
    return next(rule["value"] for rule in command(network, "gov", "parameters")["data"] if rule["name"] == name)


def wait_for(check, seconds, what):
    deadline = time.monotonic() + seconds
    while not (found := check()):
        assert time.monotonic() < deadline, what
        time.sleep(0.5)
    return found


def epoch(network):
    return json.loads(network.run("node", "show", "--data", network.data, "--json").stdout)["epoch"]


def delegate_most(network):
    """Makes the faucet's account the holder of two thirds of all stake; says from which epoch on it votes.

    Votes are its, since no process sends with its key meanwhile.
    """
    sign(network, "wallet", "stake", "validator-0", "900000", by="faucet")
    return epoch(network) + 2


def test_a_worker_has_the_tier_that_it_measured(devnet):
    said = command(devnet, "why", "worker")
    assert said["tier"] == "mid" and said["score"] > 0 and said["role"] == "worker"
    assert command(devnet, "why", said["node"])["tier"] == "mid"
    shown = devnet.nodes()["worker"]
    assert (shown["tier"], shown["score"]) == ("mid", said["score"])


def test_hardware_is_shown_without_a_network(devnet):
    done = devnet.run("worker", "hardware", "--json")
    shown = json.loads(done.stdout)
    assert shown["cores"] > 0 and shown["memory_mib"] > 0 and shown["cpu"]


def test_a_joined_worker_is_paid_within_two_minutes(devnet, tmp_path):
    began = time.monotonic()
    arguments = ["worker", "join", "--network", devnet.data, "--data", tmp_path / "worker", "--engine", "mock"]
    process = subprocess.Popen(
        [str(part) for part in [BINARY, *arguments, "--tier", "mid", "--slots", "512", "--faucet", "--json"]],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    events, log = [], []

    def read():
        events.extend(json.loads(line) for line in process.stdout)

    # Both are read to the end, so that no full pipe stops the worker.
    threading.Thread(target=read, daemon=True).start()
    threading.Thread(target=lambda: log.extend(process.stderr), daemon=True).start()

    def seen():
        return {event["event"] for event in list(events)}

    try:
        wait_for(lambda: "leased" in seen(), 60, f"no lease: {events} {''.join(log)[-2000:]}")

        def paid():
            for question in range(8):
                status, _, answer = devnet.chat(f"Question {question} at {time.monotonic()}")
                assert status == 200, answer
            return "paid" in seen()

        wait_for(paid, 120, f"not paid: {events} {''.join(log)[-2000:]}")
        took = time.monotonic() - began
        assert took < 120, took
    finally:
        process.terminate()
        assert process.wait(timeout=30) == 0
    measured = next(event for event in events if event["event"] == "measured")
    assert measured["tier"] == "mid" and measured["score"] > 100
    registered = next(event for event in events if event["event"] == "registered")
    earned = command(devnet, "earnings", registered["node"], "--by", "source")
    assert earned["total_nano"] > 0 and {row["of"] for row in earned["data"]} >= {"jobs"}


def test_a_passed_proposal_executes_itself(devnet):
    before = parameter(devnet, "starving_ms")
    wanted = before + 1_000
    votes_from = delegate_most(devnet)
    wait_for(lambda: epoch(devnet) >= votes_from, 90, "epochs stand still")
    sign(devnet, "gov", "propose", "parameters", f"starving_ms={wanted}", "--title", "Patience", by="account")
    number = command(devnet, "gov", "list")["data"][0]["proposal"]
    shown = command(devnet, "gov", "show", number)
    assert shown["state"] == "voting" and any(f"+ starving_ms = {wanted}" in line for line in shown["diff"])
    sign(devnet, "gov", "vote", number, "yes", by="faucet")
    sign(devnet, "gov", "vote", number, "yes", by="account", code=1)
    wait_for(lambda: parameter(devnet, "starving_ms") == wanted, 150, "the proposal did not execute")
    shown = command(devnet, "gov", "show", number)
    assert shown["state"] == "executed" and shown["tally"]["yes_nano"] > 0 and shown["deposit_nano"] == 0


def test_what_can_not_be_is_refused_with_its_reason(devnet):
    for changes in (["starving_ms=1"], ["no_such=1"], ["tier_mid_score=20000"], ["fee_share_committee=300000"]):
        refused = command(devnet, "gov", "propose", "parameters", *changes, "--title", "x", "--as", "account", "--yes", code=4)
        assert "error:" in refused
    refused = command(devnet, "gov", "propose", "restitute", "99", "--title", "x", "--as", "account", "--yes", code=1)
    assert "no such held slash" in refused
    refused = command(devnet, "gov", "vote", "99", "yes", "--as", "faucet", "--yes", code=1)
    assert "no such proposal" in refused
    refused = command(devnet, "dispute", "ab" * 32, "--as", "gateway", "--yes", code=1)
    assert "no such segment" in refused
    assert devnet.run("why", "ab" * 32, "--data", devnet.data).returncode == 4
    assert devnet.run("gov", "vote", "0", "perhaps", "--data", devnet.data).returncode == 2


def test_stake_goes_in_at_once_and_comes_out_later(devnet):
    validator = devnet.nodes()["validator-1"]["node"]

    def stake():
        return devnet.nodes()["validator-1"]["delegated_nano"]

    before = stake()
    sign(devnet, "wallet", "stake", "validator-1", "500", by="account")
    assert stake() >= before + 500 * NANO
    sign(devnet, "wallet", "unbond", validator, "200", by="account")
    assert before + 300 * NANO <= stake() < before + 301 * NANO
    refused = sign(devnet, "wallet", "unbond", validator, "400", by="account", code=1)
    assert "needed" in refused
    refused = sign(devnet, "wallet", "unbond", "worker", "1", by="account", code=1)
    assert "no such delegation" in refused


def test_a_dispute_about_honest_work_costs_its_bond(devnet):
    status, _, answer = devnet.chat("Is this worth a dispute?")
    assert status == 200
    receipt = devnet.receipt(answer["inferium"]["job"])[1]
    segment, job = receipt["segment"], receipt["job"]
    assert "segment" in command(devnet, "why", job)["text"] or receipt["status"] == "settled"
    before = devnet.nodes()["gateway"]["balance_nano"]
    sign(devnet, "dispute", segment, by="gateway")
    refused = sign(devnet, "dispute", segment, by="gateway", code=1)
    assert "error:" in refused

    def settled():
        return devnet.receipt(job)[1]["status"] == "settled"

    wait_for(settled, 120, "the disputed segment was not settled")
    assert devnet.nodes()["gateway"]["balance_nano"] <= before - 9 * NANO
    said = command(devnet, "why", job)
    assert said["status"] == "settled" and "paid" in said["text"]
    assert not any(node["slashes"] for node in devnet.nodes().values())
    slashes = command(devnet, "slashes")
    assert slashes["rate"]["slashes"] == 0, slashes


def test_a_won_appeal_gives_everything_back(tmp_path):
    with Network(tmp_path / "data", "--engine", "mock", "--crime", "edited-text", model="mock") as network:
        cheat = "worker-edited-text"
        before = network.nodes()[cheat]["stake_nano"]
        votes_from = delegate_most(network)

        def caught():
            assert network.chat(f"Again at {time.monotonic()}")[0] == 200
            return command(network, "slashes")["data"]

        slash = wait_for(caught, 60, "the cheat was not caught")[-1]
        assert slash["rule"] == "wrong_result" and slash["state"] == "held"
        held = network.nodes()[cheat]
        assert held["stake_nano"] < before and "jailed" in held["state"]
        assert slash["node"] == held["node"]
        said = command(network, "why", cheat)
        assert any("jailed" in reason for reason in said["reasons"])
        number = str(slash["slash"])
        wait_for(lambda: epoch(network) >= votes_from, 90, "epochs stand still")
        sign(network, "gov", "propose", "restitute", number, "--title", "It was our bug", by="account")
        proposal = command(network, "gov", "list")["data"][0]
        assert proposal["kind"] == "restitution" and proposal["needs_supermajority"]
        sign(network, "gov", "vote", str(proposal["proposal"]), "yes", by="faucet")

        def overturned():
            shown = command(network, "slashes")
            return shown if shown["rate"]["overturned"] else None

        shown = wait_for(overturned, 150, "the slash was not overturned")
        assert next(s for s in shown["data"] if s["slash"] == slash["slash"])["state"] == "overturned"
        # What was in flight when it was caught may have cost it more; that stays taken.
        taken = sum(s["amount_nano"] for s in shown["data"] if s["node"] == held["node"] and s["state"] == "held")
        assert network.nodes()[cheat]["stake_nano"] == before - taken
        rate = shown["rate"]
        assert rate["false_rate_95_low"] < rate["false_rate"] <= rate["false_rate_95_high"]
        assert network.stop() == 0
