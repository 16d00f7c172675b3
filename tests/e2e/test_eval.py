"""Evaluations of the real models: scores that come out again, files that are refused when anything in them is changed."""

import concurrent.futures
import fractions
import hashlib
import json
import math
import signal
import subprocess
import sys
import time

import pytest
from network import BINARY, ROOT, Network

EMBEDDER = "all-minilm-l6-v2"
SUITES = {"arithmetic": 120, "everyday": 110, "forms": 60, "towns": 100}


@pytest.fixture(scope="module")
def network(tmp_path_factory):
    with Network(tmp_path_factory.mktemp("eval") / "data", "--embeddings") as network:
        yield network
        assert network.request("/v1/slashes")[2]["data"] == []


@pytest.fixture(scope="module")
def files(network, tmp_path_factory):
    """A run of each suite, the one of choices with its receipts."""
    folder, runs = tmp_path_factory.mktemp("runs"), {}
    for suite in SUITES:
        runs[suite] = folder / f"{suite}.jsonl"
        evaluate(network, suite, "--out", runs[suite], *(["--receipts"] if suite == "everyday" else []))
    return runs


def model_of(network, suite):
    return EMBEDDER if suite == "towns" else network.model


def command(network, suite, *arguments):
    return ("eval", "run", suite, model_of(network, suite), "--data", network.data, "--json", *arguments)


def evaluate(network, suite, *arguments):
    ran = network.run(*command(network, suite, *arguments))
    assert ran.returncode == 0, ran.stderr
    return json.loads(ran.stdout)


def lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def verify(network, path, *arguments):
    return network.run("eval", "verify", path, *arguments)


# What a run comes to, a second time and by other means.


def items_of(suite):
    return {item["id"]: item for item in map(json.loads, (ROOT / "suites" / suite / "items.jsonl").read_text().splitlines())}


def wilson(sum_ppm, count):
    """Mean and ends as exact fractions but for the root, which is taken to 40 digits and rounded away from the centre."""
    z2, p, scale = fractions.Fraction(3_841_459, 10**6), fractions.Fraction(sum_ppm, count * 10**6), 10**40
    inside = z2 * p * (1 - p) / count + z2 * z2 / (4 * count * count)
    root = fractions.Fraction(math.isqrt(math.floor(inside * scale * scale)), scale)
    centre, width = p + z2 / (2 * count), 1 + z2 / count
    return math.floor(p * 10**6), (centre - root) / width * 10**6, (centre + root) / width * 10**6


def digest(domain, value):
    text = json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()
    return hashlib.sha256(b"".join(len(part).to_bytes(4, "big") + part for part in (domain.encode(), text))).hexdigest()


def folded(records):
    """The digests of a run's lines, and its counts."""
    head = {key: value for key, value in records[0].items() if key != "record"}
    items = [{k: v for k, v in record.items() if k != "record"} for record in records if record["record"] == "item"]
    receipts = {record["job"]: record["document"] for record in records if record["record"] == "receipt"}
    receipts = json.loads(json.dumps(receipts, sort_keys=True))
    answers = {item["id"]: item["answer"] for item in sorted(items, key=lambda item: item["id"])}
    return {
        "items": len(items),
        "cost_nano": sum(item["cost_nano"] for item in items),
        "prompt_tokens": sum(item["prompt_tokens"] for item in items),
        "completion_tokens": sum(item["completion_tokens"] for item in items),
        "answers_digest": digest("inferium/eval-answers/1", [head["suite_id"], answers]),
        "digest": digest("inferium/eval-results/1", [head, items, receipts]),
    }


def test_items_are_what_their_script_makes():
    made = subprocess.run([sys.executable, ROOT / "suites" / "make.py", "--check"], capture_output=True, text=True)
    assert made.returncode == 0, made.stderr


