"""The API beyond a chat, by the unmodified `openai` package and the real model: shapes hold, and validators agree with every answer."""

import json
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from typing import Literal

import openai
import pytest
from network import MODEL
from pydantic import BaseModel, Field

WEATHER = {
    "name": "get_weather",
    "description": "The weather of a city",
    "parameters": {
        "type": "object",
        "properties": {"city": {"type": "string", "maxLength": 30}, "unit": {"enum": ["celsius", "fahrenheit"]}},
        "required": ["city", "unit"],
    },
}
TOOLS = [{"type": "function", "function": WEATHER}]
QUESTION = [{"role": "user", "content": "What is the weather in Paris?"}]


def ask(client, **fields):
    return client.chat.completions.create(**{"model": MODEL, "messages": QUESTION, "max_tokens": 80, **fields})


def post(network, path, body):
    request = urllib.request.Request(
        network.base_url.removesuffix("/v1") + path,
        json.dumps(body).encode(),
        {"Authorization": f"Bearer {network.api_key}", "Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.load(answer)


def is_final(network, answer):
    """Whether validators agree with what the answer is made of."""
    extras = answer.model_extra["inferium"]
    jobs = [one["job"] for one in extras.get("choices", [extras])]
    return all(network.receipt(job)[1]["status"] in ("final", "settled") for job in jobs)


def refusal(call):
    with pytest.raises(openai.BadRequestError) as refused:
        call()
    return refused.value.code, refused.value.param


def test_a_forced_tool_call_fits_its_schema_and_its_job_becomes_final(client, network):
    answer = ask(client, tools=TOOLS, tool_choice="required", parallel_tool_calls=False, temperature=0.9)
    assert answer.choices[0].finish_reason == "tool_calls" and answer.choices[0].message.content is None
    (call,) = answer.choices[0].message.tool_calls
    arguments = json.loads(call.function.arguments)
    assert call.function.name == "get_weather" and set(arguments) == {"city", "unit"}
    assert arguments["unit"] in ("celsius", "fahrenheit")
    assert is_final(network, answer)
    # The round goes on: call and result are turns of the conversation.
    said = [*QUESTION, answer.choices[0].message.model_dump(exclude_none=True)]
    said.append({"role": "tool", "tool_call_id": call.id, "content": "21 degrees"})
    assert ask(client, messages=said, tools=TOOLS, tool_choice="none").choices[0].message.content.strip()


def test_a_streamed_tool_call_has_its_name_first_and_then_its_arguments(client):
    named = {"type": "function", "function": {"name": "get_weather"}}
    chunks = list(ask(client, tools=TOOLS, tool_choice=named, parallel_tool_calls=False, stream=True, temperature=0))
    calls = [call for chunk in chunks if chunk.choices for call in chunk.choices[0].delta.tool_calls or []]
    assert calls[0].id and calls[0].function.name == "get_weather" and calls[0].function.arguments == ""
    assert all(call.index == 0 and not call.id for call in calls[1:])
    assert set(json.loads("".join(call.function.arguments for call in calls))) == {"city", "unit"}
    assert chunks[-1].choices[0].finish_reason == "tool_calls"
    assert float(chunks[-1].usage.model_extra["cost"]) > 0


def test_parsed_answers_are_what_was_asked_for(client):
    class Person(BaseModel):
        name: Literal["Ann", "Bob"]
        age: int = Field(ge=0, le=150)

    messages = [{"role": "user", "content": "Ann is 41 years old. Who is it?"}]
    answer = client.chat.completions.parse(model=MODEL, messages=messages, response_format=Person, max_tokens=200, temperature=0)
    assert isinstance(answer.choices[0].message.parsed, Person)
    free = ask(client, response_format={"type": "json_object"}, temperature=0, max_tokens=300)
    if free.choices[0].finish_reason == "stop":
        assert isinstance(json.loads(free.choices[0].message.content), dict)
    loose = {"type": "object", "properties": {"ok": {"type": "boolean"}}, "required": ["ok"]}
    form = {"type": "json_schema", "json_schema": {"name": "x", "schema": loose}}
    said = ask(client, response_format=form)
    assert said.choices[0].finish_reason == "stop" and set(json.loads(said.choices[0].message.content)) == {"ok"}


def test_what_can_t_be_had_names_its_parameter(client):
    odd = {"type": "json_schema", "json_schema": {"name": "x", "schema": {"type": "string", "format": "no such"}}}
    assert refusal(lambda: ask(client, response_format=odd)) == ("invalid_json_schema", "response_format")
    bad = [{"type": "function", "function": {"name": "f", "parameters": {"type": "object", "properties": {"a": {"type": "odd"}}}}}]
    assert refusal(lambda: ask(client, tools=bad)) == ("invalid_json_schema", "tools")
    assert refusal(lambda: ask(client, logit_bias={"999999": 1})) == ("invalid_value", "logit_bias")
    assert refusal(lambda: ask(client, top_logprobs=2)) == ("invalid_value", "top_logprobs")
    assert refusal(lambda: ask(client, extra_body={"provider": {"verification": "zk"}}))[1] == "provider.verification"
    assert refusal(lambda: ask(client, extra_body={"made_up": 1})) == ("unsupported_parameter", "made_up")
    image = [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:,"}}]}]
    assert refusal(lambda: ask(client, messages=image))[0] == "unsupported_content"


def test_log_probabilities_several_answers_and_penalties(client, network):
    fields = {"max_tokens": 12, "logprobs": True, "top_logprobs": 3, "n": 2, "seed": 5, "frequency_penalty": 1.5}
    answer = ask(client, **fields)
    assert [choice.index for choice in answer.choices] == [0, 1]
    assert answer.choices[0].message.content != answer.choices[1].message.content
    for choice in answer.choices:
        for token in choice.logprobs.content:
            assert token.logprob <= 0 and len(token.top_logprobs) == 3
            assert token.top_logprobs[0].logprob >= token.logprob or token.top_logprobs[0].token == token.token
            assert bytes(token.bytes).decode(errors="replace") == token.token
    again = ask(client, **fields)
    assert [c.message.content for c in again.choices] == [c.message.content for c in answer.choices]
    jobs = [choice["job"] for choice in answer.model_extra["inferium"]["choices"]]
    assert len(set(jobs)) == 2 and is_final(network, answer)
    chunks = list(ask(client, stream=True, **fields))
    told = [t for c in chunks if c.choices and c.choices[0].index == 0 and c.choices[0].logprobs for t in c.choices[0].logprobs.content]
    assert [t.logprob for t in told] == [t.logprob for t in answer.choices[0].logprobs.content]


def test_more_answers_than_a_worker_has_slots_all_come(client):
    answer = ask(client, n=12, max_tokens=8, temperature=1)
    assert sorted(choice.index for choice in answer.choices) == list(range(12))
    assert all(choice.message.content for choice in answer.choices)
    assert len({choice["job"] for choice in answer.model_extra["inferium"]["choices"]}) == 12


def test_text_completions_echo_and_score(client, network):
    whole = client.completions.create(model=MODEL, prompt="The capital of France is", max_tokens=4, temperature=0)
    assert "Paris" in whole.choices[0].text
    pieces = client.completions.create(model=MODEL, prompt="The capital of France is", max_tokens=4, temperature=0, stream=True)
    assert "".join(piece.choices[0].text for piece in pieces) == whole.choices[0].text
    ids = post(network, "/tokenize", {"prompt": "The capital of France is", "add_special_tokens": False})["tokens"]
    scored = client.completions.create(model=MODEL, prompt=[ids, ids[:2]], max_tokens=1, temperature=0, echo=True, logprobs=1)
    told = scored.choices[0].logprobs
    assert len(told.tokens) == len(told.token_logprobs) == len(told.top_logprobs) == len(ids) + 1
    assert told.token_logprobs[0] is None and all(list(top.values()) for top in told.top_logprobs[1:])
    # The last one is what would come next: the likeliest, to the bit, as benchmarks test it.
    assert told.token_logprobs[-1] == max(told.top_logprobs[-1].values()) and "Paris" in told.tokens[-1]
    longer = client.completions.create(model=MODEL, prompt=ids, max_tokens=4, temperature=0, echo=True, logprobs=1)
    assert longer.choices[0].text == "The capital of France is" + whole.choices[0].text
    assert longer.choices[0].logprobs.token_logprobs[: len(ids)] == told.token_logprobs[: len(ids)]
    assert is_final(network, whole) and is_final(network, longer)


def test_responses_without_state(client):
    answer = client.responses.create(model=MODEL, input="Say hello.", instructions="Be brief.", max_output_tokens=12)
    assert answer.output_text.strip() and answer.usage.output_tokens > 0 and answer.status in ("completed", "incomplete")
    tool = {"type": "function", **WEATHER}
    asked = {"model": MODEL, "input": "Weather in Paris?", "tools": [tool], "tool_choice": "required", "parallel_tool_calls": False}
    with client.responses.stream(**asked, max_output_tokens=90, temperature=0) as stream:
        kinds = [event.type for event in stream]
        final = stream.get_final_response()
    assert kinds[0] == "response.created" and kinds[-1] == "response.completed"
    (call,) = final.output
    assert call.type == "function_call" and set(json.loads(call.arguments)) == {"city", "unit"}
    rounds = [{"role": "user", "content": "Weather in Paris?"}, call.model_dump(include={"type", "call_id", "name", "arguments"})]
    rounds.append({"type": "function_call_output", "call_id": call.call_id, "output": "21 degrees"})
    assert client.responses.create(model=MODEL, input=rounds, max_output_tokens=12).output_text
    assert refusal(lambda: client.responses.create(model=MODEL, input="x", previous_response_id="resp_1"))[1] == "previous_response_id"


def test_the_tokenizer_is_open_to_benchmarks(network):
    for base in ("", f"/m/{MODEL}"):
        tokens = post(network, f"{base}/tokenize", {"prompt": "Hello world", "add_special_tokens": False})
        assert tokens["tokens"] == [19556, 905] and tokens["count"] == 2 and tokens["max_model_len"] > 0
        assert post(network, f"{base}/detokenize", {"tokens": [19556, 905]}) == {"prompt": "Hello world"}
        url = network.base_url.removesuffix("/v1") + f"{base}/tokenizer_info"
        with urllib.request.urlopen(url, timeout=60) as answer:
            assert json.load(answer)["eos_token"] == "<|im_end|>"
    with pytest.raises(urllib.error.HTTPError) as refused:
        post(network, "/detokenize", {"tokens": [10**6]})
    assert refused.value.code == 400


def test_models_say_what_they_cost_and_can(client):
    (model,) = client.models.list().data
    shown = client.models.retrieve(model.id).model_extra
    assert float(shown["pricing"]["prompt"]) > 0 and shown["quantization"] == "int8" and shown["workers_online"] == 1
    assert shown["capabilities"]["tools"] and shown["context_length"] > 1_000


def test_a_request_that_waits_is_told_its_place(network):
    """Streams that no lease has room for begin at once, with comments that clients skip, and end in answers."""
    body = {"model": MODEL, "messages": QUESTION, "max_tokens": 24, "stream": True}

    def stream(_):
        request = urllib.request.Request(
            network.base_url + "/chat/completions",
            json.dumps(body).encode(),
            {"Authorization": f"Bearer {network.api_key}", "Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=90) as answer:
            return answer.read().decode()

    with ThreadPoolExecutor(40) as pool:
        texts = list(pool.map(stream, range(40)))
    assert all(text.endswith("data: [DONE]\n\n") for text in texts)
    places = [int(line.rsplit("=", 1)[1]) for text in texts for line in text.splitlines() if line.startswith(": inferium queued pos=")]
    assert places and min(places) >= 1 and max(places) <= 40
