"""Boards of workers, validators and agents: folded by the command line twice, by the page, and here in part."""

import hashlib
import json
import time

import pytest
from network import Network, inferium
from test_eval import wilson
from test_runs import post, publish, studio

CHATS = 8
META = ("block", "board", "complete", "first", "height", "network", "version")


@pytest.fixture(scope="module")
def network(tmp_path_factory):
    with Network(tmp_path_factory.mktemp("leaderboard") / "data", "--engine", "mock", model="mock") as network:
        yield network


@pytest.fixture(scope="module")
def height(network, tmp_path_factory):
    """A block after which some answers are paid for, and a run of one of two agents."""
    folder = tmp_path_factory.mktemp("agents")
    for agent in ("asked", "idle"):
        publish(network, folder, agent)
    jobs = [network.chat(f"Question {number}")[2]["inferium"]["job"] for number in range(CHATS)]
    jobs.append(post(network, {"agent": "asked", "input": "What is a lease?"})[2]["inferium"]["job"])
    deadline = time.monotonic() + 180
    while not all(network.receipt(job)[1]["status"] == "settled" for job in jobs):
        assert time.monotonic() < deadline, f"not settled:\n{network.tail()}"
        time.sleep(0.5)
    while studio(network, "show", "asked")["earned"]["runs"] == 0:
        assert time.monotonic() < deadline, f"the run is not paid:\n{network.tail()}"
        time.sleep(0.5)
    return network.request("/leaderboard.json")[2]["boards"]["workers"]["height"]


def leaderboard(network, *arguments, code=0):
    ran = network.run("leaderboard", *arguments, "--data", network.data)
    assert ran.returncode == code, ran.stdout + ran.stderr
    return ran.stdout if code == 0 else ran.stderr


def folded(network, board, *arguments):
    return json.loads(leaderboard(network, board, *arguments, "--json"))


def digest_of(shown):
    """The digest by the rule of SPEC L3: sorted fields without white space, behind a tag, each part behind its length."""
    document = {**{field: shown[field] for field in META}, "rows": shown["data"]}
    text = json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
    parts = (b"inferium/leaderboard/1", text)
    return hashlib.sha256(b"".join(len(part).to_bytes(4, "big") + part for part in parts)).hexdigest()


@pytest.mark.parametrize("board", ["workers", "validators", "agents"])
def test_a_fold_made_twice_has_the_same_bytes(network, height, board):
    first = leaderboard(network, board, "--up-to", height, "--json")
    assert leaderboard(network, board, "--up-to", height, "--json") == first
    shown = json.loads(first)
    assert (shown["first"], shown["height"], shown["complete"], shown["board"]) == (1, height, True, board)
    assert shown["network"] == network.network_key and shown["rows"] == len(shown["data"])
    assert digest_of(shown) == shown["digest"]
    assert leaderboard(network, board, "--up-to", height, "--expect", shown["digest"])
    # The command that is printed is the one that makes it again.
    program, *again = shown["command"].split()
    assert program == "inferium"
    assert json.loads(network.run(*again, "--data", network.data, "--json").stdout) == shown
    # Rows by themselves.
    lines = leaderboard(network, board, "--up-to", height, "--output", "ndjson").splitlines()
    assert [json.loads(line) for line in lines] == shown["data"]


def test_boards_say_what_happened(network, height):
    names = network.nodes_by_name()
    (worker,) = folded(network, "workers", "--up-to", height)["data"]
    assert (worker["node"], worker["rank"], worker["rejected"]) == (names["worker"], 1, 0)
    assert worker["jobs"] >= CHATS and worker["tokens"] > 0 and worker["earned_nano"] > 0
    assert (worker["slashes"], worker["slashed_nano"], worker["barred"]) == (0, 0, False)
    mean, low, high = wilson(worker["approved"] * 1_000_000, worker["approved"])
    for field, expected in (("verified_ppm", mean), ("low_ppm", low), ("high_ppm", high)):
        assert abs(worker[field] - expected) <= 1, field
    earned = json.loads(network.run("earnings", "worker", "--data", network.data, "--json").stdout)
    assert earned["total_nano"] >= worker["earned_nano"]
    validators = folded(network, "validators", "--up-to", height)["data"]
    assert {row["node"] for row in validators} == {id for name, id in names.items() if name.startswith("validator")}
    # Every block has one who proposed it.
    assert sum(row["proposed"] for row in validators) == height
    assert sum(row["verdicts"] for row in validators) >= 2 * worker["approved"]
    table = leaderboard(network, "workers", "--up-to", height)
    assert names["worker"] in table and "digest" in table and f"--up-to {height}" in table
    assert len(folded(network, "validators", "--up-to", height, "--top", 1)["data"]) == 1
    assert folded(network, "validators", "--up-to", height, "--top", 1)["rows"] == len(validators)


