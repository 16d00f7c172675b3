"""Foreign engines: a worker in front of a server that speaks OpenAI's API. An honest server is paid a part and never
suspected; one that draws otherwise is barred from the profile, and its worker's stake is as it was."""

import concurrent.futures
import http.server
import json
import threading
import time
import urllib.error
import urllib.request

import pytest
from network import Network

QUESTIONS = [
    "Why is the sky blue?",
    "Write a story about a whale.",
    "How does a compiler work?",
    "List ten cities on rivers.",
]
# What the devnet's worker asks for a token; this class pays six tenths.
PRICE = (500, 1_500)
AT_ONCE = 4
# Two networks share the machine: how fast the one behind is does not matter here.
FOREIGN = ("--class", "foreign", "--set", "tier_mid_score=1")


class Server:
    """An OpenAI-compatible server that hands requests on to another one, changed by `change`, and may answer by itself."""

    def __init__(self, network, change=lambda body: body, canned=None):
        # It is honest until it was measured: who is not gets no work at all.
        self.cheats = False
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def log_message(self, *_):
                pass

            def do_GET(self):
                self.send(json.dumps({"data": [{"id": network.model}]}).encode(), "application/json")

            def do_POST(self):
                body = json.loads(self.rfile.read(int(self.headers["content-length"])))
                if outer.cheats and canned:
                    chunk = {"choices": [{"delta": {"content": canned}, "finish_reason": "stop"}]}
                    return self.send(f"data: {json.dumps(chunk)}\n\ndata: [DONE]\n\n".encode(), "text/event-stream")
                sent = json.dumps(change(body) if outer.cheats else body).encode()
                request = urllib.request.Request(network.base_url + "/chat/completions", sent)
                request.add_header("content-type", "application/json")
                request.add_header("authorization", f"Bearer {network.api_key}")
                try:
                    with urllib.request.urlopen(request, timeout=60) as response:
                        return self.send(response.read(), response.headers["content-type"])
                except urllib.error.HTTPError as error:
                    with error:
                        return self.send(error.read(), "application/json", error.code)

            def send(self, data, kind, status=200):
                self.send_response(status)
                self.send_header("content-type", kind)
                self.send_header("content-length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/v1"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture(scope="module")
def behind(tmp_path_factory):
    """The network whose gateway is the server."""
    with Network(tmp_path_factory.mktemp("behind") / "data") as running:
        yield running


def ask(network, number, tokens=48, temperature=0.7):
    question = f"{QUESTIONS[number % len(QUESTIONS)]} ({number})"
    status, _, answer = network.chat(question, max_tokens=tokens, temperature=temperature, top_k=50)
    assert status == 200, answer
    return answer


def why(network):
    shown = network.run("why", "worker", "--data", network.data, "--json")
    assert shown.returncode == 0, shown.stderr
    return json.loads(shown.stdout)


def of_the_model(told):
    """Offers of the model that a server draws for; boards are folded beside it."""
    return [offer for offer in told["offers"] if offer["class"] == "foreign"]


def test_an_honest_server_is_paid_a_part_and_never_suspected(behind, tmp_path):
    key = tmp_path / "key"
    key.write_text(behind.api_key + "\n")
    server = ("--server", behind.base_url, "--server-key-file", key, "--server-model", behind.model)
    with Network(tmp_path / "data", *FOREIGN, *server) as network:
        model = network.request("/v1/models")[2]["data"][0]
        assert model["engine"]["class"] == "foreign" and model["verification"] == "sampled"
        answers = [ask(network, number, temperature=(0, 0.7, 1)[number % 3]) for number in range(12)]
        for answer in answers:
            status, receipt = network.receipt(answer["inferium"]["job"])
            assert status == 200 and receipt["status"] in ("final", "settled"), receipt
            used = receipt["usage"]
            full = PRICE[0] * used["prompt_tokens"] + PRICE[1] * used["completion_tokens"]
            assert receipt["fee_nano"] == full * 6 // 10
        told = why(network)
        assert [of["suspicion"] for of in told["measured"]] == ["none"] and told["measured"][0]["segments_judged"] >= 1
        (offer,) = of_the_model(told)
        assert "60 % of its price" in offer["terms"]
        assert not any(node["slashes"] for node in network.nodes().values())
        assert network.stop() == 0


def warmer(body):
    """What a greedy job asks for it does, and draws all others at 1.6."""
    return {**body, "temperature": 1.6} if body["temperature"] else body


CANNED = "I am not the model that you think I am, and I say this to everyone who asks me."


@pytest.mark.parametrize("cheat", [{"change": warmer}, {"canned": CANNED}], ids=["too warm", "canned"])
def test_a_server_that_cheats_is_barred_and_costs_no_stake(behind, tmp_path, cheat):
    with Server(behind, **cheat) as server, Network(tmp_path / "data", *FOREIGN, "--server", server.url) as network:
        stake = network.nodes()["worker"]["stake_nano"]
        server.cheats = True
        deadline, number = time.monotonic() + 240, 0
        with concurrent.futures.ThreadPoolExecutor(AT_ONCE) as pool:
            while [of["suspicion"] for of in why(network)["measured"]] != ["convicted"]:
                assert time.monotonic() < deadline, why(network)
                wanted = range(number, number + AT_ONCE)
                # Once it is barred nobody serves the model.
                list(pool.map(lambda at: network.chat(f"{QUESTIONS[at % 4]} ({at})", max_tokens=64, temperature=0.7), wanted))
                number += AT_ONCE
        told, node = why(network), network.nodes()["worker"]
        assert "barred it from that profile for ever" in told["text"] and of_the_model(told) == []
        assert (node["stake_nano"], node["slashes"]) == (stake, [])


def test_a_server_that_is_not_there_is_an_error_at_once(tmp_path):
    network = Network(tmp_path / "data")
    refused = network.run("up", "--data", tmp_path / "data", "--listen", "127.0.0.1:0", "--class", "foreign", "--server", "http://127.0.0.1:9")
    assert refused.returncode != 0 and "can't be reached" in refused.stderr
    for wrong in (["--class", "foreign"], ["--server", "http://127.0.0.1:9"]):
        assert "--server" in network.run("up", "--data", tmp_path / "other", *wrong).stderr
