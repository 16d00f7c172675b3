"""Measures a network on this machine and prints a Markdown table: `python3 bench/run.py [NAME ...]`.

Needs `cargo build --release --workspace --bins --examples` first. Each figure is of one run on a machine that may be shared; the
table says how many cores and what load there was.
"""

import http.client
import json
import os
import pathlib
import secrets
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests" / "e2e"))
from network import BINARY, MODEL, Network  # noqa: E402

EXAMPLES = ROOT / "target" / "release" / "examples"


def serve(network, *options):
    """What `inferium bench serve` measured."""
    command = [BINARY, "bench", "serve", network.model, "--json", *options]
    address = {"OPENAI_BASE_URL": network.base_url, "OPENAI_API_KEY": network.api_key}
    done = subprocess.run([str(c) for c in command], check=True, capture_output=True, text=True, env=os.environ | address)
    return json.loads(done.stdout)


def load(network, rate, seconds, max_tokens, words=1):
    """Requests at an even rate."""
    found = serve(
        network, "--rate", rate, "--arrivals", "constant", "--requests", int(rate * seconds), "--max-tokens", max_tokens,
        "--prompt-words", words, "--temperature", 0.7, "--warmup", 20,
    )
    return found | {"errors": sum(found["errors"].values())}


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
    """Gateway, session and worker around an engine that takes microseconds, with the load generator on the same cores."""
    with Network(folder / "data", "--engine", "mock", "--validators", "1", model="mock") as network:
        load(network, 200, 2, 1)
        alone = serve(network, "--requests", 20_000, "--max-tokens", 1, "--prompt-words", 1)
        yield "mock engine, one client after the other: req/s; whole answer p50 / p99 (ms)", (
            f"{alone['requests_per_second']:.0f}; {alone['end_to_end_ms']['p50']} / {alone['end_to_end_ms']['p99']}"
        )
        for rate in (100, 1_000, 2_500, 5_000):
            found = load(network, rate, 8, 1)
            yield f"mock engine, {rate} req/s asked, {found['requests_per_second']:.0f} served: first token p50 / p99 (ms), errors", (
                f"{found['first_token_ms']['p50']} / {found['first_token_ms']['p99']}, {found['errors']}"
            )


LITELLM = ROOT / "target" / "bench" / "litellm"
LITELLM_CONFIG = """\
model_list:
  - model_name: mock
    litellm_params: {model: openai/mock, api_key: none, mock_response: "an answer"}
"""


def litellm(folder, clients=16, requests=6_000):
    """A network of ours and LiteLLM's proxy, which answers by itself, under the same clients in turn. Needs the proxy:
    python3 -m venv target/bench/litellm && target/bench/litellm/bin/pip install 'litellm[proxy]==1.106.*'
    """
    (folder / "config.yaml").write_text(LITELLM_CONFIG)
    port = free_port()
    command = [LITELLM / "bin" / "litellm", "--config", folder / "config.yaml", "--host", "127.0.0.1", "--port", str(port)]
    quiet = {"LITELLM_LOCAL_MODEL_COST_MAP": "True", "LITELLM_LOG": "ERROR", "LITELLM_MASTER_KEY": Proxy.api_key}
    with Network(folder / "data", "--engine", "mock", "--validators", "1", model="mock") as network:
        with open(folder / "litellm.log", "wb") as log:
            proxy = subprocess.Popen([str(c) for c in command], stdout=log, stderr=log, env=os.environ | quiet)
        try:
            other = Proxy(f"http://127.0.0.1:{port}/v1")
            other.wait(folder / "litellm.log", proxy)
            rates = {network: [], other: []}
            for turn in range(6):
                server = (network, other)[turn % 2]
                count = requests if server is network else requests // 20
                found = serve(server, "--concurrency", clients, "--requests", count, "--max-tokens", 1, "--prompt-words", 1, "--warmup", 20)
                assert not found["errors"], found
                rates[server].append(found["requests_per_second"])
        finally:
            proxy.terminate()
            proxy.wait()
    ours, theirs = statistics.median(rates[network]), statistics.median(rates[other])
    yield f"streamed answers of one token, {clients} clients, a network of ours against LiteLLM's proxy (req/s): ratio", (
        f"{ours:.0f} against {theirs:.0f}: {ours / theirs:.1f}"
    )


class Proxy:
    """Another server of the same API."""

    model, api_key = "mock", "sk-" + secrets.token_hex(32)

    def __init__(self, base_url):
        self.base_url = base_url

    def wait(self, log, process, timeout=120):
        deadline = time.monotonic() + timeout
        while True:
            try:
                request = urllib.request.Request(self.base_url + "/models", headers={"authorization": f"Bearer {self.api_key}"})
                with urllib.request.urlopen(request, timeout=5):
                    return
            except OSError:
                assert process.poll() is None and time.monotonic() < deadline, log.read_text()[-4000:]
                time.sleep(0.5)


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def decode(folder, tokens=200, runs=5):
    """Streams through the network against the engine's own, turn by turn, so that other work on the machine hits both alike."""
    model = next((pathlib.Path.home() / ".inferium" / "models").glob("SmolLM2-135M*.gguf"))
    with Network(folder / "data") as network:
        serve(network, "--requests", 2, "--max-tokens", 8)
        for streams in (1, 8):
            speeds = {"network": [], "engine": []}
            for run in range(runs):
                command = [EXAMPLES / "decode", model, streams, tokens, 1]
                done = subprocess.run([str(c) for c in command], check=True, capture_output=True, text=True)
                speeds["engine"].append(json.loads(done.stdout)["stream_tokens_per_second"])
                found = serve(
                    network, "--concurrency", streams, "--requests", streams, "--max-tokens", tokens, "--temperature", 1,
                    "--seed", run * 100, "--warmup", 0,
                )
                speeds["network"].append(1e3 / found["per_token_ms"]["mean"])
                while metric(network, "inferium_jobs_running") > 0:
                    time.sleep(0.1)
                # Validators replay what was answered: that is not the stream's speed.
                time.sleep(4)
            ours, engine = (statistics.median(speeds[name]) for name in ("network", "engine"))
            yield f"answers of {tokens} tokens, {streams} at once, through the network against the engine alone (tokens/s each): ratio", (
                f"{ours:.1f} against {engine:.1f}: {ours / engine:.2f}"
            )


