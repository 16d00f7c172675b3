"""openai for Python, unmodified: what it reads is what was computed, and what it raises is what happened."""

import json
import socket
import struct
import time
from typing import Literal
from urllib.parse import urlsplit

import jsonschema
import openai
import pytest
from pydantic import BaseModel, Field
from shared import BASE, EMBEDDER, KEY, MODEL, PERSON, WEATHER, answered, get, new_key, receipt, snippet

TOOLS = [{"type": "function", "function": {"name": "get_weather", "description": "The weather of a city", "parameters": WEATHER}}]
ONE_CALL = {"tools": TOOLS, "tool_choice": "required", "parallel_tool_calls": False, "temperature": 0, "max_tokens": 80}
ELSEWHERE = "00" * 32


class Person(BaseModel):
    name: Literal["Ann", "Bob"]
    age: int = Field(ge=0, le=150)


@pytest.fixture(scope="module")
def client():
    return openai.OpenAI(max_retries=0)


def ask(client, text="Why is the sky blue?", **fields):
    return client.chat.completions.create(
        **{"model": MODEL, "messages": [{"role": "user", "content": text}], "max_tokens": 24, "temperature": 0, **fields}
    )


def said(chunks):
    return "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)


def test_the_snippet_of_the_documentation_prints_an_answer_and_where_its_receipt_is():
    lines = snippet("openai_python.py").strip().splitlines()
    assert len(lines) >= 2 and lines[-1].startswith("/v1/receipts/")
    assert receipt(lines[-1].rpartition("/")[2])["status"] in ("final", "settled")


def test_models_are_listed_and_found_by_their_names(client):
    assert {model.id for model in client.models.list()} == {MODEL, EMBEDDER}
    assert client.models.retrieve(MODEL).model_extra["context_length"] > 1_000


def test_an_answer_says_what_it_took_and_costs_what_its_receipt_says(client):
    answer = ask(client)
    usage = answer.usage
    assert answer.choices[0].finish_reason == "length" and usage.completion_tokens == 24
    assert usage.total_tokens == usage.prompt_tokens + usage.completion_tokens and usage.prompt_tokens > 5
    judged = receipt(answer.model_extra["inferium"]["job"])
    assert judged["usage"] == {"prompt_tokens": usage.prompt_tokens, "completion_tokens": usage.completion_tokens}
    assert judged["fee_nano"] == usage.model_extra["cost_nano"] > 0
    assert answer._request_id.startswith("req-")


@pytest.mark.parametrize("fields", [{}, {"temperature": 0.9, "seed": 7}, {"temperature": 0.9, "seed": 7, "stop": ["."]}])
def test_a_stream_is_the_whole_answer_in_pieces(client, fields):
    whole = ask(client, **fields)
    chunks = list(ask(client, stream=True, **fields))
    assert said(chunks) == whole.choices[0].message.content
    assert chunks[0].choices[0].delta.role == "assistant" and len(chunks) > 3
    reasons = [chunk.choices[0].finish_reason for chunk in chunks]
    assert reasons == [None] * (len(chunks) - 1) + [whole.choices[0].finish_reason]
    # Who did not ask for usage finds it on the last chunk that there is.
    assert [chunk.usage for chunk in chunks[:-1]] == [None] * (len(chunks) - 1)
    assert chunks[-1].usage.completion_tokens == whole.usage.completion_tokens
    asked = list(ask(client, stream=True, stream_options={"include_usage": True}, **fields))
    assert asked[-1].choices == [] and asked[-1].usage.prompt_tokens == whole.usage.prompt_tokens
    assert [chunk.usage for chunk in asked[:-1]] == [None] * (len(asked) - 1) and said(asked) == said(chunks)


