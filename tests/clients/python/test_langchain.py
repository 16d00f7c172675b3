"""langchain-openai, unmodified: chats, streams, tools, structured output and embeddings."""

import struct

import jsonschema
import openai
import pytest
from langchain_core.messages import HumanMessage, ToolMessage
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI, OpenAIEmbeddings
from shared import BASE, EMBEDDER, KEY, MODEL, PERSON, WEATHER, snippet

SERVER = {"base_url": BASE, "api_key": KEY, "max_retries": 0}


def chat(**fields):
    return ChatOpenAI(**{"model": MODEL, "temperature": 0, "max_tokens": 24, "seed": 5, **SERVER, **fields})


def test_the_snippet_of_the_documentation_prints_an_answer_and_the_size_of_a_vector():
    lines = snippet("langchain_client.py").strip().splitlines()
    assert len(lines) >= 2 and lines[-1] == "384 values"


@pytest.mark.parametrize("temperature", [0, 0.9])
def test_a_stream_is_the_whole_answer_and_says_what_it_took_though_nobody_asked(temperature):
    whole = chat(temperature=temperature).invoke("Why is the sky blue?")
    pieces = list(chat(temperature=temperature).stream("Why is the sky blue?"))
    joined = pieces[0]
    for piece in pieces[1:]:
        joined += piece
    assert joined.content == whole.content and len(pieces) > 3
    for usage in (whole.usage_metadata, joined.usage_metadata):
        assert usage["output_tokens"] == 24 and usage["total_tokens"] == usage["input_tokens"] + 24
    assert whole.usage_metadata["input_tokens"] == joined.usage_metadata["input_tokens"]
    assert whole.response_metadata["finish_reason"] == joined.response_metadata["finish_reason"] == "length"


def test_a_tool_is_called_and_its_result_goes_back():
    @tool(args_schema=WEATHER)
    def get_weather(city: str, unit: str) -> str:
        "The weather of a city"
        return f"21 degrees {unit} in {city}"

    asking = chat(max_tokens=80).bind_tools([get_weather], tool_choice="get_weather", parallel_tool_calls=False)
    turns = [HumanMessage("What is the weather in Paris?")]
    answer = asking.invoke(turns)
    (call,) = answer.tool_calls
    jsonschema.validate(call["args"], WEATHER)
    streamed = None
    for piece in asking.stream(turns):
        streamed = piece if streamed is None else streamed + piece
    assert streamed.tool_calls[0]["args"] == call["args"]
    turns += [answer, ToolMessage(get_weather.invoke(call["args"]), tool_call_id=call["id"])]
    assert chat().invoke(turns).content.strip()


def test_structured_output_has_the_form_that_was_asked_for():
    for method in ("json_schema", "function_calling"):
        shaped = chat(max_tokens=200).with_structured_output({"title": "person", **PERSON}, method=method)
        jsonschema.validate(shaped.invoke("Ann is 41 years old. Who is it?"), PERSON)


def test_texts_become_vectors():
    vectors = OpenAIEmbeddings(model=EMBEDDER, check_embedding_ctx_length=False, **SERVER)
    sky, sea = vectors.embed_documents(["Why is the sky blue?", "The sea is deep."])
    assert len(sky) == len(sea) == 384 and sky != sea and vectors.embed_query("Why is the sky blue?") == sky
    floats = OpenAIEmbeddings(model=EMBEDDER, check_embedding_ctx_length=False, model_kwargs={"encoding_format": "float"}, **SERVER)
    numbers = floats.embed_query("Why is the sky blue?")
    assert struct.pack("<384f", *numbers) == struct.pack("<384f", *sky), "as numbers, the same as in base64"


def test_errors_keep_their_class_code_and_param():
    with pytest.raises(openai.NotFoundError) as raised:
        chat(model="gpt-9").invoke("hi")
    assert (raised.value.code, raised.value.param) == ("model_not_found", "model")
