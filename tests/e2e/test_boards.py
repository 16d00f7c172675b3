"""Boards of the network: folded by a worker, by its committee, by the command line, and here a fourth time."""

import hashlib
import json
import time
import urllib.request

import pytest
from network import Network
from test_eval import wilson

SUITE, ITEMS = "arithmetic", 120


def evaluate(network, path, seed, *arguments):
    ran = network.run(
        "eval", "run", SUITE, network.model, "--data", network.data, "--json", "--receipts", "--out", path, "--seed", seed, *arguments
    )
    assert ran.returncode == 0, ran.stderr
    return path


@pytest.fixture(scope="module")
def network(tmp_path_factory):
    with Network(tmp_path_factory.mktemp("boards") / "data", "--engine", "mock", model="mock") as network:
        yield network
        assert network.request("/v1/slashes")[2]["data"] == []


@pytest.fixture(scope="module")
def files(network, tmp_path_factory):
    """Two whole runs, and a part of one."""
    folder = tmp_path_factory.mktemp("runs")
    whole = [evaluate(network, folder / f"{seed}.jsonl", seed) for seed in (0, 1)]
    return [*whole, evaluate(network, folder / "part.jsonl", 2, "--limit", 30)]


def publish(network, *arguments):
    return network.run("eval", "publish", *arguments, "--data", network.data, "--json")


@pytest.fixture(scope="module")
def board(network, files):
    """Published, final, and recomputed by whoever published it."""
    ran = publish(network, *files, "--name", "two runs", "--network-key", network.network_key)
    assert ran.returncode == 0, ran.stderr
    shown = json.loads(ran.stdout)
    assert shown["recomputed"] == 1
    return shown["data"][0]


def anyone(network, path):
    """What everyone is shown, without an API key."""
    with urllib.request.urlopen(network.base_url.removesuffix("/v1") + path, timeout=30) as response:
        return json.loads(response.read())