def test_a_tool_is_called_answered_and_spoken_of(client):
    answer = ask(client, "What is the weather in Paris?", **ONE_CALL)
    assert answer.choices[0].finish_reason == "tool_calls" and answer.choices[0].message.content is None
    (call,) = answer.choices[0].message.tool_calls
    jsonschema.validate(json.loads(call.function.arguments), WEATHER)
    with client.chat.completions.stream(
        model=MODEL, messages=[{"role": "user", "content": "What is the weather in Paris?"}], **ONE_CALL
    ) as stream:
        final = stream.get_final_completion()
    (streamed,) = final.choices[0].message.tool_calls
    assert streamed.function.arguments == call.function.arguments and streamed.function.name == "get_weather"
    turns = [
        {"role": "user", "content": "What is the weather in Paris?"},
        answer.choices[0].message.model_dump(exclude_none=True),
        {"role": "tool", "tool_call_id": call.id, "content": "21 degrees"},
    ]
    last = client.chat.completions.create(model=MODEL, messages=turns, tools=TOOLS, tool_choice="none", max_tokens=16)
    assert last.choices[0].message.content.strip() and last.choices[0].finish_reason in ("stop", "length")


def test_parsed_answers_have_the_form_that_was_asked_for(client):
    messages = [{"role": "user", "content": "Ann is 41 years old. Who is it?"}]
    fields = {"model": MODEL, "messages": messages, "max_tokens": 200, "temperature": 0}
    answer = client.chat.completions.parse(response_format=Person, **fields)
    assert isinstance(answer.choices[0].message.parsed, Person)
    jsonschema.validate(json.loads(answer.choices[0].message.content), PERSON)
    with client.chat.completions.stream(response_format=Person, **fields) as stream:
        assert stream.get_final_completion().choices[0].message.parsed == answer.choices[0].message.parsed


def test_responses_are_whole_streamed_and_parsed(client):
    asked = {"model": MODEL, "input": "Why is the sky blue?", "max_output_tokens": 16, "temperature": 0}
    whole = client.responses.create(**asked)
    assert whole.usage.output_tokens == 16 and whole.status == "incomplete"
    assert whole.usage.total_tokens == whole.usage.input_tokens + 16
    with client.responses.stream(**asked) as stream:
        events = list(stream)
    numbers = [event.sequence_number for event in events]
    assert numbers == sorted(set(numbers))
    pieces = [event.delta for event in events if event.type == "response.output_text.delta"]
    assert "".join(pieces) == whole.output_text and len(pieces) > 3
    parsed = client.responses.parse(model=MODEL, input="Ann is 41. Who?", text_format=Person, max_output_tokens=200, temperature=0)
    assert isinstance(parsed.output_parsed, Person)


def test_vectors_are_the_same_as_numbers_and_as_base64(client):
    texts = ["Why is the sky blue?", "What colour has the sky?"]
    # The client asks for base64 unless it is told otherwise, and decodes it.
    packed = client.embeddings.create(model=EMBEDDER, input=texts)
    floats = client.embeddings.create(model=EMBEDDER, input=texts, encoding_format="float")
    for one, other in zip(packed.data, floats.data):
        assert len(one.embedding) == 384 and abs(sum(value * value for value in one.embedding) - 1) < 1e-4
        assert struct.pack("<384f", *one.embedding) == struct.pack("<384f", *other.embedding)
    assert packed.usage.prompt_tokens == packed.usage.total_tokens == floats.usage.total_tokens > 8


def test_completions_echo_what_they_continue(client):
    fields = {"model": MODEL, "prompt": "The capital of France is", "max_tokens": 3, "temperature": 0}
    plain = client.completions.create(**fields)
    echoed = client.completions.create(**fields, echo=True, logprobs=1)
    assert "Paris" in plain.choices[0].text
    assert echoed.choices[0].text == fields["prompt"] + plain.choices[0].text
    told = echoed.choices[0].logprobs
    assert "".join(told.tokens) == echoed.choices[0].text and told.token_logprobs[0] is None
    # The likeliest was taken, to the bit: benchmarks test it by equality.
    assert told.token_logprobs[-1] == max(told.top_logprobs[-1].values())