def test_scores_are_neither_nothing_nor_everything_and_verify(network, files):
    for suite, count in SUITES.items():
        shown = verify(network, files[suite], "--json", "--network-key", network.network_key)
        assert shown.returncode == 0, shown.stderr
        found = json.loads(shown.stdout)
        assert found["valid"] and found["items"] == found["suite_items"] == count
        (score, *_) = found["scores"]
        # Above chance, and with room above.
        assert (250_000 if suite == "everyday" else 100_000) < score["low_ppm"] < score["high_ppm"] < 950_000, (suite, score)
        jobs = sum(len(record["jobs"]) for record in lines(files[suite]) if record["record"] == "item")
        assert found["receipts_checked"] == (jobs if suite == "everyday" else 0)
        assert found["receipts_ppm"] == (1_000_000 if suite == "everyday" else 0)
        assert found["cost_nano"] > 0 and found["milliseconds_median"] > 0


def test_a_second_implementation_comes_to_the_same(files):
    for suite, path in files.items():
        records = lines(path)
        summary = records[-1]
        expected = folded(records[:-1])
        assert {name: summary[name] for name in expected} == expected
        scores = [record["scores_ppm"] for record in records if record["record"] == "item"]
        if suite == "towns":
            continue
        for place, score in enumerate(summary["scores"]):
            mean, low, high = wilson(sum(all_[place] for all_ in scores), len(scores))
            assert score["score_ppm"] == mean and abs(score["low_ppm"] - low) <= 1 and abs(score["high_ppm"] - high) <= 1
        items = items_of(suite)
        for record in records:
            if record["record"] == "item" and suite == "everyday":
                logprobs, item = record["answer"]["logprobs_nano"], items[record["id"]]
                by_length = [logprob / len(choice) for logprob, choice in zip(logprobs, item["choices"], strict=True)]
                best = [figures.index(max(figures)) for figures in (logprobs, by_length)]
                assert record["scores_ppm"] == [10**6 * (place == item["answer"]) for place in best]


def test_a_second_run_has_the_same_answers(network, files):
    for suite in ("everyday", "towns"):
        again, before = evaluate(network, suite, "--parallel", 3), lines(files[suite])[-1]
        assert again["answers_digest"] == before["answers_digest"] and again["scores"] == before["scores"]
    # Another seed asks the same in another order.
    other = evaluate(network, "forms", "--seed", 9)
    assert other["answers_digest"] == lines(files["forms"])[-1]["answers_digest"]
    assert "--seed 9" in other["command"]


