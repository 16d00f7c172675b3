"""openai-agents, unmodified: by /v1/responses, as it does by itself, and by chat completions."""

import asyncio
from typing import Literal

import openai
import pytest
from agents import Agent, ModelSettings, OpenAIChatCompletionsModel, OpenAIResponsesModel, Runner, function_tool
from pydantic import BaseModel, Field
from shared import MODEL, snippet

QUESTION = "What is the weather in Paris?"


class Person(BaseModel):
    name: Literal["Ann", "Bob"]
    age: int = Field(ge=0, le=150)


@pytest.fixture(params=[OpenAIResponsesModel, OpenAIChatCompletionsModel], ids=["responses", "chat"])
def model(request):
    return request.param(model=MODEL, openai_client=openai.AsyncOpenAI(max_retries=0))


def settings(**fields):
    return ModelSettings(**{"temperature": 0, "max_tokens": 24, **fields})


def run(agent, text, **options):
    return asyncio.run(Runner.run(agent, text, **options))


async def stream(agent, text, **options):
    running = Runner.run_streamed(agent, text, **options)
    pieces = [event.data.delta async for event in running.stream_events() if event.type == "raw_response_event" and event.data.type == "response.output_text.delta"]
    return running, "".join(pieces)


def test_the_snippet_of_the_documentation_calls_its_tool():
    assert snippet("agents_sdk.py").startswith("21 degrees in ")


def test_a_stream_is_the_whole_answer_with_its_usage(model):
    # Room to end by itself: the SDK takes a streamed response that was cut off as an error.
    agent = Agent(name="a", instructions="Be brief.", model=model, model_settings=settings(max_tokens=400))

    async def both():
        return await Runner.run(agent, "Say hello."), await stream(agent, "Say hello.")

    whole, (streamed, text) = asyncio.run(both())
    assert whole.final_output == streamed.final_output == text and text.strip()
    used, again = whole.context_wrapper.usage, streamed.context_wrapper.usage
    assert 0 < used.output_tokens < 400 and used.total_tokens == used.input_tokens + used.output_tokens
    assert (used.requests, used.input_tokens, used.output_tokens) == (again.requests, again.input_tokens, again.output_tokens)


def test_a_tool_is_called_and_the_agent_goes_on_from_its_result(model):
    seen = []

    @function_tool
    def get_weather(city: str) -> str:
        """The weather of a city."""
        seen.append(city)
        return "21 degrees"

    # After the first call the SDK itself lets the model choose again.
    forced = settings(tool_choice="get_weather", parallel_tool_calls=False, max_tokens=96)
    agent = Agent(name="a", instructions="Answer by the weather.", model=model, model_settings=forced, tools=[get_weather])
    ended = run(agent, QUESTION, max_turns=8)
    assert seen and all(isinstance(city, str) for city in seen)
    kinds = [item.type for item in ended.new_items]
    assert kinds[:2] == ["tool_call_item", "tool_call_output_item"]
    assert ended.context_wrapper.usage.requests >= 2


def test_output_has_the_type_that_the_agent_declares(model):
    agent = Agent(name="a", instructions="Tell who it is.", model=model, model_settings=settings(max_tokens=200), output_type=Person)
    assert isinstance(run(agent, "Ann is 41 years old.").final_output, Person)


def test_an_error_keeps_its_class_code_and_param():
    wrong = OpenAIResponsesModel(model="gpt-9", openai_client=openai.AsyncOpenAI(max_retries=0))
    with pytest.raises(openai.NotFoundError) as raised:
        run(Agent(name="a", model=wrong, model_settings=settings()), "hi")
    assert (raised.value.code, raised.value.param) == ("model_not_found", "model")