def refused(call, kind):
    """(code, param, tries) of a call that the client raises."""
    status = {
        openai.AuthenticationError: 401, openai.PermissionDeniedError: 403, openai.NotFoundError: 404,
        openai.BadRequestError: 400, openai.RateLimitError: 429, openai.InternalServerError: 503, openai.APIStatusError: 402,
    }[kind]
    before = answered(status)
    with pytest.raises(kind) as raised:
        call()
    assert type(raised.value) is kind and raised.value.status_code == status
    assert raised.value.request_id.startswith("req-")
    return raised.value.code, raised.value.param, answered(status) - before


def test_errors_are_of_the_class_that_they_are_and_tried_as_often_as_they_should():
    spender = new_key("--budget", "1")
    default = openai.OpenAI(api_key=spender)
    poor = openai.OpenAI(api_key=new_key("--budget", "0.000001"))
    other = openai.OpenAI(api_key=new_key("--models", EMBEDDER))
    unknown = openai.OpenAI(api_key="sk-inferium-" + "0" * 48)
    cases = [
        (lambda: ask(unknown), openai.AuthenticationError, "invalid_api_key", None, 1),
        (lambda: ask(poor), openai.APIStatusError, "payment_required", None, 1),
        (lambda: ask(other), openai.PermissionDeniedError, "model_not_allowed", "model", 1),
        (lambda: ask(default, model="gpt-9"), openai.NotFoundError, "model_not_found", "model", 1),
        (lambda: ask(default, temperature=3), openai.BadRequestError, "invalid_value", "temperature", 1),
        (lambda: ask(default, max_tokens=10**6), openai.BadRequestError, "context_length_exceeded", "messages", 1),
        # A worker that is not there now may be there soon.
        (lambda: ask(default, extra_body={"provider": {"only": [ELSEWHERE]}}), openai.InternalServerError, "no_worker_available", None, 3),
    ]
    for call, kind, *expected in cases:
        assert list(refused(call, kind)) == expected, (kind, expected)
    shown = get("/v1/key", key=spender)[1]
    assert (shown["spent_nano"], shown["left_nano"]) == (0, 10**9), "what failed cost something"


class Waiting:
    """Streams that fill the queue of the gateway: none of them is read."""

    def __init__(self, count):
        place = urlsplit(BASE)
        # None of those at work may make room for another one: the tokens that end an answer are ruled out.
        fields = {"max_tokens": 2_000, "logit_bias": {"0": -100, "2": -100}, "stream": True}
        body = json.dumps({"model": MODEL, "messages": [{"role": "user", "content": "Tell a long story."}], **fields})
        head = f"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {KEY}\r\ncontent-type: application/json\r\n"
        request = f"{head}content-length: {len(body)}\r\n\r\n{body}".encode()
        self.sockets = [socket.create_connection((place.hostname, place.port), timeout=30) for _ in range(count)]
        for one in self.sockets:
            one.sendall(request)

    def __enter__(self):
        # Each was let in or refused, so that nothing that is refused from now on is one of these.
        said = [one.recv(12) for one in self.sockets]
        assert set(said) == {b"HTTP/1.1 200", b"HTTP/1.1 429"}, set(said)
        return self

    def __exit__(self, *_):
        for one in self.sockets:
            one.close()


def test_a_full_gateway_sheds_load_and_the_client_comes_back_in_a_second():
    # 512 may wait beside those that workers are at.
    with Waiting(640):
        started = time.monotonic()
        # A question that was not answered before: a repeated try would get that answer.
        code, _, tries = refused(lambda: ask(openai.OpenAI(), "Is there room?"), openai.RateLimitError)
        assert (code, tries) == ("rate_limit_exceeded", 3)
        assert time.monotonic() - started >= 2, "the client waits as long as `retry-after-ms` says, twice"
    assert ask(openai.OpenAI(max_retries=8)).choices[0].message.content