def records(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_a_second_implementation_folds_the_same(network, files, board):
    found = board["board"]
    texts = [path.read_text() for path in files]
    assert found["files"] == [hashlib.sha256(text.encode()).hexdigest() for text in texts]
    assert (found["suite"], found["metric"], found["items"]) == (SUITE, "exact_match", 2 * ITEMS + 30)
    assert found["network"] == network.network_key
    assert found["left_out"] == [{"file": 2, "reason": "it is of a part of the suite"}]
    (row,) = found["rows"]
    items = [record for path in files[:2] for record in records(path) if record["record"] == "item"]
    scores = sum(item["scores_ppm"][0] for item in items)
    mean, low, high = wilson(scores * ITEMS // len(items), ITEMS)
    assert (row["rank"], row["runs"], row["items"]) == (1, 2, ITEMS)
    for field, expected in (("score_ppm", mean), ("low_ppm", low), ("high_ppm", high)):
        assert abs(row[field] - expected) <= 1, field
    assert row["cost_nano_per_thousand"] == sum(item["cost_nano"] for item in items) * 1000 // len(items)
    assert row["receipts_verified_ppm"] == 1_000_000
    assert row["command"] == f"inferium eval run {SUITE} mock --seed 0"


def test_everyone_sees_final_boards_and_recomputes_them(network, files, board):
    listed = anyone(network, "/v1/boards")
    assert [one["id"] for one in listed["data"]] == [board["id"]]
    shown = anyone(network, f"/v1/boards/{board['id']}")
    assert shown["status"] in ("final", "settled") and shown["board"] == board["board"] and shown["name"] == "two runs"
    inputs = anyone(network, f"/v1/boards/{board['id']}/inputs")
    assert inputs["files"] == [path.read_text() for path in files]
    assert json.loads(inputs["board"]) == board["board"]
    ran = network.run(
        "eval", "board", "--from-network", "--suite", SUITE, "--verify", "--network-key", network.network_key, "--url", network.base_url
    )
    assert ran.returncode == 0, ran.stderr
    assert "recomputed: 1 boards" in ran.stdout and board["id"] in ran.stdout and "mock" in ran.stdout
    other = network.run("eval", "board", "--from-network", "--suite", "forms", "--data", network.data)
    assert other.returncode == 4 and "no final board of the suite `forms`" in other.stderr


def test_the_job_is_paid_by_the_item_and_its_receipt_holds(network, board, tmp_path):
    status, receipt = network.receipt(board["id"])
    assert status == 200 and receipt["status"] in ("final", "settled")
    assert receipt["usage"] == {"prompt_tokens": 2 * ITEMS + 30, "completion_tokens": 1}
    assert receipt["fee_nano"] == board["usage"]["cost_nano"] == 10 * (2 * ITEMS + 30)
    # Nobody is spared: all of it is folded again, by two.
    assert receipt["replayed_ppm"] == 1_000_000 and len(receipt["approved_by"]) >= 2
    path = tmp_path / "receipt.json"
    path.write_text(json.dumps(receipt))
    assert network.run("receipt", "verify", path, "--network-key", network.network_key).returncode == 0


def test_what_does_not_fold_is_refused_before_anything_is_paid(network, files, tmp_path):
    text = files[0].read_text()
    spent = network.request("/v1/key")[2]["spent_nano"]
    first = next(record for record in records(files[0]) if record["record"] == "item")
    inflated = text.replace(json.dumps(first["scores_ppm"], separators=(",", ":")), "[1000000]", 1)
    another = json.loads(json.dumps(records(files[0])))
    another[0]["suite"] = "mine"
    unreceipted = "".join(line + "\n" for line in text.splitlines() if '"record":"receipt"' not in line)
    cases = {
        "inflated": [inflated],
        "twice": [text, text],
        "cut": [text[: len(text) // 2]],
        "nothing": ["nothing"],
        "another suite": ["".join(json.dumps(record) + "\n" for record in another)],
        "without receipts": [unreceipted],
    }
    assert inflated != text
    for name, sent in cases.items():
        status, _, body = network.request("/v1/boards", {"files": sent})
        assert (status, body["error"]["param"]) == (400, "files"), (name, body)
        assert "no board: " in body["error"]["message"], (name, body)
    for body, param in (({}, "files"), ({"files": [], "x": 1}, "x"), ({"files": [text], "name": ""}, "name")):
        status, _, answer = network.request("/v1/boards", body)
        assert status == 400 and answer["error"]["param"] in (param, "files"), answer
    assert network.request("/v1/key")[2]["spent_nano"] == spent
    path = tmp_path / "inflated.jsonl"
    path.write_text(inflated)
    ran = publish(network, path)
    assert ran.returncode == 4 and "does not hold" in ran.stderr
    assert network.run("eval", "board", "--from-network", "--verify", "--data", network.data).returncode == 2


def test_boards_stay_over_a_restart(tmp_path):
    with Network(tmp_path / "data", "--engine", "mock", model="mock") as network:
        path = evaluate(network, tmp_path / "run.jsonl", 0)
        assert publish(network, path).returncode == 0
        before = anyone(network, "/v1/boards")["data"]
        assert len(before) == 1 and network.stop() == 0
        network.start()
        after = anyone(network, "/v1/boards")["data"]
        assert [one["board"] for one in after] == [one["board"] for one in before]
        ran = network.run("eval", "board", "--from-network", "--verify", "--network-key", network.network_key, "--data", network.data)
        assert ran.returncode == 0, ran.stderr
        assert network.stop() == 0


def test_a_worker_that_inflates_a_board_is_caught_and_slashed(tmp_path):
    with Network(tmp_path / "data", "--engine", "mock", "--crime", "inflated-board", model="mock") as network:
        cheat = "worker-inflated-board"
        path = evaluate(network, tmp_path / "run.jsonl", 0)
        ran = publish(network, path)
        assert ran.returncode == 4 and "is rejected" in ran.stderr, ran.stderr
        deadline = time.monotonic() + 120
        while not (nodes := network.nodes())[cheat]["slashes"]:
            assert time.monotonic() < deadline, f"not caught:\n{network.tail()}"
            time.sleep(0.5)
        slash = nodes[cheat]["slashes"][-1]
        assert slash["rule"] == "wrong_result" and slash["amount_nano"] > 0 and slash["state"] == "held"
        assert not any(node["slashes"] for name, node in nodes.items() if name != cheat)
        # What was found wrong is shown to nobody.
        assert anyone(network, "/v1/boards")["data"] == []
        shown = anyone(network, f"/v1/boards/{slash['job']}") if slash.get("job") else None
        assert shown is None or (shown["status"] == "rejected" and shown["board"] is None)
        assert network.stop() == 0