def test_a_changed_byte_is_refused(network, files, tmp_path):
    whole, damaged = files["everyday"].read_bytes(), tmp_path / "damaged.jsonl"
    places = [len(whole) * part // 30 for part in range(30)]
    # And in what people would like to be better.
    places += [whole.index(word) + len(word) for word in (b'"score_ppm":', b'"scores_ppm":[', b'"logprobs_nano":[-', b'"model":"')]
    for place in places:
        damaged.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        shown = verify(network, damaged, "--network-key", network.network_key)
        assert shown.returncode == 4 and "does not hold" in shown.stderr, (place, shown.stderr)
    other = ("inferium:" + "0" * 64 + network.network_key[len("inferium:") + 64 :])
    assert verify(network, files["everyday"], "--network-key", other).returncode in (2, 4)


def test_an_answer_that_was_never_given_is_found_by_asking_again(network, files, tmp_path):
    records = lines(files["arithmetic"])
    items = items_of("arithmetic")
    # Whoever makes a file can make all of it: every wrong answer is right now, and everything adds up.
    for record in records:
        if record["record"] == "item":
            record["answer"]["text"], record["scores_ppm"] = items[record["id"]]["answer"], [1_000_000]
    summary = records[-1]
    summary.update(folded(records[:-1]))
    ends = [str(verify(network, forge(records, tmp_path)).stderr)]
    # The ends of the interval are told by the refusal itself.
    low, high = ends[0].split("the items come to exact_match 1000000 (")[1].split(")")[0].split(" to ")
    summary["scores"] = [{"metric": "exact_match", "score_ppm": 1_000_000, "low_ppm": int(low), "high_ppm": int(high)}]
    forged = forge(records, tmp_path)
    assert verify(network, forged).returncode == 0
    asked = ("--again", 12, "--data", network.data)
    shown = verify(network, forged, *asked)
    assert shown.returncode == 4 and "answers something else" in shown.stderr, shown.stderr
    honest = verify(network, files["arithmetic"], *asked, "--json")
    assert honest.returncode == 0 and json.loads(honest.stdout)["asked_again"] == 12


def forge(records, folder):
    path = folder / "forged.jsonl"
    path.write_text("".join(json.dumps(record, ensure_ascii=False, separators=(",", ":")) + "\n" for record in records))
    return path


def test_a_receipt_of_another_job_is_refused(network, files, tmp_path):
    records = lines(files["everyday"])
    first, second = [record for record in records if record["record"] == "receipt"][:2]
    first["document"], second["document"] = second["document"], first["document"]
    records[-1].update(folded(records[:-1]))
    forged = forge(records, tmp_path)
    assert verify(network, forged).returncode == 0
    shown = verify(network, forged, "--network-key", network.network_key)
    assert shown.returncode == 4 and "is of another job" in shown.stderr, shown.stderr


def test_a_burst_of_small_jobs_is_answered_though_validators_replay_them(network):
    """Without a second try: validators of this process share the worker's engine, and its queue."""
    items = list(items_of("everyday").values())

    def scored(item):
        labels = [f" {choice}" for choice in item["choices"]]
        fields = {"model": network.model, "input": [item["input"]], "labels": [labels], "raw": True}
        return network.request("/v1/classifications", fields)[0]

    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        assert set(pool.map(scored, items * 2)) == {200}


def test_a_run_that_is_stopped_goes_on(network, files, tmp_path):
    out = tmp_path / "stopped.jsonl"
    arguments = command(network, "forms", "--out", out)
    process = subprocess.Popen(
        [str(BINARY), *map(str, arguments), "--parallel", "2"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    deadline = time.monotonic() + 60
    while not out.is_file() or len(out.read_bytes().splitlines()) < 6:
        assert time.monotonic() < deadline and process.poll() is None
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    kept = len([record for record in lines(out) if record["record"] == "item"])
    assert process.returncode == 1 and f"{kept} of 60 answers are kept" in said, said
    assert 5 <= kept < 60
    shown = verify(network, out)
    assert shown.returncode == 4 and f"not done: {kept} of 60 items" in shown.stderr, shown.stderr
    # A kill in the middle of a line leaves some of it.
    out.write_text(out.read_text() + '{"record":"item","id":"fo')
    done = evaluate(network, "forms", "--out", out)
    assert done["items"] == 60 and done["answers_digest"] == lines(files["forms"])[-1]["answers_digest"]
    assert verify(network, out).returncode == 0
    # Once more, nothing is left to ask.
    assert evaluate(network, "forms", "--out", out)["digest"] == done["digest"]


def test_a_part_of_a_suite_is_not_ranked(network, tmp_path):
    out = tmp_path / "part.jsonl"
    part = evaluate(network, "everyday", "--limit", 7, "--out", out)
    assert part["items"] == 7 and part["suite_items"] == 110 and part["command"].endswith("--limit 7")
    board = network.run("eval", "board", out, "--json")
    assert json.loads(board.stdout)["data"] == [] and "only 7 of 110 items" in board.stderr


def test_runs_are_compared_and_ranked(network, files, tmp_path):
    records = lines(files["everyday"])
    worse = tmp_path / "worse.jsonl"
    evaluate(network, "everyday", "--out", worse, "--seed", 3)
    found = json.loads(network.run("eval", "compare", files["everyday"], worse, "--json").stdout)["data"]
    assert [(row["better"], row["worse"], row["equal"], row["verdict"]) for row in found] == [(0, 0, 110, "unclear")] * 2
    board = network.run("eval", "board", *files.values(), worse, "--json")
    rows = {row["suite"]: row for row in json.loads(board.stdout)["data"]}
    assert set(rows) == set(SUITES) and all(row["rank"] == 1 for row in rows.values())
    row = rows["everyday"]
    assert row["runs"] == 2 and row["receipts_unchecked_ppm"] == 500_000 and "receipts_verified_ppm" not in row
    assert row["score"] == {key: value for key, value in records[-1]["scores"][0].items() if key != "metric"}
    assert row["command"] == records[0]["command"] and row["weights_root"] == records[0]["weights_root"]
    table = network.run("eval", "board", *files.values()).stdout
    assert "inferium eval run towns" in table and "1,000 items" in table
    assert "(unchecked)" in table and "verified" not in table
    key = ("--network-key", network.network_key)
    checked = json.loads(network.run("eval", "board", files["everyday"], worse, "--json", *key).stdout)["data"]
    assert [row["receipts_verified_ppm"] for row in checked] == [500_000]


def test_a_receipt_that_was_made_up_is_never_called_verified(network, files, tmp_path):
    records = lines(files["everyday"])
    next(record for record in records if record["record"] == "receipt")["document"] = {}
    records[-1].update(folded(records[:-1]))
    forged, key = forge(records, tmp_path), ("--network-key", network.network_key)
    assert "unchecked" in verify(network, forged).stdout and "final" not in verify(network, forged).stdout
    assert "(unchecked)" in network.run("eval", "board", forged).stdout
    for said in (network.run("eval", "board", forged, *key), verify(network, forged, *key)):
        assert said.returncode == 4 and "does not hold" in said.stderr, said.stderr
    # Receipts of no profile are of any model.
    records = lines(files["everyday"])
    records[0]["model_profile"] = None
    records[-1].update(folded(records[:-1]))
    said = verify(network, forge(records, tmp_path), *key)
    assert said.returncode == 4 and "names no model profile" in said.stderr, said.stderr


def test_what_can_not_be_evaluated_is_refused_with_the_reason(network, files, tmp_path):
    folder = tmp_path / "own"
    folder.mkdir()
    (folder / "suite.toml").write_text((ROOT / "suites/everyday/suite.toml").read_text().replace('"everyday"', '"own"'))
    good = '{"id": "a", "input": "One, two,", "choices": ["three", "nine"], "answer": 0}\n'
    (folder / "items.jsonl").write_text(good + '{"id": "b", "input": "x"}\n')
    data = ("--data", network.data)
    cases = [
        (("run", "nothing", network.model, *data), 2, "there is no suite `nothing`; there is arithmetic, everyday, forms, towns"),
        (("run", "everyday", "gpt-9", *data), 4, f"has no model `gpt-9`; it has {network.model}"),
        (("run", "towns", network.model, *data), 4, "is for models of the task `embedding`"),
        (("run", "everyday", EMBEDDER, *data), 4, "is for models of the task `chat`"),
        (("run", "everyday", network.model, *data, "--out", files["forms"]), 2, "with another suite"),
        (("run", folder, network.model, *data), 4, "line 2 of the items: missing field `choices`"),
        (("run", "forms", network.model, *data, "--limit", 0), 2, "--limit"),
        (("run", "forms", network.model, "--data", tmp_path), 2, "network"),
        (("compare", files["forms"], files["everyday"]), 2, "only runs of one suite can be compared"),
        (("compare", files["forms"]), 2, "2 values"),
        (("verify", folder / "items.jsonl"), 4, "line 1"),
        (("verify", tmp_path / "absent.jsonl"), 2, "cannot read"),
        (("verify", files["forms"], "--network-key", "none"), 2, "network key"),
        (("verify", files["forms"], "--suite", ROOT / "suites" / "towns"), 4, "the results are of suite"),
    ]
    for arguments, code, expected in cases:
        ran = network.run("eval", *arguments)
        assert ran.returncode == code and expected in ran.stderr, (arguments, ran.returncode, ran.stderr)
        assert ran.stdout == ""
    (folder / "items.jsonl").write_text(good)
    own = tmp_path / "own.jsonl"
    assert evaluate_folder(network, folder, own)["items"] == 1
    assert "name its folder with --suite" in verify(network, own).stderr
    assert verify(network, own, "--suite", folder).returncode == 0


def evaluate_folder(network, folder, out):
    ran = network.run("eval", "run", folder, network.model, "--data", network.data, "--out", out, "--json")
    assert ran.returncode == 0, ran.stderr
    return json.loads(ran.stdout)
