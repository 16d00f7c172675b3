"""A validator whose engine departs from the others' rejects what is right: it pays, and anyone finds where it departs."""

import json
import time

import pytest

from network import Network

# The first layer that the crime computes otherwise (crates/inferium/src/up/cheat.rs).
SKEWED_LAYER = 15


def bisect(network, segment, *arguments):
    return network.run("bisect", segment, "--data", network.data, *arguments)


def found(network, segment, *arguments):
    done = bisect(network, segment, "--json", *arguments)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


QUESTION = "What is the sea made of, besides frobnication?"


def approved(network):
    """Chats once, and returns the answer's receipt once it is final."""
    status, _, answer = network.chat(QUESTION)
    assert status == 200, answer
    status, receipt = network.receipt(answer["inferium"]["job"], timeout=120)
    assert status == 200 and receipt["status"] in ("final", "settled"), receipt
    return receipt


def test_a_skewed_validator_is_slashed_and_found_at_its_layer(tmp_path):
    with Network(tmp_path / "data", "--crime", "skewed-validator") as network:
        deadline = time.monotonic() + 240
        while not (nodes := network.nodes())["validator-3"]["slashes"]:
            assert time.monotonic() < deadline, f"it rejected nothing:\n{network.tail()}"
            approved(network)
        slash = nodes["validator-3"]["slashes"][0]
        assert slash["rule"] == "wrong_rejection" and not slash["disqualified"]
        assert not any(node["slashes"] for name, node in nodes.items() if name != "validator-3")

        segment = slash["segment"]
        report = found(network, segment)
        assert not report["agree"] and report["found"] == "cell"
        # The first thing of the first position that the layer computes, found in as many questions as the tree is high.
        place = (report["position"], report["stage"], report["layer"])
        assert place == (0, "keys_and_values", SKEWED_LAYER)
        assert report["exchanges"] <= 1 + (report["cells"] - 1).bit_length()
        honest, skewed = report["sides"]
        assert skewed["name"] == "validator-3" and skewed["verdict"].startswith(f"invalid, job {report['job']}")
        assert honest["name"] != "validator-3" and honest["verdict"] == "valid"
        assert honest["root"] != skewed["root"] and honest["digest"] != skewed["digest"]
        assert honest["layers"] == skewed["layers"] == 30
        # Whoever asks again gets the same signed word.
        again = found(network, segment, "--job", report["job"])
        assert [side["signed"] for side in again["sides"]] == [side["signed"] for side in report["sides"]]

        words = bisect(network, segment)
        assert words.returncode == 0
        assert f"the keys and values that layer {SKEWED_LAYER} stores" in words.stdout, words.stdout

        # What validators keep for this, and show of it, has no word of what was asked (SPEC J2).
        kept = [path for path in (network.data / "validators").iterdir()]
        assert len(kept) == 4 and not any(b"frobnication" in path.read_bytes() for path in kept)
        assert "frobnication" not in words.stdout + json.dumps(report)

        for arguments, code, expected in [
            ((segment, "--job", 4096), 4, "there is no job 4096"),
            (("00" * 32,), 4, "nobody knows a segment"),
            (("segment",), 2, "64 hex digits"),
        ]:
            done = bisect(network, *arguments)
            assert done.returncode == code and expected in done.stderr, (arguments, done.stderr)
        assert network.stop() == 0


@pytest.mark.parametrize("model", ["mock"])
def test_where_all_agree_there_is_nothing_to_bisect(tmp_path, model):
    with Network(tmp_path / "data", "--engine", model, model=model) as network:
        segment = approved(network)["segment"]
        report = found(network, segment)
        assert report["agree"] and report["verdicts"] >= 1
        assert "nothing to bisect" in bisect(network, segment).stdout
        assert network.stop() == 0
