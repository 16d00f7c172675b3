"""Measures a network on this machine and prints a Markdown table: `python3 bench/run.py [NAME ...]`.

Needs `cargo build --release --workspace --bins --examples` first. Each figure is of one run on a machine that may be shared; the
table says how many cores and what load there was.
"""

import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests" / "e2e"))
from network import MODEL, Network  # noqa: E402

LOAD = ROOT / "target" / "release" / "examples" / "load"


def load(network, rate, seconds, max_tokens, words=1):
    command = [LOAD, network.base_url, network.api_key, network.model, rate, seconds, max_tokens, words]
    return json.loads(subprocess.run([str(c) for c in command], check=True, capture_output=True, text=True).stdout)


def stat(process):
    """(CPU seconds, resident MiB) of a process so far."""
    fields = pathlib.Path(f"/proc/{process.pid}/stat").read_text().rsplit(")", 1)[1].split()
    rss = int(pathlib.Path(f"/proc/{process.pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK"), rss


def metric(network, name):
    with urllib.request.urlopen(network.admin_url + "/metrics") as response:
        for line in response.read().decode().splitlines():
            if line.startswith(name + " "):
                return float(line.split()[1])
    raise KeyError(name)


def percentile(values, percent):
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, len(ordered) * percent // 100)]


def overhead(folder):
    """Gateway, session and worker around an engine that takes microseconds."""
    with Network(folder / "data", "--engine", "mock", model="mock") as network:
        load(network, 200, 2, 1)
        for rate in (100, 1000):
            found = load(network, rate, 10, 1)
            yield f"mock engine, {rate} req/s: first token p50 / p99 (ms), errors", (
                f"{found['first_token_ms']['p50']} / {found['first_token_ms']['p99']}, {found['errors']}"
            )


def finality(folder, tokens=24, jobs=60):
    """From the last token to a receipt that is final, one job after the other."""
    with Network(folder / "data") as network:
        waits = []
        for index in range(jobs):
            _, _, answer = network.chat(f"Tell me fact {index} about water.", max_tokens=tokens, temperature=0.8)
            ended = time.perf_counter()
            status, body = network.receipt(answer["inferium"]["job"])
            assert status == 200 and body["status"] in ("final", "settled"), body
            waits.append(time.perf_counter() - ended)
        yield f"last token to final receipt, {tokens}-token answers, n={jobs}: p50 / p99 (s)", (
            f"{statistics.median(waits):.2f} / {percentile(waits, 99):.2f}"
        )


def finality_long(folder):
    yield from finality(folder, tokens=200, jobs=15)


def honest(folder, jobs=500):
    """No honest job is rejected."""
    with Network(folder / "data") as network:
        names = []
        for index in range(jobs):
            status, _, answer = network.chat(f"Tell me fact {index} about water.", temperature=0.9)
            assert status == 200, answer
            names.append(answer["inferium"]["job"])
        found = [network.receipt(job)[1]["status"] for job in names]
        yield f"honest jobs of 24 tokens: approved of {jobs}, slashes", (
            f"{sum(s in ('final', 'settled') for s in found)}, {len(network.request('/v1/slashes')[2]['data'])}"
        )


def transactions(folder):
    """1,000 jobs as they come: how much of them reaches the chain."""
    with Network(folder / "data", "--engine", "mock", model="mock") as network:
        count = lambda: sum(node["transactions"] for node in network.nodes().values())
        time.sleep(3)
        before = count()
        found = load(network, 1000, 1, 8)
        while metric(network, "inferium_jobs_running") > 0:
            time.sleep(0.1)
        time.sleep(8)
        yield f"transactions of all nodes for {found['answers']} jobs", str(count() - before)


def idle(folder):
    """What an idle network costs."""
    with Network(folder / "data") as network:
        time.sleep(5)
        before, _ = stat(network.process)
        time.sleep(30)
        after, rss = stat(network.process)
        yield "idle `up`, real model: share of one core, RSS", f"{(after - before) / 30:.1%}, {rss:.0f} MiB"


def flat(folder, blocks=10_000):
    """Memory over many blocks, unpaced: at a tenth, a half and all of them, and again as many."""
    with Network(folder / "data", "--engine", "mock", "--pace-ms", "0", "--idle-pace-ms", "0", model="mock") as network:
        height = lambda: network.request("/ready")[2]["height"]
        marks, sizes = [blocks // 10, blocks // 2, blocks, 3 * blocks // 2, 2 * blocks], []
        started, first = time.monotonic(), height()
        for mark in marks:
            while height() < mark:
                time.sleep(1)
            sizes.append(f"{stat(network.process)[1]:.0f}")
        rate = (height() - first) / (time.monotonic() - started)
        yield f"RSS (MiB) after {', '.join(map(str, marks))} unpaced blocks; blocks/s", f"{', '.join(sizes)}; {rate:.0f}"


def gateway_delay(folder):
    """First token through the gateway against the engine alone, one after the other, the same prompt."""
    model = next((pathlib.Path.home() / ".inferium" / "models").glob("SmolLM2-135M*.gguf"))
    alone = [str(part) for part in (ROOT / "target" / "release" / "examples" / "first_token", model, 24, 30)]
    engine = json.loads(subprocess.run(alone, check=True, capture_output=True, text=True).stdout)["first_token_ms"]
    with Network(folder / "data") as network:
        load(network, 1, 3, 1, words=24)
        found = load(network, 1, 30, 1, words=24)["first_token_ms"]
        value = f"{found['p50']:.1f} against {engine['p50']:.1f}"
        yield "first token of a 24-word prompt through the gateway against the engine alone: p50 (ms)", value


def embeddings(folder, texts=1_000):
    """Texts embedded through the network: many of one request, and one alone."""
    with Network(folder / "data", "--embeddings") as network:
        def embed(texts):
            began = time.perf_counter()
            status, _, body = network.request("/v1/embeddings", {"model": "all-minilm-l6-v2", "input": texts})
            assert status == 200 and len(body["data"]) == len(texts), body
            return time.perf_counter() - began, body

        embed(["a first one"])
        alone = [embed([f"What is number {number} good for?"])[0] for number in range(60)]
        yield "one text of 10 tokens embedded, one after the other, n=60: p50 / p99 (ms)", (
            f"{1e3 * statistics.median(alone):.1f} / {1e3 * percentile(alone, 99):.1f}"
        )
        seconds, body = embed([f"This is sentence number {number} of a longer list." for number in range(texts)])
        yield f"{texts} texts of {body['usage']['prompt_tokens'] / texts:.0f} tokens in one request", (
            f"{texts / seconds:.0f} texts/s in {len(body['inferium']['jobs'])} jobs"
        )
        ended = time.perf_counter()
        for job in body["inferium"]["jobs"]:
            assert network.receipt(job["job"])[1]["status"] in ("final", "settled")
        yield "from its answer to the last of its receipts, every job replayed by two members (s)", (
            f"{time.perf_counter() - ended:.1f}"
        )


ALL = [overhead, embeddings, gateway_delay, finality, finality_long, transactions, idle, flat, honest]


def main():
    wanted = sys.argv[1:] or [measure.__name__ for measure in ALL]
    print(f"{time.strftime('%Y-%m-%d')}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}\n")
    print("| figure | measured |\n| --- | --- |", flush=True)
    for measure in ALL:
        if measure.__name__ in wanted:
            with tempfile.TemporaryDirectory() as folder:
                for name, value in measure(pathlib.Path(folder)):
                    print(f"| {name} | {value} |", flush=True)


main()
