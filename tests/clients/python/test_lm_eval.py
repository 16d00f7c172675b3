"""lm-eval, unmodified, with its tokenizer on the server: the same figures again, and the same as the network's own scores."""

import json
import math
import os
import pathlib
import shutil
import subprocess
import sys

import pytest
from shared import BASE, BINARY, KEY, MODEL, SNIPPETS, post

ROOT = SNIPPETS.parents[2]
RESULTS = ROOT / "target" / "clients" / "results"


def evaluate(snippet="lm-eval.sh", tasks=("choice", "generate")):
    """What one run of the documentation's commands found: samples of both tasks, and their scores."""
    shutil.rmtree(RESULTS, ignore_errors=True)
    paths = os.pathsep.join([os.path.dirname(sys.executable), os.environ["PATH"]])
    command = ["sh", "-e", SNIPPETS / snippet]
    ran = subprocess.run(command, cwd=ROOT, env={**os.environ, "PATH": paths}, capture_output=True, text=True, timeout=400)
    assert ran.returncode == 0, ran.stderr[-3000:]
    found = {}
    for task in tasks:
        (samples,) = (RESULTS / task).rglob("samples_*.jsonl")
        (summary,) = (RESULTS / task).rglob("results_*.json")
        rows = sorted((json.loads(line) for line in samples.read_text().splitlines()), key=lambda row: row["doc_id"])
        found[task] = (rows, json.loads(summary.read_text())["results"][f"inferium_{task}"])
    return found


@pytest.fixture(scope="module")
def first():
    return evaluate()


def test_a_second_run_finds_the_same_to_the_bit(first):
    again = evaluate()
    for task, (rows, scores) in first.items():
        assert [row["resps"] for row in again[task][0]] == [row["resps"] for row in rows]
        assert {name: again[task][1][name] for name in scores} == scores


def test_log_likelihoods_are_those_that_the_network_scores_by_itself(first):
    rows, scores = first["choice"]
    right = 0
    for row in rows:
        doc = row["doc"]
        labels = [f" {choice}" for choice in doc["choices"]]
        asked = {"model": MODEL, "input": [doc["context"]], "labels": [labels], "raw": True}
        (item,) = post("/v1/classifications", asked)["data"]
        own = {score["label"]: score["logprob"] for score in item["scores"]}
        told = [float(answer[0][0]) for answer in row["resps"]]
        for label, value in zip(labels, told):
            assert math.isclose(own[label], value, rel_tol=1e-5), (doc, label)
        # What is likeliest token by token is what the model says when nothing is drawn.
        for label, answer in zip(labels, row["resps"]):
            spoken = post("/v1/completions", {"model": MODEL, "prompt": doc["context"], "max_tokens": 6, "temperature": 0})
            assert (answer[0][1] == "True") == spoken["choices"][0]["text"].startswith(label), (doc, label)
        best = max(range(len(labels)), key=lambda at: own[labels[at]])
        right += best == doc["answer"]
    assert scores["acc,none"] == right / len(rows) > 0.5


def test_generated_answers_are_those_of_a_plain_chat(first):
    rows, scores = first["generate"]
    right = 0
    for row in rows:
        asked = {"messages": [{"role": "user", "content": row["doc"]["question"]}], "max_tokens": 16, "temperature": 0}
        answer = post("/v1/chat/completions", {"model": MODEL, **asked, "stop": ["\n\n"], "seed": 1234})
        said = answer["choices"][0]["message"]["content"]
        assert row["resps"][0][0] == said
        right += row["doc"]["answer"] in said
    assert scores["exact_match,holds"] == right / len(rows)


def own_run(suite, folder):
    """The same suite by `inferium eval run`: its items by id, and its summary."""
    out = folder / f"{suite}.jsonl"
    told = {**os.environ, "OPENAI_BASE_URL": BASE, "OPENAI_API_KEY": KEY}
    ran = subprocess.run([BINARY, "eval", "run", suite, MODEL, "--out", out], env=told, capture_output=True, text=True, timeout=300)
    assert ran.returncode == 0, ran.stderr
    records = [json.loads(line) for line in out.read_text().splitlines()]
    return {record["id"]: record for record in records if record["record"] == "item"}, records[-1]


def test_the_projects_suites_have_the_same_scores_by_both(tmp_path):
    found = evaluate("lm-eval-suites.sh", ("everyday", "arithmetic"))
    for suite, metrics, name in (("everyday", ("acc", "acc_norm"), "none"), ("arithmetic", ("exact_match",), "last_number")):
        (rows, scores), (items, summary) = found[suite], own_run(suite, tmp_path)
        assert {row["doc"]["id"] for row in rows} == set(items) and len(rows) >= 110
        for row in rows:
            own = items[row["doc"]["id"]]
            assert own["scores_ppm"] == [round(1e6 * row[metric]) for metric in metrics], row["doc"]
            if suite == "everyday":
                told = [float(answer[0][0]) for answer in row["resps"]]
                for mine, theirs in zip(own["answer"]["logprobs_nano"], told, strict=True):
                    # Sums in whole billionths, and in floating point.
                    assert abs(mine - theirs * 1e9) < 10, row["doc"]
            else:
                assert own["answer"]["text"] == row["resps"][0][0]
        for place, metric in enumerate(metrics):
            right = sum(item["scores_ppm"][place] for item in items.values()) // 10**6
            assert scores[f"{metric},{name}"] == right / len(rows)
            assert summary["scores"][place]["score_ppm"] == 10**6 * right // len(rows)
