"""Who has a node's disk, its log or its metrics, but not its key, can't read what was asked and answered (SPEC J2).
The same scans find what does stand there, and what is put there on purpose."""

import random
import signal
import struct
import time
import urllib.request

import pytest
from network import Network

# Everything of ours; of libraries only what every log has.
CRATES = "chain engine gateway ledger seal store types validator wallet worker"
LOG = ",".join(["info", "inferium=trace", *(f"inferium_{name}=trace" for name in CRATES.split())])


def words(count):
    """Words that stand nowhere by chance."""
    syllables = [a + b for a in "bdfgklmnprstvz" for b in "aeiou"]
    return ["".join(random.choice(syllables) for _ in range(5)) for _ in range(count)]


def parts_of(text, size=24):
    """Pieces of an answer, one of which every longer piece of it holds: so long that logs and metrics, which are
    English too, hold none by chance."""
    return {text[start : start + size] for start in range(len(text) - size + 1)}


def found_in(content, parts):
    return [part for part in parts if (part if isinstance(part, bytes) else part.encode()) in content]


def scan(data, parts):
    """(file, part) for each part that any file below the folder holds."""
    found = []
    for path in (path for path in data.rglob("*") if path.is_file()):
        try:
            content = path.read_bytes()
        except FileNotFoundError:
            continue  # A running network replaces files.
        found += [(path.name, part) for part in found_in(content, parts)]
    return found


def metrics(network):
    with urllib.request.urlopen(network.admin_url + "/metrics", timeout=30) as response:
        return response.read()


# The token that ends an answer.
END = 2


def ask(network, secret, **fields):
    """An answer to a prompt of secret words. It may not end by itself: a small model likes to, after a word or two."""
    question = f"Tell a long story about these words: {' '.join(secret)}"
    status, _, answer = network.chat(question, max_tokens=48, logit_bias={str(END): -100}, **fields)
    assert status == 200, answer
    text = answer["choices"][0]["message"]["content"]
    assert len(text) > 24, text
    return answer["inferium"]["job"], text


def end(network):
    """Stops the network; all that it ever printed."""
    network.process.send_signal(signal.SIGINT)
    printed = network.process.stdout.read().encode()
    assert network.stop() == 0
    return printed + network.log.read_bytes()


def check_controls(network, job, secret):
    """The scan has something to look at, and would find a leak."""
    files = {path.relative_to(network.data).as_posix() for path in network.data.rglob("*") if path.is_file()}
    assert any(file.startswith("chain/") for file in files), files
    stores = [path for path in network.data.rglob("*.redb")]
    assert len(stores) >= 6, stores
    assert any(bytes.fromhex(job) in store.read_bytes() for store in stores), "the job is in no store"
    planted = network.data / "chain" / "planted"
    planted.write_bytes(b"\x00\xff" * 5_000 + " ".join(secret).encode() + b"\x00")
    assert {name for name, _ in scan(network.data, secret)} == {"planted"}
    planted.unlink()


def check_unread(network, job, secret, parts):
    """No part is readable while validators hold evidence, after they forgot it, in metrics, or in anything printed."""
    deadline = time.monotonic() + 60
    while (told := network.request(f"/v1/receipts/{job}"))[0] == 202:
        assert scan(network.data, parts) == [] and time.monotonic() < deadline
    assert told[2]["status"] in ("final", "settled")
    assert scan(network.data, parts) == [] and found_in(metrics(network), parts) == []
    assert found_in(end(network), parts) == []
    check_controls(network, job, secret)


@pytest.fixture
def loud(monkeypatch):
    monkeypatch.setenv("INFERIUM_LOG", LOG)


