from agents import Agent, ModelSettings, Runner, function_tool, set_tracing_disabled

set_tracing_disabled(True)  # traces go to OpenAI, whatever the server


@function_tool
def get_weather(city: str) -> str:
    """The weather of a city."""
    return f"21 degrees in {city}"


# The SDK asks the server of OPENAI_BASE_URL by /v1/responses.
agent = Agent(
    name="weather",
    instructions="Answer by the weather of a city.",
    model="smollm2-135m-instruct",
    model_settings=ModelSettings(tool_choice="required", parallel_tool_calls=False, temperature=0, max_tokens=96),
    tools=[get_weather],
    tool_use_behavior="stop_on_first_tool",
)
print(Runner.run_sync(agent, "What is the weather in Paris?").final_output)
