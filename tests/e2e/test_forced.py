"""Forced errors: workers plant jobs that their VRF orders; who approves without replaying loses everything."""

import json
import time

from network import Network

# A fifth of all segments, the most that parameters allow: half of them with a known-wrong job.
OFTEN = ("--engine", "mock", "--set", "forced_share=200000")


def shown(network, *arguments):
    done = network.run(*arguments, "--data", network.data, "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(done.stdout)


def ask(network, number):
    status, _, answer = network.chat(f"Question {number}: what is water made of, and why?", temperature=0.7)
    assert status == 200, answer
    return answer["inferium"]["job"]


def test_a_lazy_validator_is_told_by_its_effort(tmp_path):
    with Network(tmp_path / "data", "--engine", "mock", "--crime", "lazy-validator", model="mock") as network:
        jobs = []
        deadline = time.monotonic() + 120
        while not (nodes := network.nodes())["validator-3"]["slashes"]:
            assert time.monotonic() < deadline, f"not caught:\n{network.tail()}"
            jobs += [ask(network, len(jobs)) for _ in range(2)]
        slash = nodes["validator-3"]["slashes"][0]
        assert slash["rule"] == "false_replay" and not slash["disqualified"]
        assert not any(node["slashes"] for name, node in nodes.items() if name != "validator-3")
        outcomes = [network.receipt(job, timeout=90)[1] for job in jobs]
        assert all(outcome["status"] in ("final", "settled") for outcome in outcomes), outcomes
        assert network.stop() == 0


def test_a_complacent_validator_loses_everything_and_its_seat(tmp_path):
    with Network(tmp_path / "data", *OFTEN, "--crime", "complacent-validator", model="mock") as network:
        jobs = []
        deadline = time.monotonic() + 180
        while not (nodes := network.nodes())["validator-3"]["slashes"]:
            assert time.monotonic() < deadline, f"not caught:\n{network.tail()}"
            jobs += [ask(network, len(jobs)) for _ in range(5)]
        slash = nodes["validator-3"]["slashes"][0]
        assert slash["rule"] == "wrong_approval" and slash["state"] == "held"
        assert nodes["validator-3"]["stake_nano"] == 0
        others = [name for name in nodes if name != "validator-3"]
        assert not any(nodes[name]["slashes"] for name in others), "nobody else pays, whoever planted or voted"
        # What it approved was looked at again: clients have their receipts, and the work goes on.
        jobs.append(ask(network, len(jobs)))
        # A committee that it still has a seat in does not wait for it (SPEC V2).
        outcomes = [network.receipt(job, timeout=90)[1] for job in jobs]
        assert all(outcome["status"] in ("final", "settled") for outcome in outcomes), outcomes
        assert network.stop() == 0


def test_planted_jobs_cost_honest_nodes_nothing(tmp_path):
    with Network(tmp_path / "data", *OFTEN, model="mock") as network:
        jobs = []
        deadline = time.monotonic() + 180
        while "a planted job was opened" not in network.log.read_text(errors="replace"):
            assert time.monotonic() < deadline, f"nothing was planted:\n{network.tail()}"
            jobs += [ask(network, len(jobs)) for _ in range(3)]
            assert not any(node["slashes"] for node in network.nodes().values())
        waiting = set(jobs)
        while waiting:
            assert time.monotonic() < deadline, f"{len(waiting)} not settled:\n{network.tail()}"
            waiting = {job for job in waiting if network.receipt(job)[1]["status"] != "settled"}
        nodes = network.nodes()
        assert not any(node["slashes"] for node in nodes.values())
        # Nobody pays for a planted job, and none counts as a job of the worker.
        assert nodes["worker"]["jobs_settled"] == len(jobs)
        sources = {row["of"]: row["nano"] for row in shown(network, "earnings", "worker", "--by", "source")["data"]}
        settled = [network.receipt(job)[1]["fee_nano"] for job in jobs]
        assert sources["jobs"] <= sum(settled) * 80 // 100
        assert network.stop() == 0


def test_a_parameter_is_set_for_a_new_network_only(tmp_path):
    data = tmp_path / "data"
    with Network(data, *OFTEN, model="mock") as network:
        rules = shown(network, "gov", "parameters")["data"]
        assert next(rule["value"] for rule in rules if rule["name"] == "forced_share") == 200_000
        assert network.stop() == 0
        for arguments, expected in [
            (OFTEN, "new network"),
            (("--engine", "mock", "--fresh", "--set", "forced_share=200001"), "forced_share must be 0 to 200000"),
            (("--engine", "mock", "--fresh", "--set", "no_such=1"), "no parameter"),
            (("--engine", "mock", "--fresh", "--set", "forced_share=x"), "whole number"),
            (("--engine", "mock", "--crime", "lazy"), "lazy-validator"),
        ]:
            done = network.run("up", "--data", data, "--listen", "127.0.0.1:0", *arguments)
            assert done.returncode == 2 and expected in done.stderr, (arguments, done.stderr)
