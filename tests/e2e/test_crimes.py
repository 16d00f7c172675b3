"""Workers that cheat are caught, not paid, and penalised; the honest one is not."""

import json
import time

import pytest
from network import Network

RULES = {
    "wrong-weights": "wrong_result",
    "edited-text": "wrong_result",
    "truncated": "wrong_result",
    "own-seed": "wrong_result",
    "silent": "deadline_missed",
}


@pytest.mark.parametrize("crime", RULES)
def test_a_crime_is_caught_and_costs(tmp_path, crime):
    with Network(tmp_path / "data", "--crime", crime) as network:
        cheat = f"worker-{crime}"
        jobs = []
        for question in range(6):
            status, _, answer = network.chat(f"Question {question}: what is water?", temperature=0.8)
            assert status == 200, answer
            jobs.append(answer["inferium"]["job"])
        deadline = time.monotonic() + 180
        while not (nodes := network.nodes())[cheat]["slashes"]:
            assert time.monotonic() < deadline, f"not caught:\n{network.tail()}"
            time.sleep(0.5)
        # The newest is first; several at once may leave nothing for it.
        slash = nodes[cheat]["slashes"][-1]
        assert slash["rule"] == RULES[crime] and slash["amount_nano"] > 0 and slash["state"] == "held"
        assert nodes[cheat]["stake_nano"] < nodes["worker"]["stake_nano"]
        honest = [name for name in nodes if name != cheat]
        assert not any(nodes[name]["slashes"] for name in honest)

        # Whatever is approved was done by the honest worker, and the cheat earned nothing. The draws may have given the cheat all of the questions.
        honest_id, cheat_id = nodes["worker"]["node"], nodes[cheat]["node"]
        outcomes = [network.receipt(job, timeout=90)[1] for job in jobs]
        while not (approved := [outcome for outcome in outcomes if outcome["status"] in ("final", "settled")]):
            assert time.monotonic() < deadline, f"the honest worker has done nothing:\n{outcomes}"
            # The cheat's lease may have just ended, and the honest worker's not begun.
            status, _, answer = network.chat(f"Question {len(outcomes)}: what is water?", temperature=0.8)
            if status == 200:
                outcomes.append(network.receipt(answer["inferium"]["job"], timeout=90)[1])
        assert all(outcome["worker"] == honest_id for outcome in approved)
        if crime != "silent":
            assert any(outcome["status"] == "rejected" for outcome in outcomes)
        assert network.nodes()[cheat]["jobs_settled"] == 0
        assert cheat_id in {s["node"] for s in network.request("/v1/slashes")[2]["data"]}
        shown = json.loads(network.run("slashes", "--data", network.data, "--json").stdout)
        assert shown["rate"]["slashes"] >= 1 and shown["rate"]["overturned"] == 0
        told = next(s for s in shown["data"] if s["node"] == cheat_id)
        assert told["state"] == "held" and (crime == "silent" or any("invalid" in v for v in told["verdicts"]))
        assert network.stop() == 0


def test_an_answer_that_was_given_before_is_caught(tmp_path):
    """Its first answer is its own, and may be paid; every later one is the first again."""
    with Network(tmp_path / "data", "--crime", "copied") as network:
        deadline = time.monotonic() + 120
        asked = 0
        while not (nodes := network.nodes())["worker-copied"]["slashes"]:
            assert time.monotonic() < deadline, f"not caught:\n{network.tail()}"
            asked += 1
            status, _, answer = network.chat(f"Question {asked}: what is water?", temperature=0.8)
            assert status == 200, answer
        slash = nodes["worker-copied"]["slashes"][-1]
        assert slash["rule"] == "wrong_result" and slash["amount_nano"] > 0 and slash["state"] == "held"
        assert not any(node["slashes"] for name, node in nodes.items() if name != "worker-copied")
        assert network.stop() == 0
