"""Honest engines are never rejected: over threads, jobs at once and instruction sets, by equality and by statistics, as a
validator judges them. More of them: `inferium profile honest --jobs 10000`."""

import json
import os
import subprocess

from network import BINARY

# A minute or two on two cores.
JOBS = int(os.environ.get("INFERIUM_HONEST_JOBS", "400"))


def honest(folder, jobs, *arguments):
    command = [BINARY, "profile", "honest", "--jobs", jobs, "--out", folder, "--json", *arguments]
    run = subprocess.run([str(part) for part in command], capture_output=True, text=True, timeout=1800)
    return run.returncode, run.stdout, run.stderr


def classes(folder, jobs):
    code, out, errors = honest(folder, jobs)
    assert code == 0, errors
    return {figures["class"]: figures for figures in json.loads(out)["classes"]}


def test_no_honest_job_is_rejected_and_the_command_goes_on(tmp_path):
    first = classes(tmp_path, 20)
    assert sum(figures["jobs"] for figures in first.values()) >= 20
    (kept,) = tmp_path.glob("honest-*.jsonl")
    lines = kept.read_text().splitlines()
    # What a kill leaves behind.
    kept.write_text("\n".join(lines) + "\n" + lines[0][:30])
    found = classes(tmp_path, JOBS)
    assert kept.read_text().splitlines()[: len(lines)] == lines, "finished jobs were done again"
    assert sum(figures["jobs"] for figures in found.values()) >= JOBS
    for name, figures in found.items():
        assert figures["rejected_segments"] == [], name
        assert figures["jobs"] >= JOBS // 3 and figures["tokens"] > figures["jobs"], (name, figures)
    assert found["tolerance"]["suspicion"] == "none" and found["canonical"]["suspicion"] is None
    assert found["tolerance"]["capital_log10_max"] < 2
    # As many of this machine's settings as so many jobs reach.
    settings = {setting for figures in found.values() for setting in figures["settings"]}
    assert {setting.split(",")[0] for setting in settings} == {"1 threads", "2 threads"}
    assert {int(setting.split()[-3]) for setting in settings} == set(range(1, 9))


def test_a_rejected_job_and_wrong_use_are_errors(tmp_path):
    classes(tmp_path, 1)
    (kept,) = tmp_path.glob("honest-*.jsonl")
    line = json.loads(kept.read_text().splitlines()[0])
    kept.write_text(json.dumps(line | {"rejected": "job 0: Logits"}) + "\n")
    code, out, errors = honest(tmp_path, 1)
    assert code == 4 and "rejected" in errors
    assert json.loads(out)["classes"][0]["rejected_segments"] == [f"segment 0, {line['setting']}: job 0: Logits"]
    kept.write_text(json.dumps(line | {"segment": 5}) + "\n")
    code, _, errors = honest(tmp_path, 1)
    assert code == 1 and "missing" in errors
    code, _, errors = honest(tmp_path, 0)
    assert code == 2 and "--jobs" in errors
