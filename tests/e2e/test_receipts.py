"""Receipts: provisional, then final, then settled; verified offline; worthless when changed."""

import json
import time

import pytest


@pytest.fixture(scope="module")
def receipt(network, tmp_path_factory):
    """A file with a final receipt, as `inferium receipt get` writes it."""
    _, headers, answer = network.chat()
    job = answer["inferium"]["job"]
    assert headers["x-inferium-job"] == job
    path = tmp_path_factory.mktemp("receipt") / "receipt.json"
    got = network.run("receipt", "get", job, "--url", network.base_url, "--out", path)
    assert got.returncode == 0, got.stderr
    return path


def verify(network, path, *more):
    return network.run("receipt", "verify", path, "--network-key", network.network_key, *more)


def test_a_receipt_is_provisional_first_and_final_within_seconds(network):
    _, _, answer = network.chat()
    job = answer["inferium"]["job"]
    status, _, body = network.request(answer["inferium"]["receipt_url"])
    assert (status, body["status"]) in ((202, "provisional"), (200, "final"))
    status, body = network.receipt(job, timeout=10)
    assert status == 200 and body["status"] == "final" and body["job"] == job


def test_a_receipt_verifies_offline_and_tells_the_facts(network, receipt):
    document = json.loads(receipt.read_text())
    verified = verify(network, receipt)
    assert verified.returncode == 0, verified.stderr
    for fact in ("worker", "model_profile", "input_commitment", "output_commitment", "block"):
        assert document[fact] in verified.stdout
    facts = json.loads(verify(network, receipt, "--json").stdout)
    assert facts["valid"] and facts["job"] == document["job"]
    assert facts["completion_tokens"] == document["usage"]["completion_tokens"]
    assert len(facts["approved_by"]) >= 1


def test_every_changed_byte_of_a_receipt_fails(network, receipt, tmp_path):
    original = receipt.read_bytes()
    changed = tmp_path / "changed.json"
    # Every byte of the readable part, and every seventh hex digit of the proof; the proof's bytes
    # are flipped one by one in the unit tests of the receipt itself.
    proof = original.index(b'"proof":"')
    positions = [i for i in range(len(original)) if not proof + 9 <= i < proof + 9 + len(json.loads(original)["proof"]) or i % 7 == 0]
    for position in positions:
        bytes_ = bytearray(original)
        bytes_[position] ^= 1
        changed.write_bytes(bytes_)
        assert verify(network, changed).returncode == 4, f"byte {position} does not matter"


def test_a_receipt_of_another_network_fails(network, receipt):
    key = network.network_key
    other = key[:-1] + ("0" if key[-1] != "0" else "1")
    assert network.run("receipt", "verify", receipt, "--network-key", other).returncode == 4
    chain = key.replace(key.split(":")[1], "0" * 64)
    refused = network.run("receipt", "verify", receipt, "--network-key", chain)
    assert refused.returncode == 4 and "chain" in refused.stderr


def test_wrong_usage_is_said_plainly(network, receipt, tmp_path):
    assert network.run("receipt", "verify", receipt, "--network-key", "nonsense").returncode == 2
    assert network.run("receipt", "verify", tmp_path / "none", "--network-key", network.network_key).returncode == 1
    assert network.run("receipt", "get", "nonsense", "--url", network.base_url).returncode == 2
    assert network.run("receipt", "get", "0" * 64, "--url", network.base_url).returncode == 4
    assert network.run("receipt", "get", "0" * 64, "--url", "http://127.0.0.1:9").returncode == 3


def test_a_final_receipt_settles_after_the_challenge_window_and_pays(network):
    _, _, answer = network.chat()
    job = answer["inferium"]["job"]
    before = network.nodes()["worker"]["jobs_settled"]
    deadline = time.monotonic() + 60
    while network.receipt(job)[1]["status"] != "settled":
        assert time.monotonic() < deadline, "not settled in time"
        time.sleep(0.5)
    assert network.nodes()["worker"]["jobs_settled"] > before


def test_an_unknown_job_has_no_receipt(network):
    assert network.request("/v1/receipts/" + "0" * 64)[2]["error"]["code"] == "job_not_found"


def test_the_key_pays_what_the_receipts_say(network):
    before = network.request("/v1/key")[2]
    _, _, answer = network.chat()
    _, receipt = network.receipt(answer["inferium"]["job"])
    after = network.request("/v1/key")[2]
    assert after["spent_nano"] - before["spent_nano"] == receipt["fee_nano"] > 0
