"""llama.cpp as the engine of a tolerance profile's workers, and another model as a cheat. Not part of the gate: it needs a binary
built with `--features llamacpp` (TESTING.md). `INFERIUM_OTHER_MODEL` names the GGUF file that the cheat answers with."""

import concurrent.futures
import os
import pathlib
import time

from network import Network
from test_tolerance import AT_ONCE, TOLERANCE, ask

RECORDS = pathlib.Path(__file__).resolve().parents[2] / "crates" / "inferium-calibration" / "records"
LLAMACPP = ("--engine", "llamacpp", "--threads", "1", "--calibration", RECORDS / "smollm2-135m-instruct-with-llamacpp.json")
OTHER = os.environ.get("INFERIUM_OTHER_MODEL")


def test_workers_that_run_llama_cpp_are_paid_and_never_suspected(tmp_path):
    with Network(tmp_path / "data", *TOLERANCE, *LLAMACPP) as network:
        with concurrent.futures.ThreadPoolExecutor(AT_ONCE) as pool:
            jobs = list(pool.map(lambda number: ask(network, number), range(24)))
        for job in jobs:
            status, receipt = network.receipt(job)
            assert status == 200 and receipt["status"] in ("final", "settled"), receipt
        assert all(node["slashes"] == [] for node in network.nodes().values())


def test_it_is_refused_where_results_are_compared_for_equality(tmp_path):
    network = Network(tmp_path / "data")
    refused = network.run("up", "--data", tmp_path / "data", "--engine", "llamacpp")
    assert refused.returncode == 2 and "--class tolerance" in refused.stderr, refused.stderr


def test_the_other_model_has_to_be_named_and_to_be_one(tmp_path):
    crime = ("up", "--data", tmp_path / "data", *TOLERANCE, "--crime", "another-model")
    network = Network(tmp_path / "data")
    unnamed = network.run(*crime)
    assert unnamed.returncode == 2 and "--other-model FILE" in unnamed.stderr, unnamed.stderr
    (tmp_path / "other.gguf").write_text("no model")
    damaged = network.run(*crime, "--other-model", tmp_path / "other.gguf")
    assert damaged.returncode == 1 and "llama.cpp" in damaged.stderr, damaged.stderr


def test_another_models_text_is_found_by_its_tokens(tmp_path):
    assert OTHER and pathlib.Path(OTHER).is_file(), "INFERIUM_OTHER_MODEL has to name a GGUF file"
    crime = ("--crime", "another-model", "--other-model", OTHER)
    with Network(tmp_path / "data", *TOLERANCE, *crime) as network:
        deadline, number = time.monotonic() + 240, 0
        with concurrent.futures.ThreadPoolExecutor(AT_ONCE) as pool:
            while not (slashes := network.nodes()["worker-another-model"]["slashes"]):
                assert time.monotonic() < deadline, "the cheat was not caught"
                list(pool.map(lambda n: ask(network, n), range(number, number + AT_ONCE)))
                number += AT_ONCE
        assert slashes[0]["rule"] in ("wrong_result", "statistics"), slashes
        others = {name: node["slashes"] for name, node in network.nodes().items() if name != "worker-another-model"}
        assert not any(others.values()), others
