"""Classifiers through the network: integer models of tensors and of texts, pictures, receipts, and cheats that are found."""

import base64
import json
import random
import struct
import time
import zlib

import pytest
from network import ROOT, Network, done, inferium, join_until_paid

TOPICS = ROOT / "datasets" / "topics" / "topics.jsonl"
WIDTH, HEIGHT = 4, 3


def safetensors(rows, channels=1):
    """A linear model of pictures: a length, a head in JSON, floats."""
    weights = struct.pack(f"<{len(rows) * len(rows[0])}f", *(value for row in rows for value in row))
    biases = struct.pack(f"<{len(rows)}f", *([0.0] * len(rows)))
    head = {
        "__metadata__": {
            "input": f"{channels},{HEIGHT},{WIDTH}", "input_range": "0,255", "input_scale": repr(1 / 255), "layers": "flatten,dense a",
        },
        "a.weight": {"dtype": "F32", "shape": [len(rows), len(rows[0])], "data_offsets": [0, len(weights)]},
        "a.bias": {"dtype": "F32", "shape": [len(rows)], "data_offsets": [len(weights), len(weights) + len(biases)]},
    }
    text = json.dumps(head).encode()
    return struct.pack("<Q", len(text)) + text + weights + biases


def png(rows):
    """A gray picture as a data URL."""

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", len(rows[0]), len(rows), 8, 0, 0, 0, 0)
    pixels = zlib.compress(b"".join(b"\0" + bytes(row) for row in rows))
    bytes_ = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")
    return "data:image/png;base64," + base64.b64encode(bytes_).decode()


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """An integer model that says which row of a picture is the brightest."""
    path = tmp_path_factory.mktemp("model")
    rows = [[1.0 if place // WIDTH == row else 0.0 for place in range(WIDTH * HEIGHT)] for row in range(HEIGHT)]
    (path / "rows.safetensors").write_bytes(safetensors(rows))
    rng = random.Random(3)
    inputs = [[rng.randrange(256) for _ in range(WIDTH * HEIGHT)] for _ in range(20)]
    (path / "data.jsonl").write_text("".join(json.dumps(row) + "\n" for row in inputs))
    done("exact", "compile", path / "rows.safetensors", "--calibration", path / "data.jsonl", "--out", path / "rows.ifx")
    return path / "rows.ifx", path / "data.jsonl"


@pytest.fixture(scope="module")
def network(model, tmp_path_factory):
    with Network(tmp_path_factory.mktemp("classify") / "data", "--engine", "mock", "--classifier", model[0]) as network:
        yield network


def classify(network, inputs, model="rows", **fields):
    return network.request("/v1/classifications", {"model": model, "input": inputs, **fields})


def test_tensors_get_the_numbers_that_the_model_alone_gives(network, model):
    path, data = model
    inputs = [json.loads(line) for line in data.read_text().splitlines()]
    alone = json.loads(done("exact", "run", path, "--input", data, "--json").stdout)["data"]
    status, headers, body = classify(network, inputs)
    assert status == 200, body
    assert [item["logits"] for item in body["data"]] == [row["logits"] for row in alone]
    assert [item["class"] for item in body["data"]] == [row["label"] for row in alone]
    for index, item in enumerate(body["data"]):
        assert item["index"] == index and item["label"] == str(item["class"]) and item["num_classes"] == HEIGHT
    # A tensor of 12 numbers counts as one token.
    assert body["usage"]["prompt_tokens"] == len(inputs) and body["usage"]["cost_nano"] > 0
    shown = next(one for one in network.request("/v1/models")[2]["data"] if one["id"] == "rows")
    assert shown["task"] == "classification" and shown["labels"] == ["0", "1", "2"]
    assert shown["input"] == {
        "type": "tensor", "elements": 12, "minimum": 0, "maximum": 255, "channels": 1, "height": HEIGHT, "width": WIDTH,
    }
    described = json.loads(done("exact", "show", path, "--json").stdout)
    assert shown["weights_root"] == described["id"] and shown["verification"] == "exact"


def test_a_picture_is_its_pixels(network):
    rows = [[0, 10, 20, 30], [250, 240, 255, 1], [9, 8, 7, 6]]
    flat = [pixel for row in rows for pixel in row]
    status, _, body = classify(network, [{"image": png(rows)}, flat])
    assert status == 200, body
    assert body["data"][0]["logits"] == body["data"][1]["logits"] and body["data"][0]["label"] == "1"
    status, _, body = classify(network, {"image": png([row[:3] for row in rows])})
    assert status == 400 and "3 by 3 pixels, and the model reads 4 by 3" in body["error"]["message"]


@pytest.mark.parametrize(
    "fields, param, words",
    [
        ({"input": [1, 2]}, "input", "2 elements"),
        ({"input": [256] * 12}, "input", "from 0 to 255"),
        ({"input": "a"}, "input", "reads numbers"),
        ({"input": [1] * 12, "labels": ["a", "b"]}, "labels", "labels of its own"),
        ({"model": "mock", "input": "a"}, "labels", "needed"),
        ({"input": [1] * 12, "temperature": 1}, "temperature", "temperature"),
    ],
)
def test_what_is_wrong_is_named(network, fields, param, words):
    status, _, body = network.request("/v1/classifications", {"model": "rows", **fields})
    assert status == 400 and body["error"]["param"] == param and words in body["error"]["message"], body
    wrong = network.request("/v1/embeddings", {"model": "rows", "input": "a"})[2]["error"]["message"]
    assert "/v1/classifications" in wrong


def test_a_receipt_opens_to_what_was_asked_and_answered(network, tmp_path):
    status, _, body = classify(network, [7] * 11 + [200], opening=True)
    assert status == 200, body
    job = body["inferium"]["jobs"][0]["job"]
    (tmp_path / "answer.json").write_text(json.dumps(body))
    status, receipt = network.receipt(job)
    assert status == 200 and receipt["status"].startswith("final"), receipt
    (tmp_path / "receipt.json").write_text(json.dumps(receipt))
    verified = done("receipt", "verify", tmp_path / "receipt.json", "--network-key", network.network_key, "--answer", tmp_path / "answer.json")
    assert f"class {body['data'][0]['class']} of {HEIGHT}" in verified.stdout


@pytest.mark.parametrize("crime", ["edited-text", "copied"])
def test_a_cheat_is_caught(model, tmp_path, crime):
    with Network(tmp_path / "data", "--engine", "mock", "--classifier", model[0], "--crime", crime) as network:
        deadline = time.monotonic() + 120
        cheat = next(name for name in network.nodes() if name.startswith("classifier-") and name.endswith(crime))
        rng = random.Random(5)
        while not (nodes := network.nodes())[cheat]["slashes"]:
            assert time.monotonic() < deadline, f"not caught:\n{network.tail()}"
            status, _, body = classify(network, [[rng.randrange(256) for _ in range(12)] for _ in range(2)])
            assert status == 200, body
        slash = nodes[cheat]["slashes"][-1]
        assert slash["rule"] == "wrong_result" and slash["amount_nano"] > 0, slash
        honest = {name: node["slashes"] for name, node in nodes.items() if not name.endswith(crime)}
        assert not any(honest.values()), honest
        assert network.stop() == 0


def test_a_classifier_joins_and_is_paid(network, model, tmp_path):
    def ask(number):
        assert classify(network, [number] * 12)[0] == 200

    join_until_paid(network, tmp_path, ["--classifier", model[0]], ask)


def test_a_trained_classifier_is_published_and_served(tmp_path):
    """Texts by the real embedding model: trained, made an integer model, and asked through the network."""
    data = tmp_path / "few.jsonl"
    data.write_text("".join(TOPICS.read_text().splitlines(keepends=True)[:300]))
    done("train", "head", "--data", data, "--out", tmp_path / "run", "--epochs", "6")
    out = tmp_path / "topics"
    published = json.loads(done("train", "publish", tmp_path / "run", "--out", out, "--name", "topics", "--json").stdout)
    held = published["held_out"]
    assert held["lines"] > 30 and held["same_label"] >= held["lines"] - 1
    assert abs(held["integer_correct"] - held["float_correct"]) <= 1 < held["integer_correct"]
    again = inferium("train", "publish", tmp_path / "run", "--out", out)
    assert again.returncode == 4 and "is there already" in again.stderr
    with Network(tmp_path / "data", "--engine", "mock", "--classifier", out) as network:
        lines = [json.loads(line) for line in data.read_text().splitlines()[:40]]
        status, _, body = classify(network, [line["text"] for line in lines], "topics")
        assert status == 200, body
        right = sum(item["label"] == line["label"] for item, line in zip(body["data"], lines))
        assert right >= 30, f"{right} of 40"
        assert body["usage"]["prompt_tokens"] > 400
        job = body["inferium"]["jobs"][0]["job"]
        assert network.receipt(job)[1]["status"].startswith("final")
        status, _, body = classify(network, [[1, 2]], "topics")
        assert status == 400 and body["error"]["param"] == "input"
        assert network.stop() == 0
