"""Requests that are sent again: done once, paid once, whoever repeats them."""

import http.client
import http.server
import json
import threading
import urllib.parse

import openai
import pytest
from network import Network

MESSAGES = [{"role": "user", "content": "Say something about the sea."}]


@pytest.fixture(scope="module")
def mock(tmp_path_factory):
    with Network(tmp_path_factory.mktemp("repeated") / "data", "--engine", "mock", model="mock") as running:
        yield running


class Proxy:
    """Counts requests to a gateway, and breaks the connections of the first `breaks` of them: what they asked is done all the same."""

    def __init__(self, base_url, breaks=0):
        proxy, target = self, urllib.parse.urlsplit(base_url)
        self.counts, self.breaks, self.lock = [], breaks, threading.Lock()

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["content-length"]))
                with proxy.lock:
                    proxy.counts.append(self.headers.get("x-stainless-retry-count"))
                    is_broken, proxy.breaks = proxy.breaks > 0, proxy.breaks - 1
                upstream = http.client.HTTPConnection(target.hostname, target.port, timeout=60)
                upstream.request("POST", target.path.removesuffix("/v1") + self.path, body, dict(self.headers))
                answer = upstream.getresponse()
                content = answer.read()
                if is_broken:
                    self.close_connection = True
                    return
                self.send_response(answer.status)
                for name, value in answer.getheaders():
                    if name.lower() not in ("transfer-encoding", "content-length", "connection"):
                        self.send_header(name, value)
                self.send_header("content-length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.thread = threading.Thread(target=self.server.serve_forever)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()

    def client(self, key):
        return openai.OpenAI(base_url=f"http://127.0.0.1:{self.server.server_port}/v1", api_key=key)


def new_key(network, *arguments):
    made = network.run("key", "create", "--data", network.data, "--json", *arguments)
    assert made.returncode == 0, made.stderr
    return json.loads(made.stdout)["secret"]


def left(network, key):
    status, _, body = network.request("/v1/key", key=key)
    assert status == 200
    return body["left_nano"]


def test_a_key_of_the_clients_makes_a_request_safe_to_repeat(mock):
    key = new_key(mock, "--budget", "1")
    client = openai.OpenAI(base_url=mock.base_url, api_key=key)
    ask = lambda: client.chat.completions.with_raw_response.create(
        model=mock.model, messages=MESSAGES, max_tokens=8, extra_headers={"Idempotency-Key": "once"}
    )
    first = ask()
    after_first = left(mock, key)
    again = ask()
    assert again.text == first.text and after_first < 1_000_000_000
    assert left(mock, key) == after_first, "the repetition costs nothing"
    assert "idempotency-replayed" not in first.headers and again.headers["idempotency-replayed"] == "true"
    assert again.headers["x-request-id"] != first.headers["x-request-id"]
    assert again.headers["x-inferium-job"] == first.headers["x-inferium-job"]
    with pytest.raises(openai.BadRequestError) as refused:
        client.chat.completions.create(
            model=mock.model, messages=MESSAGES, max_tokens=9, extra_headers={"Idempotency-Key": "once"}
        )
    assert (refused.value.code, refused.value.param) == ("idempotency_key_reused", None)


def test_the_events_of_a_stream_are_given_again(mock):
    key = new_key(mock, "--budget", "1")
    body = {"model": mock.model, "messages": MESSAGES, "max_tokens": 8, "stream": True}
    target = urllib.parse.urlsplit(mock.base_url)

    def events():
        connection = http.client.HTTPConnection(target.hostname, target.port, timeout=60)
        headers = {"authorization": f"Bearer {key}", "content-type": "application/json", "idempotency-key": "stream"}
        connection.request("POST", "/v1/chat/completions", json.dumps(body), headers)
        answer = connection.getresponse()
        return answer.getheader("idempotency-replayed"), answer.read()

    (_, first), after_first = events(), left(mock, key)
    assert first.endswith(b"data: [DONE]\n\n")
    assert events() == ("true", first)
    assert left(mock, key) == after_first


def test_an_sdk_whose_connection_broke_gets_the_answer_that_it_paid_for(mock):
    key = new_key(mock, "--budget", "1")
    with Proxy(mock.base_url, breaks=2) as proxy:
        answer = proxy.client(key).chat.completions.with_raw_response.create(
            model=mock.model, messages=MESSAGES, max_tokens=8
        )
        assert proxy.counts == ["0", "1", "2"]
    assert answer.headers["idempotency-replayed"] == "true"
    cost = answer.parse().usage.model_extra["cost_nano"]
    assert 1_000_000_000 - left(mock, key) == cost > 0, "three attempts, one charge"


def test_sdks_repeat_what_may_help_and_nothing_else(mock):
    poor, limited = new_key(mock, "--budget", "0.000000001"), new_key(mock, "--tpm", "5")
    nobody = {"provider": {"only": ["0" * 64]}}
    cases = [
        ("sk-inferium-" + "0" * 48, {}, openai.AuthenticationError, 1),
        (poor, {}, openai.APIStatusError, 1),
        (mock.api_key, {"model": "no-such-model"}, openai.NotFoundError, 1),
        # More than a minute has room for: no later attempt helps, and the answer says so.
        (limited, {}, openai.RateLimitError, 1),
        (mock.api_key, {"extra_body": nobody}, openai.InternalServerError, 3),
    ]
    for key, fields, error, attempts in cases:
        before = left(mock, mock.api_key)
        with Proxy(mock.base_url) as proxy, pytest.raises(error) as raised:
            request = {"model": mock.model, "messages": MESSAGES, "max_tokens": 8, **fields}
            proxy.client(key).chat.completions.create(**request)
        assert len(proxy.counts) == attempts, raised.value
        assert left(mock, mock.api_key) == before, "what failed costs nothing"


def test_a_minutes_limits_are_told(mock):
    key = new_key(mock, "--rpm", "100", "--tpm", "6000")
    client = openai.OpenAI(base_url=mock.base_url, api_key=key)
    answer = client.chat.completions.with_raw_response.create(model=mock.model, messages=MESSAGES, max_tokens=8)
    usage = answer.parse().usage
    told = lambda name: answer.headers[f"x-ratelimit-{name}"]
    assert (told("limit-requests"), told("limit-tokens")) == ("100", "6000")
    assert told("remaining-requests") == "99"
    assert 6000 - int(told("remaining-tokens")) <= usage.total_tokens
