"""Private weights: the network has a key, one worker the weights; every answer is a proof, and there are so many of them."""

import contextlib
import json
import subprocess
import urllib.request

import pytest
from network import BINARY, Network, done, inferium
from test_proofs import WIDTHS, compiled, fetched, follow, picture

# As many as the shortest commitment is for.
OPENINGS = 6


@pytest.fixture(scope="module")
def owned(tmp_path_factory):
    """The owner's folder: model, secret, key."""
    folder = tmp_path_factory.mktemp("owner")
    compiled(folder, "net", WIDTHS, 1)
    made = done("zk", "hide", folder / "net.ifx", "--openings", 3, "--secret", folder / "net.secret", "--key", folder / "net.key", "--json")
    assert json.loads(made.stdout)["openings"] == OPENINGS
    return folder


@pytest.fixture(scope="module")
def network(owned, tmp_path_factory):
    arguments = ("--engine", "mock", "--private", owned / "net.key")
    with Network(tmp_path_factory.mktemp("private") / "data", *arguments, model="mock") as network:
        yield network


@contextlib.contextmanager
def owner(network, owned, how="terminate"):
    """The worker that has the weights, which may have to be measured first."""
    with open(owned / "worker.log", "a") as log:
        arguments = ["--network", network.data, "--data", owned / "worker", "--faucet", "--json", "--drain", "0"]
        serving = ["--engine", "mock", "--private", owned / "net.ifx", "--secret", owned / "net.secret"]
        command = [str(part) for part in [BINARY, "worker", "join", *arguments, *serving]]
        worker = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True)
        try:
            events = (json.loads(line)["event"] for line in worker.stdout)
            assert "registered" in events, (owned / "worker.log").read_text()[-3000:]
            yield worker
        finally:
            getattr(worker, how)()
            worker.communicate(timeout=60)


def spent(owned):
    return int((owned / "net.secret").read_text().split()[-1])


def ask(network, seed, **fields):
    return network.request("/v1/classifications", {"model": "net", "input": picture(seed), **fields})


def said(owned, seed):
    (owned / "one.jsonl").write_text(json.dumps(picture(seed)) + "\n")
    ran = done("exact", "run", owned / "net.ifx", "--input", owned / "one.jsonl", "--json")
    return json.loads(ran.stdout)["data"][0]["logits"]


def profile_of(network):
    status, _, shown = network.request("/v1/models/net")
    assert status == 200, shown
    return shown


def test_a_key_answers_by_its_owner_s_weights_as_often_as_it_hides_them(network, owned, tmp_path):
    shown = profile_of(network)
    assert (shown["verification"], shown["openings"], shown["task"]) == ("zk", OPENINGS, "private classification")
    assert shown["capabilities"]["proofs"] and bytes.fromhex(shown["key"]) == (owned / "net.key").read_bytes()
    with owner(network, owned):
        status, _, answer = ask(network, 1, provider={"verification": "zk"})
        assert status == 200, answer
        expected = said(owned, 1)
        assert expected == answer["data"][0]["logits"]
        assert spent(owned) == 1
        proof = answer["proof"]["url"].rsplit("/", 1)[1]
        final = follow(network, proof)
        assert (final["hides"], final["inputs"]) == ("activations_and_weights", 1)
        # Offline: final on this chain, of this request, by this key.
        path, receipt, _ = fetched(network, tmp_path, proof)
        trusted = ("--network-key", network.network_key, "--proof", path, "--key", owned / "net.key")
        checked = done("receipt", "verify", receipt, *trusted, "--task", proof, "--json")
        assert json.loads(checked.stdout)["proof"]["output"] == answer["data"][0]["logits"]
        assert "hidden are the weights" in done("zk", "verify", "--key", owned / "net.key", path).stdout
        assert inferium("receipt", "verify", receipt, *trusted, "--task", "00" * 32).returncode == 4
        # Several inputs are one opening; one that the model does not read, or that would hide nothing, is none.
        status, _, three = network.request("/v1/classifications", {"model": "net", "input": [picture(seed) for seed in (2, 3, 4)]})
        assert status == 200 and len(three["data"]) == 3, three
        assert three["data"][1]["logits"] == said(owned, 3)
        assert spent(owned) == 2
        for wrong in ({"input": picture(1)[1:]}, {"input": "text"}, {"input": [picture(1)] * 5}, {"provider": {"verification": "zk"}, "proof": {"hides": "nothing"}}, {"provider": {"verification": "exact"}}, {"provider": {"order": [shown["model_profile"]]}}):
            assert ask(network, 1, **wrong)[0] == 400, wrong
        assert spent(owned) == 2
        # One process has the secret.
        held = inferium("zk", "prove", owned / "net.ifx", "--secret", owned / "net.secret", "--input", owned / "one.jsonl", "--out", tmp_path / "no")
        assert held.returncode == 2 and "another process" in held.stderr, held.stderr
    # Killed, and begun again: what was spent is spent.
    with owner(network, owned, how="kill"):
        assert ask(network, 5)[0] == 200
    assert spent(owned) == 3
    with owner(network, owned):
        for seed in range(6, 9):
            status, _, answer = ask(network, seed)
            assert status == 200, answer
            assert answer["data"][0]["logits"] == said(owned, seed)
        assert spent(owned) == OPENINGS
        status, _, refused = ask(network, 9)
        assert status == 503 and "openings" in json.dumps(refused), refused
        assert spent(owned) == OPENINGS
    # Its owner is paid, and was slashed for nothing.
    assert not any(node["slashes"] for node in network.nodes().values())
    with urllib.request.urlopen(network.base_url.removesuffix("/v1") + "/proofs", timeout=30) as response:
        page = response.read().decode()
    assert "the input, all that was computed from it, and the weights" in page


def test_proofs_are_made_alone_and_no_more_than_are_hidden(tmp_path):
    path = compiled(tmp_path, "net", WIDTHS, 2)
    (tmp_path / "one.jsonl").write_text(json.dumps(picture(1)) + "\n")
    secret, key, proof = tmp_path / "net.secret", tmp_path / "net.key", tmp_path / "proof"
    hide = ("zk", "hide", path, "--secret", secret, "--key", key)
    assert inferium(*hide, "--openings", 2**31).returncode == 4 and not secret.exists()
    done(*hide)
    assert secret.stat().st_mode & 0o077 == 0
    again = inferium(*hide, "--force")
    assert again.returncode == 4 and "over a secret nothing is written" in again.stderr, again.stderr
    prove = ("zk", "prove", path, "--secret", secret, "--input", tmp_path / "one.jsonl", "--out", proof, "--force", "--json")
    for left in reversed(range(OPENINGS)):
        made = json.loads(done(*prove).stdout)
        assert (made["openings_left"], made["hides_weights"]) == (left, True)
    checked = json.loads(done("zk", "verify", "--key", key, proof, "--json").stdout)
    assert checked["is_valid"] and checked["hides_weights"]
    refused = inferium(*prove)
    assert refused.returncode == 4 and "all proofs are made" in refused.stderr, refused.stderr
    # By the model it is no proof, and by its secret nothing else is proved.
    assert inferium("zk", "verify", path, proof).returncode == 4
    other = compiled(tmp_path, "other", WIDTHS, 3)
    wrong = inferium("zk", "prove", other, "--secret", secret, "--input", tmp_path / "one.jsonl", "--out", tmp_path / "no")
    assert wrong.returncode == 4 and "another model" in wrong.stderr, wrong.stderr
    plain = inferium(*prove, "--hiding", "none")
    assert plain.returncode == 2, plain.stderr
