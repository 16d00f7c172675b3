"""Tools of agents as their creators try them: what is built in, a server of the usual SDK in the sandbox, and one at an
address."""

import json
import os
import pathlib
import re
import subprocess
import sys

import pytest
from network import BINARY, Network

SERVER = pathlib.Path(__file__).with_name("mcp_server.py")

# What a manifest has before its tools.
HEAD = """name = "trial"
model = "mock"
price = "0.01"
system_prompt = "You help."

[limits]
steps = 4
tokens = 1000
tool_calls = 4
seconds = 60

"""


def tools(*arguments, code=0, environment=None, output="json"):
    command = [BINARY, "studio", "tools", *arguments, "--output", output]
    done = subprocess.run(
        [str(part) for part in command],
        capture_output=True, text=True, timeout=120, env={**os.environ, **(environment or {})},
    )
    assert done.returncode == code, done.stdout + done.stderr
    if code:
        assert not done.stdout, done.stdout
        return done.stderr
    return json.loads(done.stdout) if output == "json" else done.stdout


def call(tool, given, *arguments, **options):
    answer = tools(*arguments, "--call", tool, "--arguments", json.dumps(given), **options)
    return answer["text"] if isinstance(answer, dict) else answer


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "sales.csv").write_text("region,amount\nnorth,0.1\nnorth,0.2\nsouth,5\n")
    (folder / "leases.md").write_text("# Leases\n\nA lease is ten minutes long.\n\n# Fees\n\nA fee is never negative.\n")
    return folder


@pytest.fixture(scope="module")
def embedder(tmp_path_factory):
    """A network whose embeddings are the real model's."""
    data = tmp_path_factory.mktemp("tools") / "data"
    with Network(data, "--embeddings", model="all-minilm-l6-v2") as running:
        yield running


@pytest.fixture
def sdk(tmp_path):
    """A manifest with a server of the SDK, and what its hosts allow."""
    manifest = tmp_path / "agent.toml"
    manifest.write_text(f"{HEAD}[tools.shelf]\ncommand = {json.dumps([sys.executable, str(SERVER), 'stdio'])}\n")
    allowed = ("--allow", sys.executable, "--read", sys.prefix, "--read", SERVER)
    # A virtual environment runs the interpreter that it was made with.
    return manifest, (*allowed, "--read", sys.base_prefix)


def test_what_is_built_in_is_listed_and_called(folder):
    every = ("--builtin", "documents", "--builtin", "table", "--builtin", "watch", "--folder", folder)
    listed = tools(*every)["data"]
    assert {
        "documents__list", "documents__read", "documents__search",
        "table__list", "table__describe", "table__query", "watch__compare", "watch__remember",
    } <= {tool["name"] for tool in listed}
    assert all(tool["description"] and tool["parameters"]["type"] == "object" for tool in listed)
    assert "documents__search" in tools(*every, output="table")
    rows = tools(*every, output="ndjson").splitlines()
    assert [json.loads(row)["name"] for row in rows] == [tool["name"] for tool in listed]

    found = call("documents__search", {"query": "how long is a lease?", "k": 1}, *every)
    assert "ranked by words (BM25)" in found and "leases.md, lines 1 to 3" in found and "ten minutes" in found
    summed = {"path": "sales.csv", "group_by": ["region"], "aggregate": [{"function": "sum", "column": "amount"}]}
    assert call("table__query", summed, *every).startswith("region,sum(amount)\nnorth,0.3\nsouth,5\n")
    # What is remembered is there for another run.
    call("watch__remember", {"name": "news", "text": "old\nsame\n"}, *every)
    assert call("watch__compare", {"name": "news", "text": "same\nnew\n"}, *every).endswith(":\n- old\n+ new\n")
    assert "there is no file" in call("documents__read", {"path": "none.md"}, *every, code=1)
    assert "no JSON" in tools(*every, "--call", "table__list", "--arguments", "{", code=2)


