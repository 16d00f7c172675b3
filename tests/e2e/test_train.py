"""Training on the real models: runs that are killed end as others do, and what is changed is refused."""

import json
import shutil
import signal
import subprocess
import time

import pytest
from network import BINARY, ROOT, inferium

TOPICS = ROOT / "datasets" / "topics" / "topics.jsonl"
# A share of the lines is enough to show what a run does.
HEAD = ("--epochs", "4", "--interval", "1")


def files(folder):
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file() and path.name != "lock"}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    path = tmp_path_factory.mktemp("data") / "few.jsonl"
    path.write_text("".join(TOPICS.read_text().splitlines(keepends=True)[:600]))
    return path


@pytest.fixture(scope="module")
def whole(data, tmp_path_factory):
    folder = tmp_path_factory.mktemp("run") / "whole"
    ran = inferium("train", "head", "--data", data, "--out", folder, *HEAD, "--json")
    assert ran.returncode == 0, ran.stderr
    return folder, json.loads(ran.stdout)


def test_a_classifier_tells_topics_apart_that_it_never_saw(whole):
    _, shown = whole
    assert shown["is_finished"] and shown["intervals_done"] == shown["intervals"]
    assert shown["before"]["accuracy"]["high_ppm"] < shown["after"]["accuracy"]["low_ppm"]
    assert shown["losses"][-1] < shown["losses"][0]


def test_a_finished_run_is_shown_and_not_trained_again(whole, data):
    folder, shown = whole
    before = files(folder)
    for command in [("show", folder), ("head", "--data", data, "--out", folder, *HEAD)]:
        ran = inferium("train", *command, "--json")
        assert ran.returncode == 0 and json.loads(ran.stdout) == shown, ran.stderr
    words = inferium("train", "show", folder).stdout
    assert "after     accuracy" in words and "█" in words and shown["root"] in words
    assert (folder / "loss.svg").read_text().startswith("<svg")
    assert files(folder) == before


def test_a_killed_run_ends_in_the_same_files(whole, data, tmp_path):
    folder, _ = whole
    cut = tmp_path / "cut"
    command = [BINARY, "train", "head", "--data", data, "--out", cut, *HEAD]
    running = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while len(list(cut.glob("checkpoints/*.checkpoint"))) < 2:
        assert running.poll() is None and time.monotonic() < deadline
        time.sleep(0.001)
    running.send_signal(signal.SIGKILL)
    running.wait()
    ran = inferium("train", "head", "--data", data, "--out", cut, *HEAD)
    assert ran.returncode == 0, ran.stderr
    assert files(cut) == files(folder)


def test_a_run_verifies_and_a_changed_one_does_not(whole, tmp_path):
    folder, shown = whole
    ran = inferium("train", "verify", folder, "--all", "--json")
    assert ran.returncode == 0, ran.stderr
    verified = json.loads(ran.stdout)
    assert verified["is_equal"] and verified["is_measured"] and verified["root"] == shown["root"]
    assert verified["verified"] == list(range(shown["intervals"]))
    changed = tmp_path / "changed"
    shutil.copytree(folder, changed)
    result = json.loads((changed / "result.json").read_text())
    result["after"]["correct"] += 1
    (changed / "result.json").write_text(json.dumps(result))
    ran = inferium("train", "verify", changed, "--intervals", "1")
    assert ran.returncode == 4 and "after the run it was measured" in ran.stderr
    checkpoint = sorted(changed.glob("checkpoints/*.checkpoint"))[2]
    damaged = bytearray(checkpoint.read_bytes())
    damaged[-100] ^= 1
    checkpoint.write_bytes(damaged)
    ran = inferium("train", "verify", changed)
    assert ran.returncode == 4 and "damaged" in ran.stderr


def test_vectors_that_are_not_the_models_are_refused(whole, data, tmp_path):
    folder, _ = whole
    forged = tmp_path / "forged"
    shutil.copytree(folder, forged)
    vectors = bytearray((forged / "vectors.bin").read_bytes())
    vectors[-1] ^= 1
    (forged / "vectors.bin").write_bytes(vectors)
    ran = inferium("train", "verify", forged, "--all")
    assert ran.returncode == 4 and "not the model's" in ran.stderr
    # A run that was stopped makes them anew rather than go on with them.
    (forged / "result.json").unlink()
    ran = inferium("train", "head", "--data", data, "--out", forged, *HEAD)
    assert ran.returncode == 0, ran.stderr
    assert files(forged) == files(folder)


def test_other_settings_and_other_data_are_refused(whole, data, tmp_path):
    folder, _ = whole
    ran = inferium("train", "head", "--data", data, "--out", folder, *HEAD, "--batch", "16")
    assert ran.returncode == 2 and "batch size" in ran.stderr
    (tmp_path / "bad.jsonl").write_text('{"text": "a", "label": "b"}\n{"text": ""}\n')
    ran = inferium("train", "head", "--data", tmp_path / "bad.jsonl", "--out", tmp_path / "new")
    assert ran.returncode == 4 and "line 2" in ran.stderr
    assert inferium("train", "verify", tmp_path).returncode == 2


def test_adapters_are_the_same_on_one_thread_and_two(data, tmp_path):
    few = ("--data", data, "--steps", "3", "--interval", "2", "--batch", "2", "--measure", "4", "--layers", "2")
    runs = [tmp_path / "one", tmp_path / "two"]
    for threads, folder in enumerate(runs, 1):
        ran = inferium("train", "lora", "--out", folder, *few, "--threads", threads)
        assert ran.returncode == 0, ran.stderr
    assert files(runs[0]) == files(runs[1])
    ran = inferium("train", "verify", runs[0], "--all")
    assert ran.returncode == 0, ran.stderr


def test_adapters_are_published_as_a_model_that_says_the_texts_as_well(data, tmp_path):
    few = ("--data", data, "--steps", "6", "--interval", "6", "--batch", "4", "--measure", "8", "--layers", "4")
    ran = inferium("train", "lora", "--out", tmp_path / "run", *few, "--json")
    assert ran.returncode == 0, ran.stderr
    trained = json.loads(ran.stdout)
    named = inferium("train", "publish", tmp_path / "run", "--out", tmp_path / "x.gguf", "--name", "x")
    assert named.returncode == 2 and "--name is for classifiers" in named.stderr
    other = inferium("train", "publish", tmp_path / "run", "--out", tmp_path / "x.bin")
    assert other.returncode == 2 and ".gguf" in other.stderr
    ran = inferium("train", "publish", tmp_path / "run", "--out", tmp_path / "topical.gguf", "--json")
    assert ran.returncode == 0, ran.stderr
    published = json.loads(ran.stdout)
    assert published["name"] == "topical" and published["matrices"] == 8
    assert sorted(path.name for path in tmp_path.iterdir()) == ["run", "topical.gguf"]
    models = tmp_path / "models"
    ran = inferium("model", "pull", tmp_path / "topical.gguf", "--models", models)
    assert ran.returncode == 0, ran.stderr
    # Measured before its first step, the published model is what the run measured after its last one.
    ran = inferium("train", "lora", "--out", tmp_path / "next", *few, "--model", "topical", "--models", models, "--json")
    assert ran.returncode == 0, ran.stderr
    begun = json.loads(ran.stdout)
    assert trained["after"]["loss"] < trained["before"]["loss"]
    assert abs(begun["before"]["loss"] - trained["after"]["loss"]) < 1e-4
