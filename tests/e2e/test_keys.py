"""API keys as people use them: made, limited, expired, revoked, and never shown twice."""

import json
import stat
import time
import urllib.error
import urllib.request

import pytest
from network import Network


@pytest.fixture(scope="module")
def mock(tmp_path_factory):
    with Network(tmp_path_factory.mktemp("keys") / "data", "--engine", "mock", "--embeddings", model="mock") as running:
        yield running


def key(network, *arguments):
    made = network.run("key", *arguments, "--data", network.data, "--json")
    assert made.returncode == 0, made.stderr
    return json.loads(made.stdout)


def ask(network, secret, **fields):
    body = {"model": network.model, "messages": [{"role": "user", "content": "hi"}], "max_tokens": 8, **fields}
    return network.request("/v1/chat/completions", body, key=secret)


def until(look, timeout=60):
    deadline = time.monotonic() + timeout
    while True:
        found = look()
        if found or time.monotonic() > deadline:
            return found
        time.sleep(0.05)


def error(answer):
    status, _, body = answer
    return status, body["error"]["type"], body["error"]["code"]


def test_a_key_works_from_when_it_is_made_until_it_is_revoked(mock):
    made = key(mock, "create", "--name", "laptop", "--budget", "2.5", "--expires", "30d", "--models", mock.model)
    assert made["budget_nano"] == 2_500_000_000 and made["models"] == [mock.model]
    assert made["expires_at_ms"] - made["created_at_ms"] == 30 * 86_400_000
    assert ask(mock, made["secret"])[0] == 200
    status, _, shown = mock.request("/v1/key", key=made["secret"])
    assert status == 200 and shown["name"] == "laptop" and shown["id"] == made["id"]
    listed = {row["id"]: row for row in key(mock, "list")["data"]}
    assert listed[made["id"]]["status"] == "active" and "secret" not in listed[made["id"]]
    assert key(mock, "revoke", "laptop")["status"] == "revoked"
    assert error(ask(mock, made["secret"])) == (401, "invalid_request_error", "invalid_api_key")


def test_a_key_is_for_its_models(mock):
    secret = key(mock, "create", "--models", mock.model)["secret"]
    _, _, models = mock.request("/v1/models", key=secret)
    assert [model["id"] for model in models["data"]] == [mock.model]
    other = mock.request("/v1/embeddings", {"model": "mock-embedder", "input": "a"}, key=secret)
    assert error(other) == (403, "permission_error", "model_not_allowed")
    assert ask(mock, secret)[0] == 200


def test_a_key_expires(mock):
    made = key(mock, "create", "--expires", "1s")
    refused = until(lambda: (answer := ask(mock, made["secret"]))[0] == 401 and answer)
    assert refused and "expired on 20" in refused[2]["error"]["message"]
    assert {row["id"]: row for row in key(mock, "list")["data"]}[made["id"]]["status"] == "expired"


def test_a_budget_ends_with_402(mock):
    secret = key(mock, "create", "--budget", "0.000001")["secret"]
    assert error(ask(mock, secret)) == (402, "insufficient_quota", "payment_required")


def test_usage_is_what_the_key_paid(mock):
    secret = key(mock, "create", "--name", "usage")["secret"]
    answers = [ask(mock, secret)[2] for _ in range(3)]
    tokens = sum(answer["usage"]["completion_tokens"] for answer in answers)

    def counted():
        _, _, usage = mock.request("/v1/usage", key=secret)
        return usage["data"] if sum(row["jobs"] for row in usage["data"]) == 3 else None

    (row,) = until(counted)
    assert row["completion_tokens"] == tokens and row["model"] == mock.model and row["name"] == "usage"
    assert until(lambda: mock.request("/v1/key", key=secret)[2]["spent_nano"] == row["cost_nano"])
    request = urllib.request.Request(mock.base_url + "/usage?format=csv")
    request.add_header("authorization", f"Bearer {secret}")
    with urllib.request.urlopen(request, timeout=30) as response:
        lines = response.read().decode().splitlines()
    assert lines[0].startswith("key,name,day,model,jobs") and len(lines) == 2
    table = mock.run("key", "usage", "--data", mock.data)
    assert table.returncode == 0 and "usage" in table.stdout


def test_an_answer_that_is_under_way_when_its_key_is_revoked_ends_whole(network):
    made = key(network, "create", "--name", "streams")
    messages = [{"role": "user", "content": "Write a very long story about the sea, in twenty chapters."}]
    body = {"model": network.model, "messages": messages, "max_tokens": 400, "stream": True}
    request = urllib.request.Request(network.base_url + "/chat/completions", data=json.dumps(body).encode())
    request.add_header("authorization", f"Bearer {made['secret']}")
    request.add_header("content-type", "application/json")
    with urllib.request.urlopen(request, timeout=60) as response:
        assert response.readline().startswith(b"data: ")
        assert key(network, "revoke", made["id"])["status"] == "revoked"
        assert ask(network, made["secret"])[0] == 401, "it begins nothing new"
        rest = response.read()
    assert rest.rstrip().endswith(b"data: [DONE]") and b'"error"' not in rest
    assert rest.count(b'"content"') > 20, "most of it came after the key was revoked"


def test_keys_survive_a_restart_and_no_file_holds_a_secret(tmp_path):
    network = Network(tmp_path / "data", "--engine", "mock", model="mock")
    with network:
        kept, revoked = key(network, "create", "--name", "kept"), key(network, "create", "--name", "revoked")
        key(network, "revoke", "revoked")
        token = network.data / "keys" / "admin-token"
        assert stat.S_IMODE(token.stat().st_mode) == 0o600
        assert network.stop() == 0
        for secret in (kept["secret"], token.read_bytes().hex()):
            raw = bytes.fromhex(secret.removeprefix("sk-inferium-"))
            for path in [*network.data.rglob("*"), network.log]:
                if path.is_file() and path != token:
                    held = path.read_bytes()
                    assert secret.encode() not in held and raw not in held, path
        network.start()
        assert ask(network, kept["secret"])[0] == 200
        assert ask(network, revoked["secret"])[0] == 401
        assert network.stop() == 0


def test_only_who_reads_the_token_makes_keys(mock):
    for header in (None, "Bearer inferium-admin-" + "0" * 64, f"Bearer {mock.api_key}"):
        request = urllib.request.Request(mock.admin_url + "/admin/v1/keys", data=b"{}")
        if header:
            request.add_header("authorization", header)
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(request, timeout=30)
        with refused.value as answer:
            assert answer.code == 401 and json.loads(answer.read())["error"]["code"] == "invalid_admin_token"


def test_wrong_uses_say_what_is_wrong(mock, tmp_path):
    data = ("--data", mock.data)
    cases = [
        (("key", "create", "--expires", "soon", *data), 2, "30d"),
        (("key", "create", "--expires", "0d", *data), 2, "zero"),
        (("key", "create", "--budget", "-1", *data), 2, "--budget"),
        (("key", "create", "--models", "nothing", *data), 4, "`nothing` does not exist here"),
        (("key", "revoke", "nobody", *data), 4, "`nobody`"),
        (("key", "revoke", "../keys", *data), 2, "no id or name"),
        (("key", "list", "--data", tmp_path / "none"), 2, "inferium up"),
    ]
    for arguments, code, part in cases:
        ended = mock.run(*arguments)
        assert (ended.returncode, ended.stdout) == (code, "") and part in ended.stderr, (arguments, ended.stderr)
