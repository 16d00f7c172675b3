"""Embeddings through the network: the unmodified `openai` package, the real model, receipts, and cheats that are found."""

import base64
import json
import math
import struct
import time

import openai
import pytest
from network import ROOT, Network, join_until_paid

EMBEDDER = "all-minilm-l6-v2"
MOCK = ("--engine", "mock", "--embeddings")


@pytest.fixture(scope="module")
def network(tmp_path_factory):
    with Network(tmp_path_factory.mktemp("embeddings") / "data", "--embeddings") as network:
        yield network


def client_of(network):
    return openai.OpenAI(base_url=network.base_url, api_key=network.api_key, max_retries=0)


def embed(network, texts, model=EMBEDDER, **fields):
    status, headers, body = network.request("/v1/embeddings", {"model": model, "input": texts, **fields})
    assert status == 200, body
    return headers, body


def cosine(one, other):
    return sum(a * b for a, b in zip(one, other)) / math.sqrt(sum(a * a for a in one) * sum(b * b for b in other))


def bits(vector):
    return struct.pack(f"<{len(vector)}f", *vector)


def test_openai_client_gets_vectors_that_mean_something(network):
    client = client_of(network)
    texts = ["A cat sleeps on the sofa.", "A kitten is napping on the couch.", "The central bank raised interest rates."]
    answer = client.embeddings.create(model=EMBEDDER, input=texts)
    assert [item.index for item in answer.data] == [0, 1, 2] and answer.model == EMBEDDER
    vectors = [item.embedding for item in answer.data]
    assert all(len(vector) == 384 and abs(math.hypot(*vector) - 1) < 1e-5 for vector in vectors)
    assert cosine(vectors[0], vectors[1]) > 0.6 > 0.2 > cosine(vectors[0], vectors[2])
    assert answer.usage.prompt_tokens == answer.usage.total_tokens > 20
    # One text, and floats: the same bits.
    one = client.embeddings.create(model=EMBEDDER, input=texts[0], encoding_format="float")
    assert bits(one.data[0].embedding) == bits(vectors[0])
    models = {model.id: model for model in client.models.list().data}
    assert models[EMBEDDER].task == "embedding" and models[EMBEDDER].dimensions == 384
    assert models[network.model].task == "chat"


def test_floats_and_base64_are_the_same_vectors(network):
    texts = ["one", "two", "grüße 🙂 世界", " "]
    floats = embed(network, texts)[1]["data"]
    encoded = embed(network, texts, encoding_format="base64", dimensions=384)[1]["data"]
    for plain, coded in zip(floats, encoded, strict=True):
        values = struct.unpack("<384f", base64.b64decode(coded["embedding"]))
        assert bits(plain["embedding"]) == bits(values)


def test_a_large_request_is_several_jobs_with_receipts(network, tmp_path):
    texts = [f"This is sentence number {number} of a longer list." for number in range(150)]
    headers, body = embed(network, texts)
    assert [item["index"] for item in body["data"]] == list(range(150))
    jobs = body["inferium"]["jobs"]
    assert len(jobs) >= 3 and headers["x-inferium-job"] == jobs[0]["job"]
    assert [job["texts"][0] for job in jobs] == [0] + [job["texts"][1] + 1 for job in jobs[:-1]]
    assert jobs[-1]["texts"][1] == 149
    # In their order, whatever job and worker they came from.
    for number in (0, 63, 64, 149):
        alone = embed(network, texts[number])[1]["data"][0]["embedding"]
        assert alone == body["data"][number]["embedding"]
    for job in jobs:
        status, receipt = network.receipt(job["job"])
        assert status == 200 and receipt["status"] in ("final", "settled"), receipt
    path = tmp_path / "receipt.json"
    url = network.base_url.removesuffix("/v1")
    assert network.run("receipt", "get", jobs[0]["job"], "--url", url, "--out", path).returncode == 0
    verified = network.run("receipt", "verify", path, "--network-key", network.network_key)
    assert verified.returncode == 0, verified.stderr


def test_chat_goes_on_beside_it(network):
    status, _, answer = network.chat()
    assert status == 200 and answer["choices"][0]["message"]["content"]
    assert not any(node["slashes"] for node in network.nodes().values())
    assert network.nodes()["embedder"]["tier"] == "low"


@pytest.mark.parametrize(
    ("fields", "param", "says"),
    [
        ({"input": ""}, "input", "empty"),
        ({"input": []}, "input", "at least one"),
        ({"input": ["a", ""]}, "input", "text 1"),
        ({"input": [1, 2, 3]}, "input", "vocabulary"),
        ({"input": [[1, 2], [3]]}, "input", "vocabulary"),
        ({"input": ["x"] * 2049}, "input", "2048"),
        ({"input": "word " * 300}, "input", "at most 256"),
        ({"input": "a", "dimensions": 256}, "dimensions", "384"),
        ({"input": "a", "encoding_format": "hex"}, "encoding_format", "base64"),
        ({"input": "a", "stream": True}, "stream", "not supported"),
        ({"input": "a", "model": "smollm2-135m-instruct"}, "model", "/v1/chat/completions"),
    ],
)
def test_bad_input_is_told_by_its_parameter(network, fields, param, says):
    status, _, body = network.request("/v1/embeddings", {"model": EMBEDDER, **fields})
    assert status == 400 and body["error"]["param"] == param and says in body["error"]["message"], body


