"""Adapters of the real model, trained by the network an interval at a time: on its own weights, again by a committee, and here a third time."""

import json
import signal
import time

import pytest
from network import ROOT, Network
from test_training import anyone, download, finished, follow, key_of

TOPICS = ROOT / "datasets" / "topics" / "topics.jsonl"
# What a processor measures is no tier High: who trains must be of it all the same.
TRAINING = ("--training", "--set", "tier_mid_score=1", "--set", "tier_high_score=2")
ADAPTERS = {"rank": 2, "alpha": 4, "layers": 2, "sequence": 16}


def lines(count):
    return "".join(TOPICS.read_text().splitlines(keepends=True)[:count])


@pytest.fixture(scope="module")
def network(tmp_path_factory):
    with Network(tmp_path_factory.mktemp("adapters") / "data", *TRAINING) as network:
        yield network
        assert network.request("/v1/slashes")[2]["data"] == []


@pytest.fixture(scope="module")
def trained(network, tmp_path_factory):
    """What the command has the network train: its folder, and what it says of it."""
    folder = tmp_path_factory.mktemp("run")
    data, key = folder / "few.jsonl", folder / "key"
    data.write_text(lines(40))
    key.write_text(network.api_key + "\n")
    command = (
        "train", "lora", "--data", data, "--out", folder / "run", "--steps", "8", "--interval", "4", "--batch", "4",
        "--rank", "2", "--alpha", "4", "--layers", "2", "--sequence", "16", "--learning-rate", "0.01", "--measure", "6",
        "--warmup", "0", "--on-network", network.base_url, "--key-file", key, "--json",
    )  # fmt: skip
    ran = network.run(*command)
    assert ran.returncode == 0, ran.stderr + network.tail()
    return folder / "run", json.loads(ran.stdout), command


@pytest.fixture(scope="module")
def run(network, trained):
    (run,) = [one for one in anyone(network, "/v1/training/runs")["data"] if one["method"] == "lora"]
    return anyone(network, f"/v1/training/runs/{run['id']}")


def test_adapters_learn_from_intervals_that_a_committee_trained_again(network, trained, run):
    _, shown, _ = trained
    assert (run["status"], run["intervals_done"], run["rejected"], run["labels"]) == ("finished", 2, 0, None)
    assert run["adapters"] == {**ADAPTERS, "alpha": 4.0} and len(run["losses"]) == 8
    for ours in ("losses", "run", "order", "seed", "root"):
        assert shown[ours] == run[ours], ours
    assert run["after"]["kind"] == "perplexity"
    assert run["after"]["loss_nano"] < run["before"]["loss_nano"] and run["after"]["tokens"] == run["before"]["tokens"]
    for job in run["jobs"]:
        status, receipt = network.receipt(job["job"])
        assert status == 200 and receipt["replayed_ppm"] == 1_000_000 and len(receipt["approved_by"]) >= 2
        # A token of an example is what is paid: 4 steps of 4 examples of 2 to 16 tokens.
        tokens = receipt["usage"]["prompt_tokens"]
        assert 32 <= tokens <= 256 and receipt["fee_nano"] == 10 * tokens + 10_000


def test_it_is_the_run_that_one_machine_has_and_its_adapters_are_for_who_paid(network, trained, run):
    folder, _, command = trained
    verified = network.run("train", "verify", folder, "--all", "--json")
    assert verified.returncode == 0, verified.stderr
    assert json.loads(verified.stdout)["verified"] == [0, 1]
    for name in ("adapter_model.safetensors", "adapter_config.json"):
        assert download(network, run["id"], name) == (folder / name).read_bytes()
    again = network.run(*command)
    assert again.returncode == 0 and json.loads(again.stdout)["root"] == run["root"], again.stderr
    status, _, answer = network.request(f"/v1/training/runs/{run['id']}/files/spec.bin", key=key_of(network, "1"))
    assert status == 404, answer


def body(run, **changes):
    return {
        "data": lines(40), "model": run["model"], "adapters": ADAPTERS, "steps": 8, "interval": 4, "batch": 4,
        "learning_rate_nano": 10_000_000, "measured_max": 6, **changes,
    }  # fmt: skip


def test_what_can_t_be_trained_on_this_model_is_refused_before_anything_is_paid(network, run):
    spent = network.request("/v1/key")[2]["spent_nano"]
    cases = {
        "other weights": ({"model": {**run["model"], "weights_root": "0" * 64}}, "model", "of the weights"),
        "more layers than it has": ({"adapters": {"layers": 31}}, "data", "the model's 30"),
        "vectors": ({"vectors": "AAAA"}, "vectors", "a classifier's"),
        "steps too large": ({"batch": 129}, "data", "tokens of a step"),
        "intervals too long": ({"steps": 2_000, "interval": 2_000}, "interval", "tokens"),
        "unknown": ({"adapters": {"dropout": 1}}, "adapters.dropout", "dropout"),
        "too much text": ({"data": lines(2_400) * 8}, "data", "size of the data set"),
    }
    for name, (changes, param, words) in cases.items():
        status, _, answer = network.request("/v1/training/runs", body(run, **changes))
        assert (status, answer["error"]["param"]) == (400, param) and words in answer["error"]["message"], (name, answer)
    assert network.request("/v1/key")[2]["spent_nano"] == spent


def test_the_page_names_layers_and_perplexity(network, run):
    import urllib.request

    address = network.base_url.removesuffix("/v1") + f"/training/{run['id']}"
    with urllib.request.urlopen(address, timeout=30) as response:
        page = response.read().decode()
    assert "Adapters of rank 2 of 2 layers of" in page and "Perplexity" in page and run["root"] in page


def test_a_network_that_is_killed_goes_on_from_the_last_final_interval(network, run):
    begun = network.request("/v1/training/runs", body(run, steps=12))[2]
    before = follow(network, begun["id"], lambda shown: shown["intervals_done"] >= 1)
    assert network.stop(signal.SIGKILL) != 0
    # What a network begins with stands.
    network.arguments = TRAINING[:1]
    network.start()
    after = finished(network, begun["id"])
    assert after["losses"][: len(before["losses"])] == before["losses"] and after["order"] == before["order"]
    assert after["intervals_done"] == 3 and len(after["losses"]) == 12


def test_a_trainer_of_adapters_that_makes_up_losses_is_caught_and_slashed(tmp_path, run):
    with Network(tmp_path / "data", *TRAINING, "--crime", "fabricated-loss") as network:
        begun = network.request("/v1/training/runs", body(run))[2]
        deadline = time.monotonic() + 240
        while not (nodes := network.nodes())["trainer-fabricated-loss"]["slashes"]:
            assert time.monotonic() < deadline, f"not caught:\n{network.tail()}"
            time.sleep(0.5)
        assert nodes["trainer-fabricated-loss"]["slashes"][-1]["rule"] == "wrong_result"
        shown = follow(network, begun["id"], lambda shown: shown["rejected"] >= 1)
        assert (shown["losses"], shown["intervals_done"]) == ([], 0)
        assert network.stop() == 0


def test_a_network_without_the_model_offers_no_adapters(tmp_path, run):
    with Network(tmp_path / "data", "--engine", "mock", *TRAINING, model="mock") as network:
        status, _, answer = network.request("/v1/training/runs", body(run))
        assert (status, answer["error"]["code"]) == (404, "not_offered") and "adapters" in answer["error"]["message"]
        assert network.stop() == 0
