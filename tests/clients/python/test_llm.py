"""llm, unmodified: the command line that people have, and its library."""

import json
import os
import subprocess
import sys

import jsonschema
import llm
import pytest
from shared import PERSON, SNIPPETS


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A user's folder, as the snippet of the documentation leaves it."""
    folder = tmp_path_factory.mktemp("llm")
    # The commands of this environment first, as if it were the user's own.
    paths = os.pathsep.join([os.path.dirname(sys.executable), os.environ["PATH"]])
    surroundings = {**os.environ, "LLM_USER_PATH": str(folder), "PATH": paths}
    ran = subprocess.run(["sh", "-e", SNIPPETS / "llm.sh"], env=surroundings, capture_output=True, text=True, timeout=120)
    assert ran.returncode == 0, ran.stderr
    os.environ["LLM_USER_PATH"] = str(folder)
    return surroundings, ran.stdout


def run(home, *arguments):
    return subprocess.run(["llm", *arguments], env=home[0], capture_output=True, text=True, timeout=120)


def test_the_snippet_of_the_documentation_prints_an_answer(home):
    assert len(home[1].split()) > 10


def test_a_stream_is_the_whole_answer(home):
    asked = ("--model", "inferium", "Why is the sky blue?", "-o", "max_tokens", "24", "-o", "temperature", "0")
    streamed, whole = run(home, *asked), run(home, *asked, "--no-stream")
    assert streamed.returncode == whole.returncode == 0, streamed.stderr + whole.stderr
    assert streamed.stdout == whole.stdout and streamed.stdout.strip()


def test_usage_is_kept_in_its_log(home):
    asked = ("--model", "inferium", "Why is the sky blue?", "-o", "max_tokens", "24", "-o", "temperature", "0")
    assert "24 output" in run(home, *asked, "--usage").stderr
    logged = json.loads(run(home, "logs", "--json", "--count", "1").stdout)
    assert logged[0]["output_tokens"] == 24 and logged[0]["input_tokens"] > 5


def test_a_schema_without_strict_shapes_the_answer(home):
    shown = run(home, "--model", "inferium", "Ann is 41. Who is it?", "--schema", json.dumps(PERSON), "-o", "temperature", "0")
    assert shown.returncode == 0, shown.stderr
    jsonschema.validate(json.loads(shown.stdout), PERSON)


def test_a_prompt_with_tools_is_answered_and_what_is_called_fits(home):
    model = llm.get_model("inferium")

    def get_weather(city: str) -> str:
        "The weather of a city"
        return "21 degrees"

    # This client can't force a call, and a small model may answer without one.
    answer = model.prompt("What is the weather in Paris?", tools=[get_weather], stream=False, temperature=0, max_tokens=120)
    assert answer.text().strip() or answer.tool_calls()
    for call in answer.tool_calls():
        assert call.name == "get_weather" and set(call.arguments) == {"city"}


def test_an_error_is_the_gateways_in_its_words(home):
    refused = run(home, "--model", "inferium", "hi", "-o", "max_tokens", "1000000")
    assert refused.returncode == 1 and "maximum context length is" in refused.stderr
