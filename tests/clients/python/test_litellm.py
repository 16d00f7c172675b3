"""litellm, unmodified: one call for every provider, and classes of errors of its own."""

import json

import jsonschema
import litellm
import pytest
from shared import BASE, EMBEDDER, KEY, MODEL, PERSON, WEATHER, answered, new_key, snippet

SERVER = {"api_base": BASE, "api_key": KEY, "num_retries": 0, "max_retries": 0}


def ask(text="Why is the sky blue?", **fields):
    messages = [{"role": "user", "content": text}]
    return litellm.completion(**{"model": f"openai/{MODEL}", "messages": messages, "max_tokens": 24, "temperature": 0, **SERVER, **fields})


def test_the_snippet_of_the_documentation_prints_an_answer():
    assert len(snippet("litellm_client.py").split()) > 10


@pytest.mark.parametrize("fields", [{}, {"temperature": 0.9, "seed": 7}])
def test_a_stream_is_the_whole_answer(fields):
    whole = ask(**fields)
    chunks = list(ask(stream=True, stream_options={"include_usage": True}, **fields))
    rebuilt = litellm.stream_chunk_builder(chunks)
    assert rebuilt.choices[0].message.content == whole.choices[0].message.content
    for answer in (whole, rebuilt):
        assert answer.usage.completion_tokens == 24 and answer.choices[0].finish_reason == "length"
        assert answer.usage.prompt_tokens == whole.usage.prompt_tokens > 5


def test_a_tool_call_fits_its_schema():
    tools = [{"type": "function", "function": {"name": "get_weather", "parameters": WEATHER}}]
    named = {"type": "function", "function": {"name": "get_weather"}}
    answer = ask("What is the weather in Paris?", tools=tools, tool_choice=named, max_tokens=80)
    (call, *_) = answer.choices[0].message.tool_calls
    jsonschema.validate(json.loads(call.function.arguments), WEATHER)
    assert call.function.name == "get_weather"


def test_structured_output_has_the_form_that_was_asked_for():
    form = {"type": "json_schema", "json_schema": {"name": "person", "schema": PERSON, "strict": True}}
    answer = ask("Ann is 41 years old. Who is it?", response_format=form, max_tokens=200)
    jsonschema.validate(json.loads(answer.choices[0].message.content), PERSON)


def test_texts_become_vectors():
    fields = {"model": f"openai/{EMBEDDER}", "input": ["sky", "sea"], **SERVER}
    floats = litellm.embedding(encoding_format="float", **fields)
    assert [len(item["embedding"]) for item in floats.data] == [384, 384]
    assert floats.usage.prompt_tokens == floats.usage.total_tokens > 1


def test_errors_are_of_the_class_that_they_are_and_not_tried_again():
    poor = new_key("--budget", "0.000001")
    cases = [
        ({"api_key": "sk-inferium-" + "0" * 48}, litellm.AuthenticationError, 401),
        ({"model": "openai/gpt-9"}, litellm.NotFoundError, 404),
        ({"max_tokens": 10**6}, litellm.ContextWindowExceededError, 400),
        ({"temperature": 3}, litellm.BadRequestError, 400),
        ({"api_key": poor}, litellm.APIError, 402),
    ]
    for fields, kind, status in cases:
        before = answered(status)
        with pytest.raises(kind) as raised:
            ask(**fields)
        assert raised.value.status_code == status, fields
        assert answered(status) - before == 1, fields