def prefix(folder, words=400):
    """Prompts that begin alike against those that don't."""
    with Network(folder / "data") as network:
        options = ("--requests", 20, "--max-tokens", 4, "--prompt-words", words, "--warmup", 2)
        apart = serve(network, *options, "--seed", 1)["first_token_ms"]["p50"]
        alike = serve(network, *options, "--seed", 2, "--shared-words", words - 10)["first_token_ms"]["p50"]
        yield f"prompts of {words} words, first token p50 (ms): all different; all but the last ten words alike", (
            f"{apart:.0f}; {alike:.0f}"
        )


def first_byte(folder, requests=40):
    """From a request to the first byte of its stream, which comes before the first token, as a client that takes gzip sees it."""
    with Network(folder / "data") as network:
        host = network.base_url.removeprefix("http://").removesuffix("/v1")
        times = []
        for index in range(requests):
            body = {"model": network.model, "max_tokens": 8, "stream": True}
            body["messages"] = [{"role": "user", "content": f"Tell me fact {index} about water. " * 40}]
            connection = http.client.HTTPConnection(host, timeout=60)
            headers = {"authorization": f"Bearer {network.api_key}", "content-type": "application/json", "accept-encoding": "gzip"}
            began = time.perf_counter()
            connection.request("POST", "/v1/chat/completions", json.dumps(body), headers)
            response = connection.getresponse()
            assert response.status == 200 and response.read(1)
            times.append(1e3 * (time.perf_counter() - began))
            response.read()
            connection.close()
        yield f"first byte of a stream, prompts of 300 words, real model, n={requests}: p50 / p99 (ms)", (
            f"{statistics.median(times):.1f} / {percentile(times, 99):.1f}"
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
    alone = [str(part) for part in (EXAMPLES / "first_token", model, 24, 30)]
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


def runs(folder, count=30):
    """What a run of an agent adds to its model call: from when its host has it, and with what the chain does before."""
    manifest = folder / "plain.toml"
    for engine in ("mock", "canonical"):
        options = ("--engine", "mock") if engine == "mock" else ()
        with Network(folder / engine, *options, **({"model": "mock"} if engine == "mock" else {})) as network:
            manifest.unlink(missing_ok=True)
            for command in (
                ("studio", "init", "plain", "--model", network.model, "--out", manifest),
                ("studio", "publish", manifest, "--as", "account", "--data", network.data, "--yes"),
            ):
                done = network.run(*command)
                assert done.returncode == 0, done.stderr
            adds, alls = [], []
            for number in range(count):
                began = time.perf_counter()
                status, _, run = network.request("/v1/runs", {"agent": "plain", "input": f"What is number {number} good for?"})
                assert status == 200, run
                [call] = run["calls"]
                adds.append(run["took_ms"] - call["took_ms"])
                alls.append(1e3 * (time.perf_counter() - began) - call["took_ms"])
            yield f"a run of one model call, {engine} engine, n={count}: beyond that call from when its host has it, p50 / p99 (ms)", (
                f"{statistics.median(adds):.0f} / {percentile(adds, 99):.0f}"
            )
            yield "the same, with its opening on the chain and the draw of its host, p50 / p99 (ms)", (
                f"{statistics.median(alls):.0f} / {percentile(alls, 99):.0f}"
            )


def catalogue(folder, agents=1_000, count=200):
    """The catalogue of a running network, with the words of every manifest, as a browser is sent it."""
    manifest = folder / "agent.toml"
    with Network(folder / "data", "--engine", "mock", model="mock") as network:
        done = network.run("studio", "init", "plain", "--model", "mock", "--out", manifest)
        assert done.returncode == 0, done.stderr
        text = manifest.read_text()
        for number in range(agents):
            manifest.write_text(text.replace('"plain"', f'"agent-{number}"'))
            done = network.run("studio", "publish", manifest, "--as", "account", "--data", network.data, "--yes")
            assert done.returncode == 0, done.stderr
        for query in ("", "?sort=price&page=9", "?q=agent-11"):
            took = []
            for _ in range(count):
                began = time.perf_counter()
                with urllib.request.urlopen(f"{network.base_url.removesuffix('/v1')}/studios{query}") as answer:
                    page = answer.read()
                took.append(1e3 * (time.perf_counter() - began))
            assert b"agent-11" in page or not query.startswith("?q"), "what was searched for is not on the page"
            yield f"`/studios{query}` with {agents:,} agents published, p50 / p99 (ms); size", (
                f"{statistics.median(took):.1f} / {percentile(took, 99):.1f}; {len(page) // 1000} kB"
            )


ALL = [catalogue, runs, overhead, litellm, first_byte, decode, prefix, embeddings, gateway_delay, finality, finality_long, transactions, idle, flat, honest]


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