def test_agents_have_what_the_ledger_says_their_runs_brought(network, height):
    asked, idle = folded(network, "agents", "--up-to", height)["data"]
    for row, rank in ((asked, 1), (idle, None)):
        proven = studio(network, "show", row["agent"])
        assert (row["name"], row["creator"], row["rank"]) == (proven["name"], proven["creator"], rank)
        assert (row["version"], row["price_nano"], row["state"]) == (proven["version"], proven["price_nano"], "active")
        earned = proven["earned"]
        assert (row["runs"], row["fees_nano"], row["earned_nano"]) == (earned["runs"], earned["fees_nano"], earned["creator_nano"])
        assert row["payers"] == row["runs"]
    assert (asked["name"], asked["runs"]) == ("asked", 1)


def test_the_page_shows_the_same_boards(network, height):
    status, _, page = network.request("/leaderboard.json")
    assert status == 200
    for board in ("workers", "validators", "agents"):
        stated = page["boards"][board]
        shown = folded(network, board, "--up-to", stated["height"], "--expect", stated["digest"])
        assert shown["digest"] == stated["digest"] and shown["command"] == stated["command"]
        assert stated["rows"] == len(shown["data"]) == len(page[board])
        for row, on_page in zip(shown["data"], page[board], strict=True):
            for field in row.keys() & on_page.keys() - {"state"}:
                # What was never judged has no share on the page.
                if on_page[field] is not None:
                    assert on_page[field] == row[field], (board, field)
    validators = {row["node"]: row for row in page["validators"]}
    assert all(row["stake_nano"] > 0 for row in validators.values())


def test_a_validator_and_the_key_are_all_that_it_takes(network, height):
    url = json.loads((network.data / "network.json").read_text())["rpc_urls"][0]
    arguments = ("leaderboard", "workers", "--rpc", url, "--network-key", network.network_key, "--up-to", str(height), "--json")
    ran = inferium(*arguments)
    assert ran.returncode == 0, ran.stderr
    assert json.loads(ran.stdout)["digest"] == folded(network, "workers", "--up-to", height)["digest"]
    assert json.loads(ran.stdout)["command"].endswith(f"--rpc {url}")
    assert inferium("leaderboard", "workers", "--rpc", url).returncode == 2
    other = network.network_key[:-1] + ("0" if network.network_key[-1] != "0" else "1")
    assert "another key" in leaderboard(network, "workers", "--network-key", other, code=4)


def test_what_is_not_the_board_or_no_block_is_refused(network, height):
    wrong = "ab" * 32
    said = leaderboard(network, "workers", "--up-to", height, "--expect", wrong, code=4)
    assert wrong in said and folded(network, "workers", "--up-to", height)["digest"] in said
    said = leaderboard(network, "workers", "--up-to", 10**9, code=2)
    assert "block 1000000000 is not final yet" in said
    assert "after block" in leaderboard(network, "workers", "--from", height + 1, "--up-to", height, code=2)
    for arguments in (("workers", "--up-to", 0), ("workers", "--top", 0), ("workers", "--expect", "xyz"), ("gateways",), ()):
        assert network.run("leaderboard", *arguments, "--data", network.data).returncode == 2, arguments
    # Later blocks alone are another board, whose command says so.
    part = folded(network, "workers", "--from", 2, "--up-to", height)
    assert part["first"] == 2 and f"--from 2 --up-to {height}" in part["command"]


def test_a_worker_that_was_slashed_is_shown_and_stands_below(tmp_path):
    with Network(tmp_path / "data", "--engine", "mock", "--crime", "edited-text", model="mock") as network:
        cheat, deadline = "worker-edited-text", time.monotonic() + 180
        asked = 0
        while not network.nodes()[cheat]["slashes"] or not any(
            row["node"] == network.nodes_by_name()["worker"] and row["approved"] for row in folded(network, "workers")["data"]
        ):
            assert time.monotonic() < deadline, f"not caught:\n{network.tail()}"
            asked += 1
            network.chat(f"Question {asked}")
        names = network.nodes_by_name()
        rows = folded(network, "workers")["data"]
        assert [row["node"] for row in rows] == [names["worker"], names[cheat]]
        honest, slashed = rows
        assert (honest["slashes"], honest["rank"]) == (0, 1)
        assert slashed["slashes"] >= 1 and slashed["slashed_nano"] > 0 and slashed["rejected"] >= 1
        assert slashed["low_ppm"] < honest["low_ppm"]
        page = {row["node"]: row for row in network.request("/leaderboard.json")[2]["workers"]}
        assert page[names[cheat]]["slashes"] >= 1
        assert network.stop() == 0
