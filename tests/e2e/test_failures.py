"""Streams whose other end goes away: clients learn of it, workers stop, and nobody pays for what did not come."""

import http.client
import json
import re
import signal
import subprocess
import threading
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit

import openai
import pytest
from network import BINARY, MODEL, Network

LONG = {"model": MODEL, "messages": [{"role": "user", "content": "Tell a long story of the sea."}], "max_tokens": 1_500, "logit_bias": {"0": -100, "2": -100}}


def metric(network, name):
    with urllib.request.urlopen(network.admin_url + "/metrics", timeout=30) as response:
        found = re.search(rf"^{name} (\d+)$", response.read().decode(), re.MULTILINE)
    return int(found[1])


def until(look, timeout):
    """Seconds until `look` holds."""
    began = time.monotonic()
    while not look():
        assert time.monotonic() - began < timeout, "it never held"
        time.sleep(0.01)
    return time.monotonic() - began


def open_stream(network, headers=(), **fields):
    """A streamed answer of which the first piece has come."""
    connection = http.client.HTTPConnection(urlsplit(network.base_url).netloc, timeout=60)
    given = {"authorization": f"Bearer {network.api_key}", "content-type": "application/json", **dict(headers)}
    connection.request("POST", "/v1/chat/completions", json.dumps({**LONG, **fields, "stream": True}), given)
    response = connection.getresponse()
    assert response.status == 200
    while True:
        line = response.readline()
        assert line, "the stream ended"
        if line.startswith(b"data: ") and json.loads(line[6:])["choices"][0]["delta"].get("content"):
            return connection, response


def test_the_worker_stops_within_a_second_when_its_client_leaves(network):
    before = metric(network, "inferium_completion_tokens_total")
    connection, response = open_stream(network)
    job = response.headers["x-inferium-job"]
    assert metric(network, "inferium_jobs_running") == 1
    connection.sock.shutdown(2)
    connection.close()
    response.close()
    # A job runs until its worker has said what it did by then.
    took = until(lambda: metric(network, "inferium_jobs_running") == 0, timeout=20)
    assert took < 1, f"{took:.2f} s"
    made = metric(network, "inferium_completion_tokens_total") - before
    assert 0 < made < 300, "it went on"
    status, receipt = network.receipt(job)
    assert status == 200 and receipt["status"] in ("final", "settled")
    assert receipt["usage"]["completion_tokens"] == made, "what was made is what is paid for"


def test_a_stream_is_neither_compressed_nor_held_back(network):
    for path, fields in (("/v1/chat/completions", {}), ("/v1/completions", {"prompt": "The sea", "messages": None})):
        connection = http.client.HTTPConnection(urlsplit(network.base_url).netloc, timeout=60)
        headers = {"authorization": f"Bearer {network.api_key}", "content-type": "application/json", "accept-encoding": "gzip, deflate, br, zstd"}
        body = {**LONG, "max_tokens": 200, **fields, "stream": True}
        connection.request("POST", path, json.dumps(body), headers)
        response = connection.getresponse()
        assert response.headers["content-type"].startswith("text/event-stream")
        assert response.headers["content-encoding"] is None and response.headers["content-length"] is None
        assert response.headers["cache-control"] == "no-cache" and response.headers["x-accel-buffering"] == "no"
        # The first piece is there while the worker is still at it.
        assert response.readline().startswith(b"data: ")
        assert metric(network, "inferium_jobs_running") == 1
        assert response.read().endswith(b"data: [DONE]\n\n")


class Joined:
    """A worker in a process of its own."""

    def __init__(self, network, data):
        arguments = ["worker", "join", "--network", network.data, "--data", data, "--faucet", "--json", "--stake", "1500"]
        self.process = subprocess.Popen([str(part) for part in [BINARY, *arguments]], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        self.events = []
        threading.Thread(target=self.read, daemon=True).start()

    def read(self):
        self.events.extend(json.loads(line) for line in self.process.stdout)

    def event(self, name):
        return next((event for event in list(self.events) if event["event"] == name), None)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()


def test_a_worker_that_is_killed_ends_its_stream_with_an_error_and_costs_nothing(tmp_path):
    with Network(tmp_path / "data") as network, Joined(network, tmp_path / "worker") as worker:
        until(lambda: worker.event("leased"), timeout=120)
        only = {"provider": {"only": [worker.event("registered")["node"]]}}
        # The worker may know of its lease before the gateway does.
        until(lambda: network.chat(max_tokens=1, **only)[0] == 200, timeout=60)
        made = network.run("key", "create", "--budget", "1", "--data", network.data, "--json")
        client = openai.OpenAI(base_url=network.base_url, api_key=json.loads(made.stdout)["secret"], max_retries=0)
        pieces, job = [], None
        with pytest.raises(openai.APIError) as raised:
            with client.chat.completions.with_streaming_response.create(**LONG, stream=True, extra_body=only) as response:
                job = response.headers["x-inferium-job"]
                for chunk in response.parse():
                    pieces.append(chunk)
                    if len(pieces) == 5:
                        worker.process.send_signal(signal.SIGKILL)
        assert len(pieces) >= 5 and not any(chunk.choices[0].finish_reason for chunk in pieces)
        assert raised.value.code == "worker_failed" and "worker" in raised.value.message
        assert network.receipt(job)[1]["status"] == "failed"
        _, _, shown = network.request("/v1/key", key=client.api_key)
        assert (shown["spent_nano"], shown["left_nano"]) == (0, 10**9)
        # The network goes on with the worker that it has.
        assert network.chat()[0] == 200


def test_more_long_requests_than_a_worker_does_at_once_get_no_honest_worker_reported(tmp_path):
    """What does not fit waits in the gateway, where it is told its place, and is shed in the end; it never waits in an engine."""

    def ask(network, number):
        fields = {**LONG, "max_tokens": 4_000 - number, "stream": True}
        request = urllib.request.Request(network.base_url + "/chat/completions", json.dumps(fields).encode())
        request.add_header("authorization", f"Bearer {network.api_key}")
        request.add_header("content-type", "application/json")
        with urllib.request.urlopen(request, timeout=120) as response:
            for line in response:
                data = line.removeprefix(b"data: ").strip()
                if not data.startswith(b"{"):
                    continue
                event = json.loads(data)
                if "error" in event:
                    return event["error"]["code"]
                if event["choices"][0]["delta"].get("content"):
                    # It has a worker. Those that have none are waited for; then all leave.
                    began.append(number)
                    shed.wait(timeout=60)
                    return "began"
        return "ended"

    began, shed = [], threading.Event()
    with Network(tmp_path / "data") as network, ThreadPoolExecutor(12) as pool:
        asked = [pool.submit(ask, network, number) for number in range(12)]
        until(lambda: sum(future.done() for future in asked) == 4, timeout=60)
        assert [future.result() for future in asked if future.done()] == ["rate_limit_exceeded"] * 4
        assert len(began) == 8 and metric(network, "inferium_leases_ready") == 2
        shed.set()
        assert network.chat()[0] == 200
        assert "does not answer" not in network.tail() and network.request("/v1/slashes")[2]["data"] == []
