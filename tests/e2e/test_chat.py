"""The unmodified `openai` package chats with the real model, and gets what it expects."""

import time
import urllib.request

import openai
import pytest
from network import MODEL

QUESTION = [{"role": "user", "content": "Name three colours."}]


def ask(client, **fields):
    return client.chat.completions.create(
        model=MODEL, messages=QUESTION, **{"max_tokens": 24, "temperature": 0.7, **fields}
    )


def test_an_answer_has_text_usage_and_a_job(client):
    answer = ask(client)
    assert answer.choices[0].message.content.strip()
    assert answer.choices[0].finish_reason in ("stop", "length")
    assert 0 < answer.usage.completion_tokens <= 24
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens
    extras = answer.model_extra["inferium"]
    assert extras["status"] == "provisional" and len(extras["job"]) == 64


def test_a_stream_gives_the_same_text_as_a_whole_answer(client):
    whole = ask(client, seed=7)
    chunks = list(ask(client, seed=7, stream=True))
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert text == whole.choices[0].message.content
    assert chunks[0].choices[0].delta.role == "assistant"
    assert chunks[-1].choices[0].finish_reason == whole.choices[0].finish_reason
    assert chunks[-1].usage.completion_tokens == whole.usage.completion_tokens
    assert chunks[-1].model_extra["inferium"]["status"] == "provisional"


def test_usage_comes_in_a_chunk_of_its_own_when_asked_for(client):
    chunks = list(ask(client, stream=True, stream_options={"include_usage": True}))
    assert chunks[-1].choices == [] and chunks[-1].usage.total_tokens > 0
    assert all(chunk.usage is None for chunk in chunks[:-1])


def test_a_client_seed_makes_answers_repeat_and_another_changes_them(client):
    texts = [ask(client, seed=seed, temperature=1.0).choices[0].message.content for seed in (1, 1, 2)]
    assert texts[0] == texts[1] != texts[2]


def test_temperature_zero_is_greedy(client):
    assert ask(client, temperature=0).choices[0].message.content == ask(client, temperature=0).choices[0].message.content


def test_a_stop_string_ends_the_answer_before_it(client):
    greedy = ask(client, temperature=0).choices[0].message.content
    stop = greedy[5:9]
    stopped = ask(client, temperature=0, stop=[stop])
    assert stopped.choices[0].message.content == greedy[: greedy.index(stop)]
    assert stopped.choices[0].finish_reason == "stop"


def test_max_completion_tokens_wins_over_the_older_name(client):
    assert ask(client, max_tokens=20, max_completion_tokens=3).usage.completion_tokens == 3


def test_content_parts_read_like_text(client):
    parts = [{"role": "user", "content": [{"type": "text", "text": "Name three "}, {"type": "text", "text": "colours."}]}]
    answer = client.chat.completions.create(model=MODEL, messages=parts, max_tokens=24, temperature=0)
    assert answer.choices[0].message.content == ask(client, temperature=0).choices[0].message.content


def test_models_are_listed_and_found(client):
    assert [model.id for model in client.models.list()] == [MODEL]
    assert client.models.retrieve(MODEL).model_extra["context_length"] > 1000


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"n": 17}, "n"),
        ({"top_logprobs": 1}, "top_logprobs"),
        ({"presence_penalty": 2.5}, "presence_penalty"),
        ({"response_format": {"type": "regex"}}, "response_format[type=regex]"),
        ({"tools": [{"type": "function", "function": {"name": "a b"}}]}, "tools[0].function.name"),
        ({"extra_body": {"min_p": 0.1}}, "min_p"),
        ({"temperature": 3}, "temperature"),
        ({"top_p": -1}, "top_p"),
        ({"stop": ["a", "b", "c", "d", "e"]}, "stop"),
        ({"max_tokens": 0}, "max_tokens"),
    ],
)
def test_what_is_not_supported_or_out_of_range_is_named(client, fields, param):
    with pytest.raises(openai.BadRequestError) as error:
        ask(client, **fields)
    assert error.value.param == param


def test_an_unknown_model_is_a_404_that_names_what_there_is(client):
    with pytest.raises(openai.NotFoundError) as error:
        client.chat.completions.create(model="gpt-9", messages=QUESTION)
    assert error.value.code == "model_not_found" and MODEL in error.value.message


def test_a_prompt_over_the_measured_context_is_refused(client):
    with pytest.raises(openai.BadRequestError) as error:
        client.chat.completions.create(model=MODEL, messages=[{"role": "user", "content": "water " * 40_000}])
    assert error.value.code == "context_length_exceeded"


def test_a_wrong_key_is_a_401(network):
    stranger = openai.OpenAI(base_url=network.base_url, api_key="sk-inferium-" + "0" * 48, max_retries=0)
    with pytest.raises(openai.AuthenticationError):
        ask(stranger)


@pytest.mark.parametrize(
    ("raw", "status", "code"),
    [
        (b"{", 400, "invalid_json"),
        (b"[]", 400, "invalid_json"),
        (b"\xff\xfe", 400, "invalid_json"),
        (b"{}", 400, "invalid_value"),
        (b'{"model":"x","messages":"hello"}', 400, "invalid_value"),
        (b'{"model":"x","messages":[]}', 400, "invalid_value"),
        (b"[" * 100_000, 400, "invalid_json"),
        (b'{"model":"x","messages":[{"role":"alien","content":"x"}]}', 400, "invalid_value"),
        (b" " * (9 * 1024 * 1024), 413, "body_too_large"),
    ],
)
def test_bad_bodies_get_an_error_object(network, raw, status, code):
    found, headers, body = network.request("/v1/chat/completions", raw=raw)
    assert (found, body["error"]["code"]) == (status, code)
    assert headers["x-request-id"]


def test_unknown_urls_and_methods_get_error_objects(network):
    assert network.request("/v1/nothing")[2]["error"]["code"] == "unknown_url"
    status, _, body = network.request("/v1/chat/completions", method="GET")
    assert (status, body["error"]["code"]) == (405, "method_not_allowed")


def metric(network, name):
    with urllib.request.urlopen(network.admin_url + "/metrics") as response:
        for line in response.read().decode().splitlines():
            if line.startswith(name + " "):
                return float(line.split()[1])
    raise AssertionError(f"no metric {name}")


def test_a_client_that_leaves_stops_the_worker_within_a_second(client, network):
    stream = ask(client, stream=True, max_tokens=2_000, temperature=1.0)
    for _ in zip(range(3), stream):
        pass
    assert metric(network, "inferium_jobs_running") == 1
    stream.close()
    left = time.monotonic()
    while metric(network, "inferium_jobs_running") > 0:
        assert time.monotonic() - left < 1, "the worker is still at it after a second"
        time.sleep(0.02)


def test_health_and_readiness(network):
    assert network.request("/health")[0] == 200
    status, _, body = network.request("/ready")
    assert status == 200 and body["ready"] and body["leases"] >= 1