def test_a_server_of_the_usual_sdk_runs_in_the_sandbox(sdk, folder, tmp_path):
    manifest, allowed = sdk
    assert "this host does not run" in tools(manifest, "--folder", folder, code=4)
    here = (manifest, "--folder", folder, *allowed)
    listed = {tool["name"]: tool for tool in tools(*here)["data"]}
    assert list(listed) == ["shelf__add", "shelf__write", "shelf__read"]
    assert listed["shelf__add"]["parameters"]["required"] == ["left", "right"]
    assert call("shelf__add", {"left": 40, "right": 2}, *here) == "42"
    assert call("shelf__write", {"name": "note.txt", "text": "inside"}, *here) == "wrote note.txt"
    assert (folder / "note.txt").read_text() == "inside"

    outside = tmp_path / "outside.txt"
    outside.write_text("untouched")
    for tool, given in (
        ("shelf__read", {"path": str(outside)}),
        ("shelf__read", {"path": "/etc/passwd"}),
        ("shelf__write", {"name": str(outside), "text": "changed"}),
        ("shelf__write", {"name": "../beside.txt", "text": "new"}),
    ):
        assert call(tool, given, *here) == "refused: Permission denied", given
    assert outside.read_text() == "untouched" and not (tmp_path / "beside.txt").exists()


def test_a_server_at_an_address_is_asked_over_http(folder, tmp_path):
    server = subprocess.Popen([sys.executable, SERVER, "http"], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    try:
        address = next(found[0] for line in server.stderr if (found := re.search(r"http://127\.0\.0\.1:\d+", line)))
        manifest = tmp_path / "agent.toml"
        manifest.write_text(f'{HEAD}[tools.shelf]\nurl = "{address}/mcp"\n')
        here = (manifest, "--folder", folder)
        assert "not a public address" in tools(*here, code=4)
        assert call("shelf__add", {"left": 40, "right": 2}, *here, "--private-addresses") == "42"
        assert "shelf__read" in [tool["name"] for tool in tools(*here, "--private-addresses")["data"]]
        manifest.write_text(f'{HEAD}[tools.shelf]\nurl = "{address}/elsewhere"\n')
        assert "server shelf did not start" in tools(*here, "--private-addresses", code=1)
    finally:
        server.kill()
        server.wait()
        server.stderr.close()


def test_passages_are_ranked_by_vectors_of_the_network(embedder, folder):
    key = {"OPENAI_API_KEY": embedder.api_key}
    through = ("--embeddings-url", embedder.base_url, "--embeddings-model", embedder.model)
    given = {"query": "For how long is a worker reserved?", "k": 1}
    found = call("documents__search", given, "--builtin", "documents", "--folder", folder, *through, environment=key)
    assert "ranked by meaning (vectors)" in found and "leases.md, lines 1 to 3" in found
    wrong = {"OPENAI_API_KEY": "sk-wrong"}
    found = call("documents__search", given, "--builtin", "documents", "--folder", folder, *through, environment=wrong)
    assert "by words (BM25), since there are no vectors: the endpoint for embeddings: 401" in found
    # A passage longer than what the encoder reads has a vector as well.
    (folder / "leases.md").write_text("A worker is reserved for ten minutes at a time, by lease.\n" * 40)
    found = call("documents__search", given, "--builtin", "documents", "--folder", folder, *through, environment=key)
    assert "ranked by meaning (vectors)" in found and "leases.md" in found


def test_what_can_not_be_read_is_named(folder, tmp_path):
    manifest = tmp_path / "agent.toml"
    for text, expected in (
        ("[tools.a]\n", "`tools.a` has one of "),
        ('[tools.a]\nbuiltin = "browser"\n', "there are documents, table, watch"),
        ("[tools.a\n", "agent.toml"),
        ('[tools.a]\nport = 1\n', "unknown field `port`"),
    ):
        manifest.write_text(HEAD + text)
        assert expected in tools(manifest, "--folder", folder, code=2), text
    manifest.write_text(HEAD)
    assert "the manifest has no tools" in tools(manifest, "--folder", folder, code=4)
    assert "no folder" in tools("--builtin", "table", "--folder", manifest, code=4)
    assert "MANIFEST" in tools(code=2)
    assert "there is no variable NOT_THERE" in tools("--builtin", "table", "--secret", "NOT_THERE", code=2)
