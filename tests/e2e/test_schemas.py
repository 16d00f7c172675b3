"""Structured output: two hundred random schemas, each answer of which an independent validator accepts."""

import json
import os
import random
from concurrent.futures import ThreadPoolExecutor

import jsonschema
import pytest
from network import MODEL, Network

SEED = int(os.environ.get("INFERIUM_SEED", "20261129"))
COUNT = 200
WORDS = ["sky", "blue", "sea", "whale", "red", "ten", "yes", "no", "north", "ä", 'say "hi"', "a\\b", ""]


def scalar(rng):
    kind = rng.randrange(7)
    if kind == 0:
        return {"enum": rng.sample(WORDS, rng.randint(1, 4))}
    if kind == 1:
        low = rng.randint(-1_000, 1_000)
        return {"type": "integer", "minimum": low, "maximum": low + rng.randint(0, 2_000)}
    if kind == 2:
        return {"type": "boolean"}
    if kind == 3:
        return {"type": "null"}
    if kind == 4:
        return {"const": rng.choice([1, True, None, "fixed", [1, "two"], {"a": 0}])}
    if kind == 5:
        return {"type": "string", "pattern": rng.choice(["^[a-f]{2,4}$", "^(cat|dog)s?$", r"^\d{4}-\d{2}$"])}
    return {"type": "string", "maxLength": rng.randint(1, 6)}


def schema(rng, depth):
    """A schema whose answers are short: what may repeat is bounded."""
    kind = rng.randrange(6) if depth else 0
    if kind <= 1:
        return scalar(rng)
    if kind == 2:
        low = rng.randint(0, 2)
        return {"type": "array", "items": schema(rng, depth - 1), "minItems": low, "maxItems": low + rng.randint(0, 2)}
    if kind == 3:
        return {"anyOf": [schema(rng, depth - 1) for _ in range(rng.randint(2, 3))]}
    names = rng.sample(["name", "age", "kind", "a b", "x-y", "é"], rng.randint(1, 3))
    properties = {name: schema(rng, depth - 1) for name in names}
    required = [name for name in names if rng.random() < 0.8]
    return {"type": "object", "properties": properties, "required": required, "additionalProperties": False}


def top(rng):
    names = rng.sample(["first", "second", "third"], rng.randint(1, 3))
    return {
        "type": "object",
        "properties": {name: schema(rng, 2) for name in names},
        "required": names,
        "additionalProperties": False,
    }


@pytest.fixture(scope="module")
def network(tmp_path_factory):
    with Network(tmp_path_factory.mktemp("schemas") / "data") as running:
        yield running


def ask(network, shape, strict, seed):
    form = {"type": "json_schema", "json_schema": {"name": "x", "schema": shape, "strict": strict}}
    return network.chat("Fill in the form.", response_format=form, max_tokens=300, temperature=1, seed=seed)


def test_two_hundred_random_schemas_are_kept_to(network):
    rng = random.Random(SEED)
    shapes = [top(rng) for _ in range(COUNT)]

    def fits(number):
        status, _, answer = ask(network, shapes[number], number % 2 == 0, number)
        assert status == 200, (SEED, number, shapes[number], answer)
        choice = answer["choices"][0]
        assert choice["finish_reason"] == "stop", (SEED, number, shapes[number], choice)
        value = json.loads(choice["message"]["content"])
        jsonschema.Draft202012Validator(shapes[number]).validate(value)
        return json.dumps(value)

    with ThreadPoolExecutor(8) as pool:
        values = list(pool.map(fits, range(COUNT)))
    # The model fills them in: it does not say the same to all of them.
    assert len(set(values)) > COUNT // 3


@pytest.mark.parametrize(
    "part",
    [
        {"type": "string", "format": "made up"},
        {"type": "what"},
        {"$ref": "https://example.com/elsewhere.json"},
        {"$ref": "#/nowhere"},
        {"type": "string", "pattern": "(unclosed"},
        {"type": "string", "pattern": r"(a)\1"},
        {"type": "integer", "minimum": 5, "maximum": 1},
        {"not": {"type": "string"}},
        {"if": {"type": "string"}, "then": {"maxLength": 3}},
        {"type": "array", "uniqueItems": True, "items": {"type": "integer"}},
    ],
    ids=lambda part: next(iter(set(part) - {"type", "items"}), str(part.get("type"))),
)
def test_a_schema_that_can_t_be_kept_to_is_refused_and_never_ignored(network, part):
    shape = {"type": "object", "properties": {"a": part}, "required": ["a"], "additionalProperties": False}
    status, _, answer = ask(network, shape, True, 1)
    assert status == 400, answer
    assert (answer["error"]["code"], answer["error"]["param"]) == ("invalid_json_schema", "response_format")
    assert len(answer["error"]["message"]) > 10
