"""Lets each cheat work for a real network of the tolerance class until it is convicted, and prints a Markdown table:
`python3 bench/attacks.py [CRIME ...]`. `honest` is a network without one; `honest-llamacpp` is one whose workers run llama.cpp.

Needs `cargo build --release`; `honest-llamacpp` and `another-model` one with `--features llamacpp`, and the latter a GGUF file that
`INFERIUM_OTHER_MODEL` names. `INFERIUM_BINARY` names another binary. The network replays every job of a newcomer; tokens are those of the cheat's answers that were judged
until the chain slashed it, counted in whole segments.
"""

import concurrent.futures
import os
import pathlib
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[1]
RECORD = ROOT / "crates" / "inferium-calibration" / "records" / "smollm2-135m-instruct-with-llamacpp.json"
sys.path.insert(0, str(ROOT / "tests" / "e2e"))
from network import Network  # noqa: E402

CRIMES = [
    "coarse-rows", "fp8-cache", "int4-cache", "wrong-weights", "skipped-layers", "no-system-prompt", "warmer", "hotter",
    "own-seed", "best-of-four", "forged-logprobs", "forged-sketches", "truncated", "edited-text",
    "over-generation", "copied",
]
SYSTEM = "You are a careful assistant of a public library. Answer politely, in complete sentences, and say when you are not sure."
QUESTIONS = [
    "Tell the history of the potato in Europe.", "How does a compiler turn source code into machine code?",
    "Write a story about a whale that learns to sing.", "List ten cities on rivers, with one sentence about each.",
    "Explain how a bicycle stays upright.", "Write a letter from a lighthouse keeper to his sister.",
]
TOKENS = 128
AT_ONCE = 4
JOBS_MAX = 400
HONEST_JOBS = 60


def ask(network, number):
    messages = [
        {"role": "system", "content": SYSTEM},
        {"role": "user", "content": f"{QUESTIONS[number % len(QUESTIONS)]} ({number})"},
    ]
    status, _, answer = network.chat(messages=messages, max_tokens=TOKENS, temperature=0.7, top_k=50)
    return (answer["inferium"]["job"], answer["usage"]["completion_tokens"]) if status == 200 else None


def arguments_of(crime):
    more = {
        "honest": [],
        "honest-llamacpp": ["--engine", "llamacpp", "--threads", "1", "--calibration", str(RECORD)],
        "another-model": ["--crime", crime, "--other-model", os.environ.get("INFERIUM_OTHER_MODEL", "")],
    }
    return ["--class", "tolerance", *more.get(crime, ["--crime", crime])]


def run(crime):
    arguments, is_honest = arguments_of(crime), crime.startswith("honest")
    limit = HONEST_JOBS if is_honest else JOBS_MAX
    with tempfile.TemporaryDirectory() as folder, Network(pathlib.Path(folder) / "data", *arguments) as network:
        cheat = f"worker-{crime}"
        answered, began, rule = {}, time.monotonic(), None
        with concurrent.futures.ThreadPoolExecutor(AT_ONCE) as pool:
            for first in range(0, limit, AT_ONCE):
                answered.update(filter(None, pool.map(lambda n: ask(network, n), range(first, first + AT_ONCE))))
                nodes = network.nodes()
                if not is_honest and nodes[cheat]["slashes"]:
                    rule = nodes[cheat]["slashes"][0]["rule"]
                    break
        # What was judged before the slash: final, or rejected by it.
        tokens = jobs = 0
        for job, count in answered.items():
            receipt = network.receipt(job, timeout=60)[1]
            if is_honest or receipt.get("worker") == nodes[cheat]["node"] or receipt.get("status") == "rejected":
                tokens, jobs = tokens + count, jobs + 1
        others = sum(len(node["slashes"]) for name, node in network.nodes().items() if name != cheat)
        network.stop()
    return rule or ("none" if is_honest else "not caught"), jobs, tokens, others, time.monotonic() - began


def main():
    print("| worker | slashed for | its jobs until then | tokens | slashes of others | seconds |\n| --- | --- | ---: | ---: | ---: | ---: |")
    for crime in sys.argv[1:] or ["honest", *CRIMES]:
        rule, jobs, tokens, others, seconds = run(crime)
        print(f"| {crime} | {rule} | {jobs} | {tokens} | {others} | {seconds:.0f} |", flush=True)


if __name__ == "__main__":
    main()
