"""Challenges: most validators approve a lie together; one that is right has the ledger compute the tile that is wrong (SPEC V11)."""

import random
import signal
import time

import pytest
from encoder import WORDS, encoder
from network import Network
from test_classify import HEIGHT, WIDTH, classify, model  # noqa: F401

ACCOMPLICES = ("validator-0", "validator-1", "validator-2")
HONEST = "validator-3"


def ask_until(network, is_over, seconds=240, ask=None):
    """Asks, for classifications if nothing else is said, until the nodes are as they should be; those nodes."""
    rng = random.Random(7)
    ask = ask or (lambda: classify(network, [[rng.randrange(256) for _ in range(WIDTH * HEIGHT)] for _ in range(2)]))
    deadline = time.monotonic() + seconds
    while not is_over(nodes := network.nodes()):
        assert time.monotonic() < deadline, f"not caught:\n{network.tail()}"
        # Once the profile is paused (SPEC S5) nothing is taken any more.
        status, _, body = ask()
        assert status in (200, 503), body
        time.sleep(0.2)
    return nodes


def challenged(network, node):
    """What was told of the first segment that this node was convicted of by a challenge. Of others a court may convict it, once the accomplices are gone."""
    convictions = sorted((slash for slash in node["slashes"] if slash["rule"] == "wrong_result"), key=lambda slash: slash["slash"])
    assert convictions[0]["amount_nano"] > 0, convictions
    stories = (network.request(f"/explorer/segments/{slash['segment']}.json")[2]["steps"] for slash in convictions)
    return next(told for told in stories if any(step["kind"] == "challenge" for step in told))


@pytest.mark.parametrize("crime", ["wrong-weights", "edited-text"])
def test_one_honest_validator_is_enough(model, tmp_path, crime):  # noqa: F811
    arguments = ("--engine", "mock", "--classifier", model[0], "--crime", crime, "--accomplices", 3, "--set", "forced_share=0")
    with Network(tmp_path / "data", *arguments, model="mock") as network:
        cheat = next(name for name in network.nodes() if name.startswith("classifier-") and name.endswith(crime))
        nodes = ask_until(network, lambda nodes: any(nodes[name]["slashes"] for name in ACCOMPLICES))
        for name in ACCOMPLICES:
            slash = nodes[name]["slashes"][-1]
            assert slash["rule"] == "wrong_approval" and slash["disqualified"] and nodes[name]["stake_nano"] == 0, slash
        # It was outvoted, maybe about several segments, paid for that, and got all of it back.
        deadline = time.monotonic() + 120
        honest = network.nodes()[HONEST]
        while any(slash["state"] != "overturned" for slash in honest["slashes"]):
            assert time.monotonic() < deadline, f"{honest}\n{network.tail()}"
            time.sleep(0.5)
            honest = network.nodes()[HONEST]
        assert honest["slashes"] and honest["stake_nano"] == 100_000 * 10**9
        told = challenged(network, nodes[cheat])
        kinds = [step["kind"] for step in told]
        assert kinds.count("challenged") == 1 and kinds.count("challenge") == 1, kinds
        assert "asked" in kinds and "shown" in kinds and kinds.index("challenged") < kinds.index("rejected"), kinds
        assert "the ledger computed it" in next(step["text"] for step in told if step["kind"] == "challenge")
        log = network.log.read_text(errors="replace")
        assert "challenging what was approved" in log and "showing a run" in log
        assert network.stop() == 0


def test_vectors_of_a_sentence_encoder_are_challenged(tmp_path):
    folder = encoder(tmp_path / "words")
    arguments = ("--engine", "mock", "--embeddings", folder, "--crime", "wrong-weights", "--accomplices", 3)
    with Network(tmp_path / "data", *arguments, "--set", "forced_share=0", model="mock") as network:
        rng = random.Random(11)

        def ask():
            texts = [" ".join(rng.choices(WORDS, k=rng.randrange(2, 9))) for _ in range(2)]
            return network.request("/v1/embeddings", {"model": "words", "input": texts})

        nodes = ask_until(network, lambda nodes: any(nodes[name]["slashes"] for name in ACCOMPLICES), ask=ask)
        cheat = next(name for name in nodes if name.startswith("embedder-") and name.endswith("wrong-weights"))
        for name in ACCOMPLICES:
            slash = nodes[name]["slashes"][-1]
            assert slash["rule"] == "wrong_approval" and nodes[name]["stake_nano"] == 0, slash
        told = challenged(network, nodes[cheat])
        assert "the ledger computed it" in next(step["text"] for step in told if step["kind"] == "challenge")
        assert "embedding" in next(step["text"] for step in told if step["kind"] == "rejected"), told
        assert network.stop() == 0


def test_a_challenge_goes_on_after_a_kill(model, tmp_path):  # noqa: F811
    arguments = ("--engine", "mock", "--classifier", model[0], "--crime", "wrong-weights", "--accomplices", 3)
    # Windows of real networks: what a busy machine does in those of a devnet is no question of this test.
    windows = ("--set", "forced_share=0", "--set", "stall_answer_ms=60000")
    network = Network(tmp_path / "data", *arguments, *windows, model="mock")
    with network:
        ask_until(network, lambda _: "challenging what was approved" in network.log.read_text(errors="replace"))
        network.stop(signal.SIGKILL)
        # Both sides are in one process here: each takes up its turn from what the chain and its disk say.
        network.arguments = arguments
        network.start()
        deadline = time.monotonic() + 240
        while not any(network.nodes()[name]["slashes"] for name in ACCOMPLICES):
            assert time.monotonic() < deadline, network.tail()
            time.sleep(0.5)
        rules = {slash["rule"] for name in ACCOMPLICES for slash in network.nodes()[name]["slashes"]}
        assert rules == {"wrong_approval"}, rules
        assert network.stop() == 0
