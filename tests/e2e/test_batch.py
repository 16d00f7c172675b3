"""Batches, as the OpenAI SDK uses them: a file of requests in, a file of answers out, for half of the price."""

import json
import signal
import threading
import time
import urllib.request

import openai
import pytest
from network import Network


@pytest.fixture(scope="module")
def network(tmp_path_factory):
    with Network(tmp_path_factory.mktemp("batch") / "data", "--engine", "mock", model="mock") as running:
        yield running


def client_of(network, key=None):
    return openai.OpenAI(base_url=network.base_url, api_key=key or network.api_key, max_retries=0)


def line(number, **fields):
    body = {"model": "mock", "messages": [{"role": "user", "content": f"Question {number}"}], "max_tokens": 5}
    return {"custom_id": f"line-{number}", "method": "POST", "url": "/v1/chat/completions", "body": {**body, **fields}}


def submit(client, lines, endpoint="/v1/chat/completions", **fields):
    content = "\n".join(one if isinstance(one, str) else json.dumps(one) for one in lines)
    file = client.files.create(file=("requests.jsonl", content.encode()), purpose="batch")
    return client.batches.create(input_file_id=file.id, endpoint=endpoint, completion_window="24h", **fields)


def ended(client, batch, timeout=90):
    deadline = time.monotonic() + timeout
    while batch.status in ("validating", "in_progress", "finalizing", "cancelling"):
        assert time.monotonic() < deadline, batch
        time.sleep(0.1)
        batch = client.batches.retrieve(batch.id)
    return batch


def content(client, file):
    return [json.loads(text) for text in client.files.content(file).text.splitlines()]


def test_a_batch_is_answered_for_half_of_the_price(network):
    client = client_of(network)
    batch = ended(client, submit(client, [line(n) for n in range(20)], metadata={"for": "a test"}))
    assert (batch.status, batch.errors, batch.error_file_id) == ("completed", None, None)
    assert (batch.request_counts.total, batch.request_counts.completed, batch.request_counts.failed) == (20, 20, 0)
    assert batch.metadata == {"for": "a test"} and batch.completed_at >= batch.in_progress_at >= batch.created_at
    answers = content(client, batch.output_file_id)
    assert [one["custom_id"] for one in answers] == [f"line-{n}" for n in range(20)]
    costs = []
    for answer in answers:
        assert answer["error"] is None and answer["response"]["status_code"] == 200
        body = answer["response"]["body"]
        assert body["object"] == "chat.completion" and body["usage"]["completion_tokens"] > 0
        costs.append(body["usage"]["cost_nano"])
    status, _, same = network.request("/v1/chat/completions", line(0)["body"])
    assert status == 200 and same["usage"]["total_tokens"] == answers[0]["response"]["body"]["usage"]["total_tokens"]
    assert 2 * costs[0] == same["usage"]["cost_nano"] > 0
    assert batch.to_dict()["cost_nano"] == sum(costs)
    assert batch.id in [one.id for one in client.batches.list(limit=1)]
    # The work has receipts like any other.
    status, receipt = network.receipt(answers[0]["response"]["body"]["inferium"]["job"])
    assert status == 200, receipt


def test_each_endpoint_of_a_batch_answers(network):
    client = client_of(network)
    asked = {
        "/v1/completions": {"model": "mock", "prompt": "Once", "max_tokens": 3},
        "/v1/responses": {"model": "mock", "input": "Why?", "max_output_tokens": 16},
    }
    for url, body in asked.items():
        one = {"custom_id": "a", "method": "POST", "url": url, "body": body}
        batch = ended(client, submit(client, [one], endpoint=url))
        assert batch.status == "completed" and batch.error_file_id is None, (url, batch)
        (answer,) = content(client, batch.output_file_id)
        assert answer["response"]["body"]["object"] in ("text_completion", "response"), answer


