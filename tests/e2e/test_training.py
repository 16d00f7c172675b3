"""Training by the network: each interval by a worker, again by a committee, and here a third time by the command line."""

import base64
import json
import random
import signal
import struct
import time
import urllib.request

import pytest
from network import ROOT, Network

TOPICS = ROOT / "datasets" / "topics" / "topics.jsonl"
WIDTH, LINES, LABELS = 16, 90, ["ant", "bee", "cat"]
# What a processor measures is no tier High: who trains must be of it all the same.
TRAINING = ("--engine", "mock", "--training", "--set", "tier_mid_score=1", "--set", "tier_high_score=2")
RUN = {"steps": 40, "interval": 10, "batch": 8, "learning_rate_nano": 20_000_000, "held_out_ppm": 200_000}


def texts():
    line = lambda number: json.dumps({"text": f"line {number}", "label": LABELS[number % 3]})
    return "".join(line(number) + "\n" for number in range(LINES))


def floats():
    draw = random.Random(7)
    numbers = []
    for number in range(LINES):
        direction = [1.0 if place % 3 == number % 3 else 0.0 for place in range(WIDTH)]
        numbers += [one + draw.uniform(-0.4, 0.4) for one in direction]
    return struct.pack(f"<{len(numbers)}f", *numbers)


def body(**changes):
    model = {"name": "made-up", "weights_root": "0" * 64, "tokenizer": "0" * 64}
    return {"data": texts(), "vectors": base64.b64encode(floats()).decode(), "model": model, **RUN, **changes}


def key_of(network, budget):
    made = network.run("key", "create", "--budget", budget, "--data", network.data, "--json")
    assert made.returncode == 0, made.stderr
    return json.loads(made.stdout)["secret"]


def anyone(network, path):
    """What everyone is shown, without an API key."""
    with urllib.request.urlopen(network.base_url.removesuffix("/v1") + path, timeout=30) as response:
        return json.loads(response.read())


def download(network, run, name):
    request = urllib.request.Request(f"{network.base_url}/training/runs/{run}/files/{name}")
    request.add_header("authorization", f"Bearer {network.api_key}")
    with urllib.request.urlopen(request, timeout=30) as response:
        return response.read()


def follow(network, run, until, seconds=180):
    deadline = time.monotonic() + seconds
    while not until(shown := anyone(network, f"/v1/training/runs/{run}")):
        assert time.monotonic() < deadline, f"{json.dumps(shown)[:2000]}\n{network.tail()}"
        assert shown["status"] != "failed", shown
        time.sleep(0.3)
    return shown


def finished(network, run):
    return follow(network, run, lambda shown: shown["status"] == "finished")


@pytest.fixture(scope="module")
def network(tmp_path_factory):
    with Network(tmp_path_factory.mktemp("training") / "data", *TRAINING, model="mock") as network:
        yield network
        assert network.request("/v1/slashes")[2]["data"] == []


@pytest.fixture(scope="module")
def run(network):
    status, _, begun = network.request("/v1/training/runs", body())
    assert status == 200, begun
    assert begun["status"] == "announced" and begun["intervals"] == 4 and begun["run"] is None
    return finished(network, begun["id"])


def test_a_run_is_trained_an_interval_at_a_time_and_learns(network, run):
    assert network.nodes()["trainer"]["tier"] == "high"
    assert (run["intervals_done"], len(run["losses"]), run["rejected"]) == (4, 40, 0)
    assert [job["status"] in ("final", "settled") for job in run["jobs"]] == [True] * 4
    assert len({job["root"] for job in run["jobs"]}) == 4 and run["jobs"][-1]["root"] == run["root"]
    assert run["losses"][-1] < run["losses"][0] / 2
    assert run["after"]["correct"] > run["before"]["correct"] and run["after"]["lines"] == LINES - run["examples"]


def test_the_order_is_the_beacon_s_and_is_drawn_after_the_announcement(network, run):
    announced = run["announcement"]
    assert announced["status"] in ("final", "settled") and len(announced["drawn"]) == 64
    assert len({run["order"], run["seed"], "0" * 64}) == 3
    # The same run is not drawn twice: who sends it again is shown it.
    again = network.request("/v1/training/runs", body())[2]
    assert (again["id"], again["order"], again["root"]) == (run["id"], run["order"], run["root"])


