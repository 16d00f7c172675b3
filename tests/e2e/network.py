"""Starts and stops real networks of the built binary, for tests that use them as clients do."""

import json
import os
import pathlib
import signal
import subprocess
import threading
import time
import urllib.error
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parents[2]
BINARY = pathlib.Path(os.environ.get("INFERIUM_BINARY", ROOT / "target" / "release" / "inferium"))
MODEL = "smollm2-135m-instruct"


def inferium(*arguments):
    return subprocess.run([BINARY, *map(str, arguments)], capture_output=True, text=True)


def done(*arguments):
    ran = inferium(*arguments)
    assert ran.returncode == 0, ran.stderr
    return ran


def join_until_paid(network, folder, serving, ask):
    """A worker of the mock engine that serves so joins, and is asked by `ask(number)` until it is paid."""
    with open(folder / "worker.log", "w") as log:
        arguments = ["--network", network.data, "--data", folder / "worker", "--faucet", "--json", "--drain", "0"]
        command = [BINARY, "worker", "join", *arguments, "--engine", "mock", *serving, "--slots", "1024"]
        worker = subprocess.Popen([str(part) for part in command], stdout=subprocess.PIPE, stderr=log, text=True)
        # A worker that is never paid ends the test, too.
        limit = threading.Timer(120, worker.kill)
        limit.start()
        try:
            seen = set()
            for line in worker.stdout:
                seen.add(json.loads(line)["event"])
                if "leased" in seen:
                    for number in range(40):
                        ask(number)
                if "paid" in seen:
                    break
            assert {"registered", "measured", "leased", "paid"} <= seen, (folder / "worker.log").read_text()[-2000:]
        finally:
            limit.cancel()
            worker.kill()
            worker.communicate(timeout=60)


class Network:
    """One `inferium up`, in a data folder of its own."""

    def __init__(self, data, *arguments, model=MODEL, listen="127.0.0.1:0"):
        self.data, self.arguments, self.model, self.listen = pathlib.Path(data), arguments, model, listen
        self.process = None
        self.log = self.data.parent / (self.data.name + ".log")

    def start(self, timeout=120):
        command = [BINARY, "up", "--json", "--data", self.data, "--listen", self.listen, *self.arguments]
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(
                [str(part) for part in command], stdout=subprocess.PIPE, stderr=log, text=True
            )
        line = self.process.stdout.readline()
        assert line, f"`inferium up` ended before it was ready:\n{self.tail()}"
        self.ready = json.loads(line)
        assert self.ready["event"] == "ready"
        self.base_url, self.api_key = self.ready["base_url"], self.ready["api_key"]
        self.network_key, self.admin_url = self.ready["network_key"], self.ready["admin_url"]
        return self

    def tail(self):
        return self.log.read_text(errors="replace")[-4000:]

    def stop(self, how=signal.SIGINT):
        if self.process and self.process.poll() is None:
            self.process.send_signal(how)
        code = self.process.wait(timeout=60)
        self.process.stdout.close()
        return code

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        if self.process and self.process.poll() is None:
            self.process.kill()
            self.process.wait()

    def request(self, path, body=None, key=None, raw=None, method=None):
        """(status, headers, body as JSON) of one request."""
        data = raw if raw is not None else (json.dumps(body).encode() if body is not None else None)
        request = urllib.request.Request(self.base_url.removesuffix("/v1") + path, data=data, method=method)
        request.add_header("content-type", "application/json")
        request.add_header("authorization", f"Bearer {key or self.api_key}")
        try:
            with urllib.request.urlopen(request, timeout=120) as response:
                return response.status, response.headers, json.loads(response.read() or b"null")
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.headers, json.loads(error.read() or b"null")

    def chat(self, text="Why is the sky blue?", **fields):
        body = {"model": self.model, "messages": [{"role": "user", "content": text}], "max_tokens": 24}
        return self.request("/v1/chat/completions", {**body, **fields})

    def receipt(self, job, timeout=60):
        """The receipt's document once the chain has decided."""
        deadline = time.monotonic() + timeout
        while True:
            status, _, body = self.request(f"/v1/receipts/{job}")
            if status != 202 or time.monotonic() > deadline:
                return status, body
            time.sleep(0.05)

    def run(self, *arguments, stdin=None):
        return subprocess.run(
            [str(BINARY), *[str(a) for a in arguments]], input=stdin, capture_output=True, text=True, timeout=120
        )

    def nodes_by_name(self):
        """Keys of the network's nodes, from its data folder."""
        return dict(json.loads((self.data / "network.json").read_text())["nodes"])

    def nodes(self):
        """What `inferium node show` says, by name."""
        shown = self.run("node", "show", "--data", self.data, "--json")
        assert shown.returncode == 0, shown.stderr
        return {node["name"]: node for node in json.loads(shown.stdout)["data"]}
