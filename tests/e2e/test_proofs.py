"""Proofs by the network: an answer is asked for with one, a worker proves it, its committee verifies, and a receipt carries its digest."""

import json
import random
import signal
import struct
import time
import urllib.request

import pytest
from network import Network, done
from test_training import anyone, key_of

ZK = {"verification": "zk"}
WIDTHS = [64, 16, 4]


def safetensors(widths, seed):
    """Layers between these widths, of drawn weights: a length, a head in JSON, floats."""
    draw, tensors, floats = random.Random(seed), {}, b""
    for name, (inputs, outputs) in zip("abc", zip(widths, widths[1:])):
        for part, shape, count in (("weight", [outputs, inputs], outputs * inputs), ("bias", [outputs], outputs)):
            values = struct.pack(f"<{count}f", *(draw.uniform(-0.3, 0.3) for _ in range(count)))
            tensors[f"{name}.{part}"] = {"dtype": "F32", "shape": shape, "data_offsets": [len(floats), len(floats) + len(values)]}
            floats += values
    layers = ",relu,".join(f"dense {name}" for name in "abc"[: len(widths) - 1])
    meta = {"input": f"{widths[0]},1,1", "input_range": "0,255", "input_scale": repr(1 / 255), "layers": f"flatten,{layers}"}
    text = json.dumps({"__metadata__": meta, **tensors}).encode()
    return struct.pack("<Q", len(text)) + text + floats


def picture(seed=0):
    return [(place * 37 + seed * 11) % 256 for place in range(WIDTHS[0])]


def compiled(folder, name, widths, seed):
    (folder / f"{name}.safetensors").write_bytes(safetensors(widths, seed))
    (folder / "data.jsonl").write_text("".join(json.dumps(picture(seed)) + "\n" for seed in range(20)))
    path = folder / f"{name}.ifx"
    done("exact", "compile", folder / f"{name}.safetensors", "--calibration", folder / "data.jsonl", "--out", path)
    return path


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return compiled(tmp_path_factory.mktemp("model"), "net", WIDTHS, 1)


def asked(network, seed=0, key=None, **fields):
    body = {"model": "net", "input": picture(seed), "provider": ZK, **fields}
    return network.request("/v1/classifications", body, key=key)


def proof_of(network, answer):
    return answer["proof"]["url"].rsplit("/", 1)[1]


def follow(network, job, until=("final", "settled"), seconds=120):
    deadline = time.monotonic() + seconds
    while (shown := network.request(f"/v1/proofs/{job}")[2])["status"] not in until:
        assert time.monotonic() < deadline and shown["status"] != "failed", f"{shown}\n{network.tail()}"
        time.sleep(0.2)
    return shown


def start(data, model, *arguments):
    return Network(data, "--engine", "mock", "--classifier", model, *arguments, model="mock")


@pytest.fixture(scope="module")
def network(model, tmp_path_factory):
    with start(tmp_path_factory.mktemp("proofs") / "data", model) as network:
        yield network
        assert network.request("/v1/slashes")[2]["data"] == []


@pytest.fixture(scope="module")
def proved(network):
    status, _, answer = asked(network)
    assert status == 200 and answer["proof"]["status"] == "queued", answer
    return answer, follow(network, proof_of(network, answer))


def fetched(network, tmp_path, job):
    path, receipt = tmp_path / "answer.proof", tmp_path / "receipt.json"
    got = network.run("zk", "fetch", job, "--out", path, "--data", network.data, "--json")
    assert got.returncode == 0, got.stderr
    told = json.loads(got.stdout)
    status, document = network.receipt(told["proof_job"])
    assert status == 200
    receipt.write_text(json.dumps(document))
    return path, receipt, told


def test_an_answer_is_there_at_once_and_its_proof_becomes_final(network, proved):
    answer, shown = proved
    proves = {model["id"]: model["capabilities"]["proofs"] for model in network.request("/v1/models")[2]["data"]}
    assert proves == {"mock": False, "net": True}
    (one,) = answer["data"]
    assert shown["hides"] == "activations" and shown["statement"]["hiding"] is True
    # The proof is of this answer, and of no other job.
    assert shown["statement"]["output"] == one["logits"] and shown["statement"]["task"] == shown["job"]
    assert shown["job"] == answer["inferium"]["jobs"][0]["job"] and shown["proof_job"] != shown["job"]
    assert shown["took_ms"] > 0 and shown["size"] > 100_000 and len(shown["seed"]) == 64
    assert shown["cost_nano"] == 100 * (4_096 + 1)
    status, receipt = network.receipt(shown["proof_job"])
    # Nobody proves again: every member verifies, and all of it.
    assert status == 200 and receipt["replayed_ppm"] == 1_000_000 and len(receipt["approved_by"]) >= 2
    assert receipt["fee_nano"] == shown["cost_nano"]