def test_each_interval_is_paid_by_its_examples_and_has_a_receipt_that_holds(network, run, tmp_path):
    for job in run["jobs"]:
        status, receipt = network.receipt(job["job"])
        assert status == 200 and receipt["status"] in ("final", "settled")
        examples = receipt["usage"]["prompt_tokens"]
        assert 10 <= examples <= 80 and receipt["usage"]["completion_tokens"] == 1
        assert receipt["fee_nano"] == job["cost_nano"] == 10 * examples + 10_000
        # Nobody is spared: all of it is trained again, by two.
        assert receipt["replayed_ppm"] == 1_000_000 and len(receipt["approved_by"]) >= 2
    path = tmp_path / "receipt.json"
    path.write_text(json.dumps(receipt))
    assert network.run("receipt", "verify", path, "--network-key", network.network_key).returncode == 0


def test_what_was_trained_can_be_had_by_who_paid_alone(network, run):
    for index in range(5):
        assert download(network, run["id"], f"{index:08}.checkpoint").startswith(b"inferium-checkpoint/1\n")
    assert json.loads(download(network, run["id"], "labels.json")) == LABELS
    head = download(network, run["id"], "head.safetensors")
    (size,) = struct.unpack("<Q", head[:8])
    assert json.loads(head[8 : 8 + size])["weight"]["shape"] == [3, WIDTH]
    for name in ("00000005.checkpoint", "data.jsonl", "..", "x"):
        status, _, answer = network.request(f"/v1/training/runs/{run['id']}/files/{name}")
        assert status in (400, 404), answer
    key = key_of(network, "1")
    assert network.request(f"/v1/training/runs/{run['id']}/files/spec.bin", key=key)[0] == 404
    assert network.request("/v1/training/runs", body(steps=41), key="sk-none")[0] == 401


def test_what_can_t_be_trained_is_refused_before_anything_is_paid(network):
    spent = network.request("/v1/key")[2]["spent_nano"]
    vectors = base64.b64encode(floats()).decode()
    cases = {
        "no data": ({"data": None}, "data"),
        "no json": ({"data": "text"}, "data"),
        "one label": ({"data": texts().replace("bee", "ant").replace("cat", "ant")}, "data"),
        "no vectors": ({"vectors": "!"}, "vectors"),
        "cut vectors": ({"vectors": vectors[:-8]}, "vectors"),
        "no steps": ({"steps": 0}, "steps"),
        "too many intervals": ({"steps": 2_000, "interval": 1}, "interval"),
        "too many examples": ({"steps": 8_000, "interval": 8_000, "batch": 4_096}, "interval"),
        "no such model": ({"model": {"name": "x", "weights_root": "0", "tokenizer": "0" * 64}}, "model.weights_root"),
        "unknown": ({"order": "0" * 64}, "order"),
        "unknown of a model": ({"model": {"x": 1, "name": "x", "weights_root": "0" * 64, "tokenizer": "0" * 64}}, "model.x"),
    }
    for name, (changes, param) in cases.items():
        status, _, answer = network.request("/v1/training/runs", body(**changes))
        assert (status, answer["error"]["param"]) == (400, param), (name, answer)
    # A run is paid for as a whole, or not begun: this one costs up to 10 nano-IFR an example and 10,000 an interval.
    cost = 10 * (40 * 8 + 1) + 10_000 * 5
    poor, able = (key_of(network, f"{nano / 1e9:.9f}") for nano in (cost - 1, cost))
    status, _, answer = network.request("/v1/training/runs", body(), key=poor)
    assert (status, answer["error"]["code"]) == (402, "payment_required"), answer
    assert network.request("/v1/training/runs", body(), key=able)[0] == 200
    assert network.request("/v1/key")[2]["spent_nano"] == spent
    assert network.request("/v1/training/runs/" + "0" * 64)[0] == 404


