"""What every client's test needs to know of the network that it runs against."""

import json
import os
import pathlib
import subprocess
import sys
import time
import urllib.request

BASE = os.environ["OPENAI_BASE_URL"]
KEY = os.environ["OPENAI_API_KEY"]
MODEL = os.environ["INFERIUM_TEST_MODEL_NAME"]
EMBEDDER = os.environ["INFERIUM_TEST_EMBEDDER_NAME"]
ADMIN = os.environ["INFERIUM_TEST_ADMIN"]
SNIPPETS = pathlib.Path(__file__).resolve().parents[1] / "snippets"
BINARY = os.environ.get("INFERIUM_BINARY") or str(SNIPPETS.parents[2] / "target" / "release" / "inferium")

WEATHER = {
    "type": "object",
    "properties": {"city": {"type": "string", "maxLength": 30}, "unit": {"enum": ["celsius", "fahrenheit"]}},
    "required": ["city", "unit"],
    "additionalProperties": False,
}
PERSON = {
    "type": "object",
    "properties": {"name": {"enum": ["Ann", "Bob"]}, "age": {"type": "integer", "minimum": 0, "maximum": 150}},
    "required": ["name", "age"],
    "additionalProperties": False,
}


def get(path, base=BASE, key=KEY):
    request = urllib.request.Request(base.removesuffix("/v1") + path, headers={"authorization": f"Bearer {key}"})
    with urllib.request.urlopen(request, timeout=60) as response:
        return response.status, json.loads(response.read())


def post(path, body):
    headers = {"authorization": f"Bearer {KEY}", "content-type": "application/json"}
    request = urllib.request.Request(BASE.removesuffix("/v1") + path, json.dumps(body).encode(), headers)
    with urllib.request.urlopen(request, timeout=120) as response:
        return json.loads(response.read())


def answered(status):
    """How many requests the gateway has answered with this status: what a client's tries are counted by."""
    with urllib.request.urlopen(ADMIN + "/metrics", timeout=30) as response:
        lines = response.read().decode().splitlines()
    wanted = f'inferium_requests_total{{status="{status}"}} '
    return sum(int(line.removeprefix(wanted)) for line in lines if line.startswith(wanted))


def receipt(job, timeout=60):
    """A job's receipt once validators have judged it."""
    deadline = time.monotonic() + timeout
    while True:
        status, body = get(f"/v1/receipts/{job}")
        if status != 202 or time.monotonic() > deadline:
            return body
        time.sleep(0.05)


def new_key(*arguments):
    """Another API key of the network."""
    made = subprocess.run(
        [BINARY, "key", "create", *arguments, "--data", os.environ["INFERIUM_TEST_DATA"], "--json"],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    return json.loads(made.stdout)["secret"]


def snippet(name, **options):
    """What a snippet of docs/clients.md prints."""
    ran = subprocess.run([sys.executable, SNIPPETS / name], capture_output=True, text=True, timeout=300, **options)
    assert ran.returncode == 0, ran.stderr
    return ran.stdout
