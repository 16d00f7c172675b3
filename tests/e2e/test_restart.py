"""A network goes on where it stopped, however it stopped."""

import os
import random
import resource
import shutil
import signal
import stat
import subprocess
import threading
import time

from network import BINARY, Network

# More by `INFERIUM_KILLS=20`; the figure of docs/performance.md says how many were run.
KILLS = int(os.environ.get("INFERIUM_KILLS", "4"))


def height(network):
    return network.request("/ready")[2]["height"]


def test_a_second_up_goes_on_with_the_same_chain_and_keys_on_another_port(tmp_path):
    with Network(tmp_path / "data", "--engine", "mock", model="mock") as network:
        _, _, answer = network.chat()
        job, first = answer["inferium"]["job"], network.ready
        assert network.receipt(job)[1]["status"] == "final"
        reached = height(network)
        assert network.stop() == 0
        network.start()
        assert network.ready["base_url"] != first["base_url"]
        assert network.ready["network_key"] == first["network_key"]
        assert network.ready["api_key"] == first["api_key"]
        assert height(network) >= reached
        assert network.receipt(job)[1]["status"] in ("final", "settled")
        _, _, answer = network.chat()
        assert network.receipt(answer["inferium"]["job"])[1]["status"] == "final"


def test_secrets_are_readable_by_their_owner_only(tmp_path):
    with Network(tmp_path / "data", "--engine", "mock", model="mock") as network:
        keys = list((network.data / "keys").iterdir())
        assert len(keys) > 10
        for path in keys:
            assert stat.S_IMODE(path.stat().st_mode) == 0o600, path
        assert stat.S_IMODE(network.data.stat().st_mode) == 0o700


def test_a_data_folder_serves_one_process_and_is_never_someone_elses(tmp_path):
    with Network(tmp_path / "data", "--engine", "mock", model="mock") as network:
        second = network.run("up", "--engine", "mock", "--data", network.data, "--listen", "127.0.0.1:0")
        assert second.returncode == 1 and "another process" in second.stderr
        # A copy has no lock to be found by; its validators' keys are in use all the same.
        early = tmp_path / "early"
        shutil.copytree(network.data, early)
        twin = network.run("up", "--engine", "mock", "--data", early, "--listen", "127.0.0.1:0")
        assert twin.returncode == 1 and "another process runs the validator" in twin.stderr, twin.stderr
        assert network.chat()[0] == 200
    # Once the first is gone, a copy of what it left is as good. (One made while it ran need not be: see below.)
    copy = tmp_path / "copy"
    shutil.copytree(network.data, copy)
    with Network(copy, "--engine", "mock", model="mock") as moved:
        assert moved.chat()[0] == 200
    foreign = tmp_path / "foreign"
    foreign.mkdir()
    (foreign / "thesis.txt").write_text("mine")
    refused = subprocess.run(
        [str(BINARY), "up", "--engine", "mock", "--fresh", "--data", str(foreign)], capture_output=True, text=True
    )
    assert refused.returncode == 2 and (foreign / "thesis.txt").read_text() == "mine"


def test_a_folder_that_was_copied_while_its_node_wrote_is_refused_in_words(tmp_path):
    with Network(tmp_path / "data", "--engine", "mock", model="mock") as network:
        assert network.chat()[0] == 200
    blocks = sorted((network.data / "chain").glob("validator-*-blocks-*"))
    assert blocks
    for folder in blocks:
        shutil.copytree(folder, tmp_path / folder.name)
    with network:
        assert all(network.chat()[0] == 200 for _ in range(3))
    # Blocks of earlier beside a state of later: what a copy of a running node's folder can hold.
    for folder in blocks:
        shutil.rmtree(folder)
        shutil.copytree(tmp_path / folder.name, folder)
    refused = network.run("up", "--engine", "mock", "--data", network.data, "--listen", "127.0.0.1:0")
    assert refused.returncode == 1, refused.stderr
    assert "consensus ended while it read what is stored there" in refused.stderr and "copy it again once" in refused.stderr


def test_fresh_starts_a_new_chain(tmp_path):
    with Network(tmp_path / "data", "--engine", "mock", "--validators", "1", model="mock") as network:
        first = network.network_key
        network.stop()
        network.arguments += ("--fresh",)
        assert network.start().network_key != first


def test_kill_9_at_random_moments_loses_nothing_final(tmp_path):
    seed = int(os.environ.get("INFERIUM_SEED", time.time()))
    print("seed", seed)
    moments = random.Random(seed)
    with Network(tmp_path / "data", "--engine", "mock", model="mock") as network:
        final, heights = {}, [0]
        for _ in range(KILLS):
            until = time.monotonic() + moments.uniform(0.1, 4)
            stop = threading.Event()

            def work():
                while not stop.is_set():
                    try:
                        _, _, answer = network.chat()
                        job = answer["inferium"]["job"]
                        status, body = network.receipt(job, timeout=60)
                        if status == 200 and body["status"] in ("final", "settled"):
                            final[job] = body
                    except Exception:
                        return

            worker = threading.Thread(target=work)
            worker.start()
            # Before the first kill something is to be lost, however busy the machine is.
            is_first = len(heights) == 1
            while time.monotonic() < until or (is_first and not final and worker.is_alive()):
                time.sleep(0.01)
            heights.append(height(network))
            assert network.stop(signal.SIGKILL) == -signal.SIGKILL
            stop.set()
            worker.join()
            network.start()
            assert height(network) >= heights[-1], "a final block was lost"
            for job, receipt in final.items():
                status, body = network.receipt(job)
                assert status == 200 and body["status"] in ("final", "settled"), f"{job} was final"
                assert body["output_commitment"] == receipt["output_commitment"]
        assert final, "no receipt became final between the kills"
        # No key signed twice, and no one honest paid for a crash.
        assert network.request("/v1/slashes")[2]["data"] == []
        assert network.stop() == 0


def test_a_disk_that_refuses_writes_stops_the_node_with_a_message(tmp_path):
    def limit():
        # Writes past the limit fail, as on a full disk.
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (1_200_000, 1_200_000))

    command = [str(BINARY), "up", "--engine", "mock", "--json", "--data", str(tmp_path / "data"), "--listen", "127.0.0.1:0"]
    command += ["--pace-ms", "0", "--idle-pace-ms", "0"]
    ended = subprocess.run(command, preexec_fn=limit, capture_output=True, text=True, timeout=300)
    assert ended.returncode == 1, ended.stderr[-3000:]
    assert "error: " in ended.stderr


def test_a_worker_stays_paused_over_a_restart_and_the_network_starts_without_it(tmp_path):
    def leases(network):
        return network.request("/ready")[2]["leases"]

    with Network(tmp_path / "data", "--engine", "mock", model="mock") as network:
        assert network.run("worker", "pause", "--data", network.data).returncode == 0
        deadline = time.monotonic() + 60
        while leases(network):
            assert time.monotonic() < deadline, "its leases stay"
            time.sleep(0.1)
        network.stop(signal.SIGKILL)
    with network:
        assert network.chat()[0] == 503
        assert network.run("worker", "resume", "--data", network.data).returncode == 0
        deadline = time.monotonic() + 60
        while not leases(network):
            assert time.monotonic() < deadline, "it gets no lease"
            time.sleep(0.1)
        assert network.chat()[0] == 200