def test_the_command_has_the_network_train_and_verifies_what_it_kept(network, tmp_path):
    data, folder, key = tmp_path / "few.jsonl", tmp_path / "run", tmp_path / "key"
    data.write_text("".join(TOPICS.read_text().splitlines(keepends=True)[:240]))
    key.write_text(network.api_key + "\n")
    command = ("train", "head", "--data", data, "--out", folder, "--epochs", "4", "--interval", "8")
    where = ("--on-network", network.base_url, "--key-file", key, "--json")
    ran = network.run(*command, *where)
    assert ran.returncode == 0, ran.stderr + network.tail()
    shown = json.loads(ran.stdout)
    assert shown["is_finished"] and shown["intervals_done"] == shown["intervals"] >= 3
    (run,) = [one for one in anyone(network, "/v1/training/runs")["data"] if one["model"]["name"] == "all-minilm-l6-v2"]
    told = anyone(network, f"/v1/training/runs/{run['id']}")
    for ours, theirs in (("losses", "losses"), ("run", "run"), ("order", "order"), ("seed", "seed"), ("root", "root")):
        assert shown[ours] == told[theirs], ours
    assert (folder / "head.safetensors").read_bytes() == download(network, run["id"], "head.safetensors")
    assert shown["after"]["correct"] == told["after"]["correct"] > told["before"]["correct"]
    # A third time, here: every interval, every vector.
    verified = network.run("train", "verify", folder, "--all", "--json")
    assert verified.returncode == 0, verified.stderr
    assert json.loads(verified.stdout)["verified"] == list(range(shown["intervals"]))
    again = network.run(*command, *where)
    assert again.returncode == 0 and json.loads(again.stdout) == shown, again.stderr
    assert network.run(*command, *where, "--seed", "1").returncode == 2


def test_pages_show_runs_and_their_curves(network, run):
    listed = anyone(network, "/training.json")
    assert run["id"] in [one["id"] for one in listed["data"]]
    # The page reads numbers and writes them again: a double may be the one beside it.
    assert anyone(network, f"/training/{run['id']}.json")["losses"] == pytest.approx(run["losses"], rel=1e-12)
    address = network.base_url.removesuffix("/v1") + f"/training/{run['id']}"
    with urllib.request.urlopen(address, timeout=30) as response:
        page = response.read().decode()
    assert f'data-chart="/training/{run["id"]}.json"' in page and run["root"] in page


def test_a_gateway_that_is_killed_goes_on_from_the_last_final_interval(tmp_path):
    with Network(tmp_path / "data", *TRAINING, model="mock") as network:
        begun = network.request("/v1/training/runs", body(steps=60))[2]
        before = follow(network, begun["id"], lambda shown: shown["intervals_done"] >= 2)
        assert network.stop(signal.SIGKILL) != 0
        # What a network begins with stands.
        network.arguments = TRAINING[:3]
        network.start()
        after = finished(network, begun["id"])
        done = before["intervals_done"]
        assert after["jobs"][:done] == [{**job, "status": now["status"]} for job, now in zip(before["jobs"], after["jobs"])][:done]
        assert after["losses"][: len(before["losses"])] == before["losses"] and after["order"] == before["order"]
        assert after["intervals_done"] == 6 and len(after["losses"]) == 60
        assert network.stop() == 0


def test_a_worker_that_makes_up_losses_is_caught_and_slashed(tmp_path):
    with Network(tmp_path / "data", *TRAINING, "--crime", "fabricated-loss", model="mock") as network:
        cheat = "trainer-fabricated-loss"
        begun = network.request("/v1/training/runs", body())[2]
        deadline = time.monotonic() + 180
        while not (nodes := network.nodes())[cheat]["slashes"]:
            assert time.monotonic() < deadline, f"not caught:\n{network.tail()}"
            time.sleep(0.5)
        slash = nodes[cheat]["slashes"][-1]
        assert slash["rule"] == "wrong_result" and slash["amount_nano"] > 0 and slash["state"] == "held"
        assert not any(node["slashes"] for name, node in nodes.items() if name != cheat)
        # The announcement held, no made-up loss is shown to anybody, and the first interval is to be trained again.
        shown = follow(network, begun["id"], lambda shown: shown["rejected"] >= 1)
        assert shown["announcement"]["status"] in ("final", "settled")
        assert (shown["losses"], shown["intervals_done"], shown["root"]) == ([], 0, None)
        assert "an interval was not trained as claimed" in network.log.read_text(errors="replace")
        assert network.stop() == 0