def test_what_is_wrong_with_lines_is_told(network):
    client = client_of(network)
    wrong = [line(0), "{", line(0), line(2, stream=True), {**line(3), "url": "/v1/completions"}, {**line(4), "method": "GET"}]
    batch = ended(client, submit(client, wrong))
    assert batch.status == "failed" and batch.output_file_id is None and batch.failed_at
    faults = [(one.line, one.code, one.param) for one in batch.errors.data]
    assert faults == [
        (2, "invalid_json_line", None),
        (3, "duplicate_custom_id", "custom_id"),
        (4, "invalid_request", "body.stream"),
        (5, "mismatched_url", "url"),
        (6, "invalid_request", "method"),
    ]
    # What a request would be refused for is the line's own error.
    batch = ended(client, submit(client, [line(0), line(1, model="other"), line(2, temperature=9)]))
    assert (batch.status, batch.request_counts.completed, batch.request_counts.failed) == ("completed", 1, 2)
    errors = content(client, batch.error_file_id)
    codes = [(one["custom_id"], one["response"]["status_code"]) for one in errors]
    assert codes == [("line-1", 404), ("line-2", 400)]
    assert errors[1]["response"]["body"]["error"]["param"] == "temperature"


def test_a_file_is_its_keys_own_until_it_is_deleted(network):
    client = client_of(network)
    made = network.run("key", "create", "--name", "other", "--data", network.data, "--json")
    assert made.returncode == 0, made.stderr
    other = client_of(network, json.loads(made.stdout)["secret"])
    batch = ended(client, submit(client, [line(0)]))
    for ask in (
        lambda: other.files.retrieve(batch.input_file_id),
        lambda: other.files.content(batch.output_file_id),
        lambda: other.files.delete(batch.output_file_id),
        lambda: other.batches.retrieve(batch.id),
        lambda: other.batches.cancel(batch.id),
        lambda: submit_again(other, batch.input_file_id),
    ):
        with pytest.raises(openai.NotFoundError):
            ask()
    assert list(other.files.list()) == [] and list(other.batches.list()) == []
    shown = {one.id: one.purpose for one in client.files.list()}
    assert shown[batch.input_file_id] == "batch" and shown[batch.output_file_id] == "batch_output"
    assert client.files.delete(batch.output_file_id).deleted
    with pytest.raises(openai.NotFoundError):
        client.files.content(batch.output_file_id)


def submit_again(client, file):
    return client.batches.create(input_file_id=file, endpoint="/v1/chat/completions", completion_window="24h")


def began(client, batch, timeout=60):
    """The batch once its file was looked through: until then it counts no line."""
    deadline = time.monotonic() + timeout
    while batch.status == "validating":
        assert time.monotonic() < deadline, batch
        time.sleep(0.05)
        batch = client.batches.retrieve(batch.id)
    return batch


def test_a_batch_stops_when_it_is_cancelled(network):
    client = client_of(network)
    batch = began(client, submit(client, [line(n, max_tokens=400) for n in range(3_000)]))
    assert (batch.status, batch.request_counts.total) == ("in_progress", 3_000)
    cancelled = client.batches.cancel(batch.id)
    assert cancelled.status == "cancelling" and cancelled.cancelling_at
    batch = ended(client, cancelled)
    counts = batch.request_counts
    assert batch.status == "cancelled" and batch.cancelled_at and counts.completed < counts.total == 3_000
    with pytest.raises(openai.BadRequestError):
        client.batches.cancel(batch.id)


def test_a_batch_that_is_cancelled_at_once_answers_nothing_or_little(network):
    # Whether the lines were counted by then is a race between the two requests; that it ends is not.
    client = client_of(network)
    batch = ended(client, client.batches.cancel(submit(client, [line(n, max_tokens=400) for n in range(3_000)]).id))
    counts = batch.request_counts
    assert batch.status == "cancelled" and counts.total in (0, 3_000) and counts.completed < 3_000


def test_a_key_without_budget_ends_its_batch(network):
    made = network.run("key", "create", "--name", "poor", "--budget", "0.000000001", "--data", network.data, "--json")
    assert made.returncode == 0, made.stderr
    client = client_of(network, json.loads(made.stdout)["secret"])
    batch = ended(client, submit(client, [line(n) for n in range(3)]))
    assert batch.status == "failed" and batch.errors.data[0].code == "payment_required"
    assert "budget" in batch.errors.data[0].message


