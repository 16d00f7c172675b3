"""Verdicts by statistics: honest noise is paid and never suspected, cheats that equality would see at once are found by
their tokens, their hidden states, or all of their jobs together."""

import concurrent.futures
import json
import time

import pytest
from network import Network

TOLERANCE = ("--class", "tolerance")
AT_ONCE = 4
QUESTIONS = [
    "Why is the sky blue?",
    "Write a story about a whale.",
    "How does a compiler work?",
    "List ten cities on rivers.",
]


def ask(network, number, tokens=96):
    messages = [
        {"role": "system", "content": "You are a careful assistant of a public library. Answer in whole sentences."},
        {"role": "user", "content": f"{QUESTIONS[number % len(QUESTIONS)]} ({number})"},
    ]
    status, _, answer = network.chat(messages=messages, max_tokens=tokens, temperature=0.7, top_k=50)
    assert status == 200, answer
    return answer["inferium"]["job"]


def test_honest_noise_is_final_and_paid_and_the_receipt_verifies(tmp_path):
    with Network(tmp_path / "data", *TOLERANCE) as network:
        model = network.request("/v1/models")[2]["data"][0]
        assert model["engine"]["class"] == "tolerance" and model["verification"] == "sampled"
        jobs = [ask(network, number) for number in range(6)]
        for job in jobs:
            status, receipt = network.receipt(job)
            assert status == 200 and receipt["status"] in ("final", "settled"), receipt
        path = tmp_path / "receipt.json"
        assert network.run("receipt", "get", jobs[0], "--url", network.base_url.removesuffix("/v1"), "--out", path).returncode == 0
        assert network.run("receipt", "verify", path, "--network-key", network.network_key).returncode == 0
        assert not any(node["slashes"] for node in network.nodes().values())
        why = json.loads(network.run("why", "worker", "--data", network.data, "--json").stdout)
        assert [told["suspicion"] for told in why["measured"]] == ["none"] and why["measured"][0]["segments_judged"] >= 1
        assert network.stop() == 0


# A gross job is a wrong result; until a whole court has said so, what others measured of its jobs may convict it first.
GROSS = {"wrong_result", "statistics"}


@pytest.mark.parametrize(
    ("crime", "rules", "jobs"),
    [
        ("own-seed", GROSS, 6),
        ("skipped-layers", GROSS, 6),
        ("edited-text", {"wrong_result"}, 6),
        # How many it takes is chance: some hundred of its tokens in the mean, rarely some thousand.
        ("warmer", {"statistics"}, 400),
    ],
)
def test_a_cheat_is_caught(tmp_path, crime, rules, jobs):
    with Network(tmp_path / "data", *TOLERANCE, "--crime", crime) as network:
        cheat = f"worker-{crime}"
        with concurrent.futures.ThreadPoolExecutor(AT_ONCE) as pool:
            for first in range(0, jobs, AT_ONCE):
                list(pool.map(lambda number: ask(network, number), range(first, min(jobs, first + AT_ONCE))))
                if network.nodes()[cheat]["slashes"]:
                    break
        deadline = time.monotonic() + 120
        while not (nodes := network.nodes())[cheat]["slashes"]:
            assert time.monotonic() < deadline, f"not caught:\n{network.tail()}"
            time.sleep(0.5)
        # The newest come first, and may be for jobs of a worker that has nothing left.
        slash = nodes[cheat]["slashes"][-1]
        assert slash["rule"] in rules and slash["amount_nano"] > 0 and slash["state"] == "held", nodes[cheat]["slashes"]
        assert not any(node["slashes"] for name, node in nodes.items() if name != cheat)
        shown = json.loads(network.run("slashes", "--data", network.data, "--json").stdout)
        assert {told["node"] for told in shown["data"]} == {nodes[cheat]["node"]}
        why = json.loads(network.run("why", cheat, "--data", network.data, "--json").stdout)
        if slash["rule"] == "statistics":
            assert [told["suspicion"] for told in why["measured"]] == ["convicted"], why
            assert "barred it from that profile for ever" in why["text"]
        assert network.stop() == 0


def test_wrong_use_is_told(tmp_path):
    def refused(*arguments):
        network = Network(tmp_path / "data", *arguments)
        ended = network.run("up", "--data", tmp_path / "data", "--listen", "127.0.0.1:0", *arguments)
        assert ended.returncode == 2, ended
        return ended.stderr

    assert "--calibration is for --class tolerance" in refused("--engine", "mock", "--calibration", "x.json")
    assert "no calibration is known for mock" in refused("--engine", "mock", *TOLERANCE)
    missing = tmp_path / "missing.json"
    assert "can't be read" in refused("--engine", "mock", *TOLERANCE, "--calibration", missing)
    missing.write_text("{}")
    assert "not a calibration" in refused("--engine", "mock", *TOLERANCE, "--calibration", missing)