def test_the_receipt_carries_the_proof_which_verifies_offline(network, model, proved, tmp_path):
    path, receipt, told = fetched(network, tmp_path, proved[1]["job"])
    assert told["digest"] == proved[1]["digest"] and told["output"] == proved[0]["data"][0]["logits"]
    key = tmp_path / "model.key"
    assert network.run("zk", "key", model, "--out", key).returncode == 0
    verify = ("receipt", "verify", receipt, "--network-key", network.network_key)
    for of in (("--model", model), ("--key", key)):
        held = network.run(*verify, "--proof", path, *of, "--json")
        assert held.returncode == 0, held.stderr
        facts = json.loads(held.stdout)
        assert facts["proof"]["output"] == told["output"] and facts["job"] == told["proof_job"]
    words = network.run(*verify, "--proof", path, "--key", key)
    assert "proved, as the evidence root says" in words.stdout and "hidden are the input" in words.stdout
    alone = network.run("zk", "verify", "--key", key, path, "--task", told["job"])
    assert alone.returncode == 0, alone.stderr
    assert network.run(*verify, "--proof", path).returncode == 2, "a proof is checked against a model"
    # Another byte, another answer's receipt, another model: refused, each with its reason.
    changed = bytearray(path.read_bytes())
    changed[len(changed) // 2] ^= 1
    other = tmp_path / "other.proof"
    other.write_bytes(changed)
    refused = network.run(*verify, "--proof", other, "--key", key)
    assert refused.returncode == 4 and "not the proof that the receipt's job made" in refused.stderr
    wrong = tmp_path / "answer.json"
    wrong.write_text(json.dumps(network.receipt(told["job"])[1]))
    refused = network.run("receipt", "verify", wrong, "--network-key", network.network_key, "--proof", path, "--key", key)
    assert refused.returncode == 4 and "not the proof that" in refused.stderr
    refused = network.run(*verify, "--proof", path, "--model", compiled(tmp_path, "net", WIDTHS, 2))
    assert refused.returncode == 4 and "another model" in refused.stderr


def test_the_commitment_opens_to_the_input_for_who_has_the_seed(network, proved, tmp_path):
    # Made again from input and seed it is the same; the command does that in the prover, so here it is only known to who paid.
    shown = proved[1]
    everyone = anyone(network, f"/v1/proofs/{shown['job']}")
    assert "seed" not in everyone and "statement" not in everyone and everyone["digest"] == shown["digest"]
    (listed,) = [one for one in anyone(network, "/v1/proofs")["data"] if one["job"] == shown["job"]]
    assert "seed" not in listed and listed["status"] in ("final", "settled")
    key = key_of(network, "1")
    status, _, answer = network.request(f"/v1/proofs/{shown['job']}/file", key=key)
    assert status == 404, answer
    assert "seed" not in network.request(f"/v1/proofs/{shown['job']}", key=key)[2]


def test_a_proof_that_hides_nothing_is_smaller_and_called_succinct(network, tmp_path):
    answer = asked(network, seed=1, proof={"hides": "nothing"})[2]
    shown = follow(network, proof_of(network, answer))
    assert shown["hides"] == "nothing" and shown["size"] < 500_000
    path, _, told = fetched(network, tmp_path, shown["job"])
    assert told["kind"] == "succinct" and told["hiding"] is False and path.stat().st_size == shown["size"]


def test_many_are_queued_and_all_are_proved(network):
    jobs = [proof_of(network, asked(network, seed=seed, proof={"hides": "nothing"})[2]) for seed in range(2, 8)]
    digests = {follow(network, job)["digest"] for job in jobs}
    assert len(digests) == len(jobs)


def test_several_inputs_are_proved_at_once(network, model, tmp_path):
    """Three pictures: one answer, one proof of all of them, the last twice."""
    answer = asked(network, input=[picture(seed) for seed in (11, 12, 13)])[2]
    shown = follow(network, proof_of(network, answer))
    said = [item["logits"] for item in answer["data"]]
    assert shown["inputs"] == 3 and shown["cost_nano"] == 100 * (4_096 + 3)
    assert shown["statement"]["output"] == sum([*said, said[2]], [])
    path, receipt, told = fetched(network, tmp_path, shown["job"])
    assert told["labels"] == [item["class"] for item in answer["data"]] + [answer["data"][2]["class"]]
    verify = ("receipt", "verify", receipt, "--network-key", network.network_key, "--proof", path, "--model", model)
    held = network.run(*verify, "--json")
    assert held.returncode == 0 and json.loads(held.stdout)["proof"]["labels"] == told["labels"], held.stderr


def test_what_can_t_be_proved_is_refused_before_it_is_answered(network):
    spent = network.request("/v1/key")[2]["spent_nano"]
    cases = [
        ({"input": [picture(seed) for seed in range(33)]}, 400, "input"),
        ({"proof": {"hides": "weights"}}, 400, "proof.hides"),
        ({"provider": {"verification": "exact"}, "proof": {}}, 400, "proof"),
        ({"provider": {"verification": "replicated"}}, 400, "provider.verification"),
    ]
    for fields, code, param in cases:
        status, _, answer = asked(network, **fields)
        assert (status, answer["error"]["param"]) == (code, param), (fields, answer)
    # A chat model is not proved at all.
    body = {"model": "mock", "input": "hi", "labels": ["a", "b"], "provider": ZK}
    status, _, answer = network.request("/v1/classifications", body)
    assert (status, answer["error"]["param"]) == (400, "provider.verification"), answer
    # What can't be paid with its proof is not begun.
    status, _, answer = asked(network, key=key_of(network, "0.0003"))
    assert status == 402, answer
    assert network.request("/v1/key")[2]["spent_nano"] == spent
    assert network.request("/v1/proofs/" + "0" * 64)[0] == 404
    missing = network.run("zk", "fetch", "0" * 64, "--out", "/tmp/none.proof", "--data", network.data)
    assert missing.returncode == 4 and "proof" in missing.stderr
    assert network.run("zk", "fetch", "x", "--out", "/tmp/none.proof", "--data", network.data).returncode == 2


def test_the_page_says_what_was_proved_and_what_stays_hidden(network, proved):
    rows = anyone(network, "/proofs.json")["data"]
    assert proved[1]["job"] in [row["job"] for row in rows]
    with urllib.request.urlopen(network.base_url.removesuffix("/v1") + "/proofs", timeout=30) as response:
        page = response.read().decode()
    assert "the input, and all that was computed from it" in page and proved[1]["digest"][:16] in page


def test_a_gateway_that_is_killed_proves_what_it_was_asked_for(tmp_path, model):
    with start(tmp_path / "data", model) as network:
        jobs = [proof_of(network, asked(network, seed=seed)[2]) for seed in range(3)]
        assert network.stop(signal.SIGKILL) != 0
        network.start()
        for job in jobs:
            assert follow(network, job)["statement"]["task"] == job
        assert network.stop() == 0


def test_a_worker_that_sends_false_proofs_is_caught_and_slashed(tmp_path, model):
    with start(tmp_path / "data", model, "--crime", "false-proof") as network:
        (cheat,) = [name for name in network.nodes() if name.endswith("-false-proof")]
        job = proof_of(network, asked(network)[2])
        deadline = time.monotonic() + 180
        while not (nodes := network.nodes())[cheat]["slashes"]:
            assert time.monotonic() < deadline, f"not caught:\n{network.tail()}"
            time.sleep(0.3)
        slash = nodes[cheat]["slashes"][-1]
        assert slash["rule"] == "wrong_result" and slash["amount_nano"] > 0
        assert not any(node["slashes"] for name, node in nodes.items() if name != cheat)
        # What no committee approved is nobody's proof.
        shown = network.request(f"/v1/proofs/{job}")[2]
        assert shown["status"] not in ("final", "settled") and shown["rejected"] >= 1, shown
        assert network.stop() == 0


def test_a_worker_that_never_sends_its_proof_is_slashed(tmp_path, model):
    # What it has to answer with counts from the claim on; the gateway makes one after 92 s.
    hasty = ("--set", "stall_answer_ms=1000", "--set", "stall_token_ms=0")
    with start(tmp_path / "data", model, "--crime", "late-proof", *hasty) as network:
        (cheat,) = [name for name in network.nodes() if name.endswith("-late-proof")]
        job = proof_of(network, asked(network)[2])
        deadline = time.monotonic() + 300
        while not (slashes := network.nodes()[cheat]["slashes"]):
            assert time.monotonic() < deadline, f"not slashed:\n{network.tail()}"
            time.sleep(1)
        assert slashes[-1]["rule"] == "deadline_missed"
        assert network.request(f"/v1/proofs/{job}")[2]["status"] == "queued"
        assert network.stop() == 0
