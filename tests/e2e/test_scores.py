"""Classification by labels through the network: the real model, the same answer again, receipts, and cheats that are found."""

import math
import time

import pytest
from network import Network

SENTIMENT = [
    ("I love this, it is the best day of my life.", "positive"),
    ("This is awful and I hate every minute of it.", "negative"),
    ("What a wonderful, delightful surprise!", "positive"),
    ("The food was disgusting and the service terrible.", "negative"),
]
# Items of a benchmark with choices of their own: what comes next, as the model has read it thousands of times.
CHOICES = [
    ("The capital of France is", [" Paris", " London", " Tokyo"], " Paris"),
    ("One, two, three, four,", [" nine", " five", " apple"], " five"),
    ("Water is made of hydrogen and", [" gold", " oxygen", " sand"], " oxygen"),
    ("The opposite of hot is", [" cold", " red", " tall"], " cold"),
]


@pytest.fixture(scope="module")
def network(tmp_path_factory):
    with Network(tmp_path_factory.mktemp("scores") / "data", "--embeddings") as network:
        yield network


def classify(network, **fields):
    return network.request("/v1/classifications", {"model": network.model, **fields})


def classified(network, **fields):
    status, headers, body = classify(network, **fields)
    assert status == 200, body
    return headers, body


def test_texts_get_the_label_that_the_model_would_write(network):
    texts, labels = [text for text, _ in SENTIMENT], ["positive", "negative"]
    headers, body = classified(network, input=texts, labels=labels)
    assert [item["index"] for item in body["data"]] == [0, 1, 2, 3] and body["object"] == "list"
    for item in body["data"]:
        assert item["num_classes"] == 2 and abs(sum(item["probs"]) - 1) < 1e-9
        best = max(item["scores"], key=lambda score: score["logprob"])
        assert item["label"] == best["label"] and all(score["logprob"] < 0 for score in item["scores"])
        ratio = math.exp(item["scores"][0]["logprob"] - item["scores"][1]["logprob"])
        assert math.isclose(item["probs"][0] / item["probs"][1], ratio, rel_tol=1e-9)
    # The model is small: it tells the delighted from the disgusted by more than chance.
    likely = [item["probs"][0] for item in body["data"]]
    assert min(likely[0], likely[2]) > max(likely[1], likely[3]), likely
    assert body["usage"]["prompt_tokens"] == body["usage"]["total_tokens"] > 200
    # Nothing is drawn: the same question has the same answer, to the bit.
    assert classified(network, input=texts, labels=labels)[1]["data"] == body["data"]
    job = body["inferium"]["jobs"][0]
    assert headers["x-inferium-job"] == job["job"]
    assert network.receipt(job["job"], timeout=60)[1]["status"] in ("final", "settled")


def test_items_of_a_benchmark_have_choices_of_their_own(network):
    items = {"input": [item[0] for item in CHOICES], "labels": [item[1] for item in CHOICES], "raw": True}
    _, body = classified(network, **items)
    assert [item["label"] for item in body["data"]] == [item[2] for item in CHOICES]
    # A likely word alone is greedy where the model would write just that.
    assert any(score["is_greedy"] for item in body["data"] for score in item["scores"])
    # Many become several jobs, each with a receipt, and mean the same.
    many = {"input": items["input"] * 30, "labels": items["labels"] * 30, "raw": True}
    _, again = classified(network, **many)
    assert [item["scores"] for item in again["data"][:4]] == [item["scores"] for item in body["data"]]
    assert again["data"][4:8] == [{**item, "index": index} for index, item in enumerate(again["data"][:4], 4)]
    jobs = again["inferium"]["jobs"]
    assert len(jobs) > 1 and jobs[0]["texts"][0] == 0 and jobs[-1]["texts"][1] == 359
    for job in jobs:
        assert network.receipt(job["job"], timeout=60)[1]["status"] in ("final", "settled")


def test_bad_requests_are_refused_by_name(network):
    for fields, param in [
        ({"input": "x", "labels": ["a"]}, "labels"),
        ({"input": "x", "labels": ["a", "a"]}, "labels"),
        ({"input": ["x"], "labels": [["a", "b"], ["c", "d"]]}, "labels"),
        ({"input": "", "labels": ["a", "b"]}, "input"),
        ({"labels": ["a", "b"]}, "input"),
        ({"input": "x", "labels": ["a", "b"], "temperature": 1}, "temperature"),
        ({"input": "x", "labels": ["a", "b"], "raw": 1}, "raw"),
        ({"input": "x " * 10_000, "labels": ["a", "b"]}, "input"),
    ]:
        status, _, body = classify(network, **fields)
        assert status == 400 and body["error"]["param"] == param, body
    status, _, body = network.request(
        "/v1/classifications", {"model": "all-minilm-l6-v2", "input": "x", "labels": ["a", "b"]}
    )
    assert status == 400 and "is for embedding" in body["error"]["message"], body


@pytest.mark.parametrize("crime", ["edited-text", "copied", "wrong-weights"])
def test_lies_about_scores_are_found(tmp_path, crime):
    engine = () if crime == "wrong-weights" else ("--engine", "mock")
    model = {} if crime == "wrong-weights" else {"model": "mock"}
    with Network(tmp_path / "data", *engine, "--crime", crime, **model) as network:
        cheat, deadline, asked = f"worker-{crime}", time.monotonic() + 120, 0
        while not (nodes := network.nodes())[cheat]["slashes"]:
            assert time.monotonic() < deadline, f"not caught:\n{network.tail()}"
            asked += 1
            texts = [f"Is {asked} so?", f"Why not {asked}?"]
            classified(network, input=texts, labels=[["yes", "not"], ["may", "can"]], raw=True)
        slash = nodes[cheat]["slashes"][-1]
        assert slash["rule"] == "wrong_result" and slash["amount_nano"] > 0, slash
        assert not any(node["slashes"] for name, node in nodes.items() if name != cheat)
        assert network.stop() == 0
