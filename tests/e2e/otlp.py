"""Spans of a program built with `--features otlp` reach a collector: not part of the gate, see TESTING.md."""

import http.server
import os
import threading

import pytest
from network import Network


class Collector(http.server.BaseHTTPRequestHandler):
    """Keeps what is sent to `/v1/traces`: protobuf, in which texts stand as they are."""

    received = []

    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        Collector.received.append((self.path, self.headers["content-type"], body))
        self.send_response(200)
        self.send_header("content-type", "application/x-protobuf")
        self.end_headers()

    def log_message(self, *_):
        pass


@pytest.fixture
def collector(monkeypatch):
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Collector)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{server.server_port}")
    yield Collector
    server.shutdown()


def test_a_requests_id_and_its_job_reach_the_collector_and_nothing_that_was_said(collector, tmp_path):
    assert "OTEL_EXPORTER_OTLP_ENDPOINT" in os.environ
    with Network(tmp_path / "data", "--engine", "mock", model="mock") as network:
        status, headers, answer = network.chat("a question that stays secret", max_tokens=4)
        assert status == 200
        # What is left is sent when the program ends.
        network.stop()
    paths = {(path, kind) for path, kind, _ in collector.received}
    assert paths == {("/v1/traces", "application/x-protobuf")}
    spans = b"".join(body for _, _, body in collector.received)
    for expected in ("inferium", "request", "/v1/chat/completions", headers["x-request-id"], answer["inferium"]["job"]):
        assert expected.encode() in spans, expected
    for secret in ("stays secret", network.api_key, answer["choices"][0]["message"]["content"]):
        assert secret.encode() not in spans, secret
