"""Agents as their creators meet them: a manifest to begin with, published, funded, changed, retired."""

import hashlib
import json
import time

import pytest
from network import Network

NANO = 1_000_000_000


@pytest.fixture(scope="module")
def devnet(tmp_path_factory):
    with Network(tmp_path_factory.mktemp("studio") / "data", "--engine", "mock", model="mock") as running:
        yield running


def studio(network, *arguments, code=0, data=True):
    more = ("--data", network.data) if data else ()
    done = network.run("studio", *arguments, *more, "--json")
    assert done.returncode == code, done.stdout + done.stderr
    return json.loads(done.stdout) if done.stdout.strip() else done.stderr


def signed(network, *arguments, by="account", code=0):
    return studio(network, *arguments, "--as", by, "--yes", code=code)


@pytest.fixture(scope="module")
def manifest(devnet, tmp_path_factory):
    file = tmp_path_factory.mktemp("agent") / "agent.toml"
    studio(devnet, "init", "helper", "--out", file, "--model", "mock", data=False)
    return file


def balance(network, address):
    done = network.run("wallet", "balance", address, "--data", network.data, "--json")
    return json.loads(done.stdout)["balance_nano"]


def test_an_agent_from_its_manifest_to_its_end(devnet, manifest):
    assert studio(devnet, "list")["data"] == []
    signed(devnet, "publish", manifest)
    shown = studio(devnet, "show", "helper")
    assert shown["manifest"] == hashlib.sha256(manifest.read_bytes()).hexdigest()
    assert (shown["version"], shown["price_nano"], shown["deposit_nano"]) == (1, NANO // 100, NANO)
    assert shown["policy"]["recipients"] == [] and shown["earned"]["runs"] == 0
    assert studio(devnet, "show", shown["agent"])["name"] == "helper"
    assert "exists already" in signed(devnet, "publish", manifest, code=1)

    # Anybody pays in; the table says so as well.
    # By its id: a name is an agent of one's own.
    assert "has no agent called" in signed(devnet, "fund", "helper", "2.5", by="faucet", code=4)
    paid = signed(devnet, "fund", shown["agent"], "2", by="faucet")
    assert (paid["agent"], paid["name"], paid["creator"]) == (shown["agent"], "helper", shown["creator"])
    told = devnet.run("studio", "fund", "helper", "0.5", "--as", "account", "--yes", "--data", devnet.data)
    assert told.returncode == 0 and shown["agent"] in told.stderr and shown["creator"] in told.stderr
    assert studio(devnet, "show", "helper")["balance_nano"] == 5 * NANO // 2
    table = devnet.run("studio", "list", "--data", devnet.data).stdout
    assert "helper" in table and "2.5 IFR" in table
    assert studio(devnet, "list", "--creator", shown["creator"])["data"][0]["agent"] == shown["agent"]

    # What widens its spending waits for an epoch, what makes a version does not.
    text = manifest.read_text().replace('price = "0.01"', 'price = "0.02"')
    text = text.replace('# per_run = "0.5"', 'per_run = "0.5"').replace('# per_day = "2"', 'per_day = "2"')
    text = text.replace('# recipients = ["ADDRESS", "agent:ID"]   # or ', "recipients = ")
    manifest.write_text(text)
    signed(devnet, "update", manifest)
    shown = studio(devnet, "show", "helper")
    assert (shown["version"], shown["price_nano"]) == (2, NANO // 50)
    assert shown["policy"]["recipients"] == [] and shown["widens"]["policy"]["recipients"] == "anybody"
    assert "from " in devnet.run("studio", "show", "helper", "--data", devnet.data).stdout
    deadline = time.monotonic() + 60
    while (shown := studio(devnet, "show", "helper"))["widens"]:
        assert time.monotonic() < deadline, "an epoch of a devnet is 20 s"
        time.sleep(0.5)
    assert shown["policy"] == {
        "per_run_nano": NANO // 2, "per_day_nano": 2 * NANO, "recipients": "anybody", "expires_at_ms": None,
    }
    assert "changes nothing" in signed(devnet, "update", manifest, code=1)

    before = balance(devnet, shown["creator"])
    signed(devnet, "retire", "helper", "--stop-spending")
    assert balance(devnet, shown["creator"]) - before > 3 * NANO, "deposit and account, less a fee"
    assert "no agent is called" in studio(devnet, "show", "helper", code=4)
    assert studio(devnet, "list")["data"] == []


def test_what_is_wrong_is_said_before_anything_is_signed(devnet, manifest, tmp_path):
    assert "is there already" in studio(devnet, "init", "helper", "--out", manifest, data=False, code=4)
    assert "a name has" in studio(devnet, "init", "Helper", "--out", tmp_path / "x.toml", data=False, code=2)
    assert not (tmp_path / "x.toml").exists()
    wrong = tmp_path / "wrong.toml"
    text = manifest.read_text()
    for change, code, says in [
        (("summary =", "sumary ="), 2, "unknown field `sumary`"),
        (("steps = 16", "steps = 65"), 2, "1 to 64 steps"),
        (('model = "mock"', 'model = "nobody\'s"'), 4, "no validator has declared"),
    ]:
        assert change[0] in text
        wrong.write_text(text.replace(*change))
        assert says in signed(devnet, "publish", wrong, code=code)
    assert "cannot read" in signed(devnet, "publish", tmp_path / "none.toml", code=2)
    assert "no such agent" in signed(devnet, "retire", "nobody", code=1)
    assert "has no agent called" in signed(devnet, "fund", "nobody", "1", code=4)
    assert studio(devnet, "list")["data"] == []