def test_after_a_kill_each_line_is_answered_once(tmp_path):
    count = 600
    network = Network(tmp_path / "data", "--engine", "mock", model="mock")
    with network:
        client = client_of(network)
        batch = submit(client, [line(n) for n in range(count)])
        deadline = time.monotonic() + 60
        while client.batches.retrieve(batch.id).request_counts.completed < 20:
            assert time.monotonic() < deadline
            time.sleep(0.02)
        before = client.batches.retrieve(batch.id).request_counts.completed
        network.stop(signal.SIGKILL)
        assert before < count
    with network:
        client = client_of(network)
        assert client.batches.retrieve(batch.id).request_counts.completed >= before
        batch = ended(client, client.batches.retrieve(batch.id))
        assert batch.status == "completed" and batch.request_counts.completed == count
        names = [one["custom_id"] for one in content(client, batch.output_file_id)]
        assert names == [f"line-{n}" for n in range(count)]


def test_the_command_line_does_a_batch(network, tmp_path):
    file = tmp_path / "requests.jsonl"
    file.write_text("\n".join(json.dumps(one) for one in [line(0), line(1), line(2, model="other")]))

    def batch(*arguments):
        return network.run("batch", *arguments, "--data", network.data)

    submitted = batch("submit", file, "--json")
    assert submitted.returncode == 0, submitted.stderr
    number = json.loads(submitted.stdout)["id"]
    ended(client_of(network), client_of(network).batches.retrieve(number))
    shown = batch("show", number)
    assert shown.returncode == 0 and "completed" in shown.stdout and "3, 2 answered, 1 failed" in shown.stdout, shown
    assert number in batch("list").stdout
    answers = [json.loads(text)["custom_id"] for text in batch("output", number).stdout.splitlines()]
    assert answers == ["line-0", "line-1"]
    (error,) = [json.loads(text) for text in batch("output", number, "--errors").stdout.splitlines()]
    assert error["custom_id"] == "line-2" and error["response"]["body"]["error"]["code"] == "model_not_found"
    assert "can't be cancelled" in batch("cancel", number).stderr
    assert batch("show", "../keys").returncode == 2
    assert "no batch" in batch("show", "batch_0").stderr



class Stream:
    """A long answer, as it comes."""

    # The tokens that end an answer are ruled out.
    FIELDS = {"max_tokens": 300, "logit_bias": {"0": -100, "2": -100}, "stream": True}

    def __init__(self, network, number):
        body = {"model": network.model, "messages": [{"role": "user", "content": f"Tell story {number}."}], **self.FIELDS}
        request = urllib.request.Request(f"{network.base_url}/chat/completions", data=json.dumps(body).encode())
        request.add_header("content-type", "application/json")
        request.add_header("authorization", f"Bearer {network.api_key}")
        self.response, self.done = urllib.request.urlopen(request, timeout=60), False
        self.began = threading.Event()
        self.reader = threading.Thread(target=self.read, daemon=True)
        self.reader.start()

    def read(self):
        for text in self.response:
            assert b'"error"' not in text, text
            if b'"content":"' in text:
                self.began.set()
        self.done = True


def test_whoever_waits_comes_before_a_batch(tmp_path):
    """A worker's slots are two leases. A batch has one of them until requests find no room, and gets it back after them."""
    with Network(tmp_path / "data") as network:
        client = client_of(network)
        short = {"model": network.model, "max_tokens": 8}
        batch = submit(client, [line(n, **short) for n in range(300)])
        deadline = time.monotonic() + 90
        while client.batches.retrieve(batch.id).request_counts.completed == 0:
            assert time.monotonic() < deadline, "no line is done"
            time.sleep(0.05)
        streams = [Stream(network, number) for number in range(6)]
        # More than the one lease serves that was left: all are at work at once, none has ended.
        assert all(one.began.wait(timeout=60) for one in streams)
        assert not any(one.done for one in streams)
        for one in streams:
            one.reader.join(timeout=180)
            assert one.done
        batch = ended(client, client.batches.retrieve(batch.id), timeout=240)
        assert (batch.status, batch.request_counts.completed) == ("completed", 300)