def test_a_network_without_an_embedder_says_so(tmp_path):
    with Network(tmp_path / "data", "--engine", "mock", model="mock") as network:
        status, _, body = network.request("/v1/embeddings", {"model": EMBEDDER, "input": "a"})
        assert status == 404 and body["error"]["code"] == "model_not_found" and "`mock`" in body["error"]["message"]


def test_a_model_is_named_for_what_it_does(tmp_path):
    def refused(*arguments):
        ended = Network(tmp_path).run("up", "--data", tmp_path / "data", "--listen", "127.0.0.1:0", *arguments)
        assert ended.returncode == 2, ended
        return ended.stderr

    assert "is for embeddings: name it with --embeddings" in refused("--model", EMBEDDER)
    assert "is for chat: name it with --model" in refused("--embeddings", "smollm2-135m-instruct")


def test_an_encoder_of_integers_is_compiled_and_served(network, tmp_path):
    texts = ROOT / "models" / "exact" / "minilm" / "calibration.txt"
    made = network.run("exact", "compile", EMBEDDER, "--calibration", texts, "--out", tmp_path / "minilm-exact", "--json")
    assert made.returncode == 0, made.stderr
    model = json.loads(made.stdout)
    assert model["output"] == [384, 1, 1] and model["parameters"] > 22_000_000
    (tmp_path / "tokens.jsonl").write_text("[101, 7592, 102]\n[101, 2088, 7592, 2088, 102]\n")
    ran = network.run("exact", "run", tmp_path / "minilm-exact" / "model.ifx", "--input", tmp_path / "tokens.jsonl", "--json")
    assert [len(row["logits"]) for row in json.loads(ran.stdout)["data"]] == [384, 384], ran.stderr
    sentences = ["A cat sleeps on the sofa.", "A kitten is napping on the couch.", "The central bank raised interest rates."]
    floats = [item["embedding"] for item in embed(network, sentences)[1]["data"]]
    with Network(tmp_path / "data", "--engine", "mock", "--embeddings", tmp_path / "minilm-exact", model="mock") as integers:
        body = embed(integers, sentences, "minilm-exact")[1]
        vectors = [item["embedding"] for item in body["data"]]
        assert all(cosine(one, other) > 0.995 for one, other in zip(vectors, floats, strict=True))
        assert cosine(vectors[0], vectors[1]) > 0.6 > 0.2 > cosine(vectors[0], vectors[2])
        status, receipt = integers.receipt(body["inferium"]["jobs"][0]["job"], timeout=120)
        assert status == 200 and receipt["status"] in ("final", "settled"), receipt
        profile = next(m for m in integers.request("/v1/models")[2]["data"] if m["id"] == "minilm-exact")
        assert model["id"] in json.dumps(profile), "the profile names the model's id"
        assert not any(node["slashes"] for node in integers.nodes().values())
    refused = network.run("up", "--engine", "mock", "--embeddings", tmp_path / "minilm-exact", "--crime", "skipped-layers", "--data", tmp_path / "other")
    assert refused.returncode == 2 and "of floats" in refused.stderr
    (tmp_path / "minilm-exact" / "model.ifx").write_bytes(b"IFX\x01\x01\x00no model")
    refused = network.run("up", "--engine", "mock", "--embeddings", tmp_path / "minilm-exact", "--data", tmp_path / "other")
    assert refused.returncode == 2 and "model.ifx is damaged" in refused.stderr, refused.stderr


@pytest.mark.parametrize("crime", ["copied", "edited-text", "skipped-layers"])
def test_a_cheat_is_caught(tmp_path, crime):
    engine = () if crime == "skipped-layers" else ("--engine", "mock")
    with Network(tmp_path / "data", *engine, "--embeddings", "--crime", crime) as network:
        model = next(m["id"] for m in network.request("/v1/models")[2]["data"] if m["task"] == "embedding")
        cheat, deadline = f"embedder-{crime}", time.monotonic() + 120
        asked = 0
        while not (nodes := network.nodes())[cheat]["slashes"]:
            assert time.monotonic() < deadline, f"not caught:\n{network.tail()}"
            asked += 1
            embed(network, [f"What is number {asked}?", f"And what comes after {asked}?"], model)
        slash = nodes[cheat]["slashes"][-1]
        assert slash["rule"] == "wrong_result" and slash["amount_nano"] > 0, slash
        honest = {name: node["slashes"] for name, node in nodes.items() if not name.endswith(crime)}
        assert not any(honest.values()), honest
        assert network.stop() == 0


def test_an_embedder_joins_and_is_paid(tmp_path):
    with Network(tmp_path / "data", *MOCK) as network:
        join_until_paid(network, tmp_path, ["--embeddings"], lambda number: embed(network, [f"text {number}"], "mock-embedder"))