def test_disk_logs_and_metrics_of_every_role_hold_neither_prompt_nor_answer(tmp_path, loud):
    secret, stop_word, refused = words(8), words(1), words(4)
    with Network(tmp_path / "data") as network:
        job, text = ask(network, secret, stop=stop_word)
        parts = {*secret, *stop_word, *refused, *parts_of(text)}
        # What is refused may be no less private.
        for fields in ({"max_tokens": 10**6}, {"stop": refused * 99}, {"temperature": refused[0]}, {"user": 7, refused[0]: 1}):
            status, _, answer = network.chat(" ".join(refused), **fields)
            assert 400 <= status < 500, answer
        # While validators hold evidence, and after they forgot it.
        deadline = time.monotonic() + 60
        while (answer := network.request(f"/v1/receipts/{job}"))[0] == 202:
            assert scan(network.data, parts) == [] and time.monotonic() < deadline
        assert answer[2]["status"] in ("final", "settled")
        assert scan(network.data, parts) == []
        told = metrics(network)
        assert b"completion_tokens" in told and found_in(told, parts) == []
        log = end(network)
        assert b"TRACE" in log or b"DEBUG" in log, "the log is not as loud as this test needs it"
        assert found_in(log, [network.nodes_by_name()["worker"]]) and found_in(log, parts) == []
        check_controls(network, job, secret)


def test_a_request_that_relays_hold_is_not_readable_either(tmp_path, loud):
    secret = words(8)
    with Network(tmp_path / "data", "--crime", "silent") as network:
        texts, jobs = [], []
        deadline = time.monotonic() + 120
        while not network.nodes()["worker-silent"]["slashes"]:
            assert time.monotonic() < deadline, f"no request was relayed:\n{network.tail()}"
            job, text = ask(network, secret)
            jobs.append(job)
            texts.append(text)
            assert scan(network.data, secret) == []
        parts = {*secret, *(part for text in texts for part in parts_of(text))}
        assert scan(network.data, parts) == [] and found_in(metrics(network), parts) == []
        log = end(network)
        assert b"reported" in log, "no request was relayed"
        assert found_in(log, parts) == []
        check_controls(network, jobs[-1], secret)


def test_texts_and_their_embeddings_are_not_readable(tmp_path, loud):
    secret = words(8)
    with Network(tmp_path / "data", "--engine", "mock", "--embeddings", model="mock") as network:
        request = {"model": "mock-embedder", "input": [" ".join(secret), secret[0]]}
        status, _, answer = network.request("/v1/embeddings", request)
        assert status == 200, answer
        job = answer["inferium"]["jobs"][0]["job"]
        vectors = [item["embedding"] for item in answer["data"]]
        # Four values beside each other, as they stand in any encoding of ours.
        bits = {struct.pack("<4f", *vector[at : at + 4]) for vector in vectors for at in range(len(vector) - 3)}
        parts = {*secret, *bits}
        for fields in ({"input": [secret[1], 7]}, {"encoding_format": secret[2]}, {secret[3]: 1}, {"dimensions": 5}):
            assert network.request("/v1/embeddings", {**request, **fields})[0] == 400
        check_unread(network, job, secret, parts)
        planted = network.data / "chain" / "planted"
        planted.write_bytes(b"\x00" + struct.pack("<32f", *vectors[0]))
        assert {name for name, _ in scan(network.data, bits)} == {"planted"}


def test_labels_and_their_texts_are_not_readable_either(tmp_path, loud):
    secret, labels = words(8), words(2)
    with Network(tmp_path / "data", "--engine", "mock", model="mock") as network:
        request = {"model": "mock", "input": [" ".join(secret)], "labels": labels, "raw": True}
        status, _, answer = network.request("/v1/classifications", request)
        assert status == 200, answer
        job = answer["inferium"]["jobs"][0]["job"]
        # A continuation goes as tokens, which are the mock's bytes, four of them beside each other.
        tokens = [list(word.encode()) for word in secret + labels]
        parts = {*secret, *labels, *(struct.pack("<4I", *of[at : at + 4]) for of in tokens for at in range(len(of) - 3))}
        for fields in ({"labels": [secret[1], 7]}, {"instructions": [secret[2]]}, {secret[3]: 1}, {"labels": [labels[0]] * 2}):
            assert network.request("/v1/classifications", {**request, **fields})[0] == 400
        check_unread(network, job, secret, parts)
