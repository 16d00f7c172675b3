"""Every way to be refused, on every route that the API describes: the error object, a code, and a request's id."""

import http.client
import json
from urllib.parse import urlsplit

import pytest
from network import Network

KINDS = {"invalid_request_error", "permission_error", "insufficient_quota", "rate_limit_error", "server_error"}
# One byte more than a body may have: so little is left unread that the client has sent all of it when the answer comes.
TOO_LARGE = {"public": 8 * 1024 * 1024 + 1, "admin": 2 * 1024 * 1024 + 1}
JSON = {"content-type": "application/json"}


@pytest.fixture(scope="module")
def network(tmp_path_factory):
    with Network(tmp_path_factory.mktemp("errors") / "data", "--engine", "mock", "--embeddings", model="mock") as running:
        yield running


def call(base, method, path, body=None, headers=JSON):
    """(status, headers, body) of one request."""
    connection = http.client.HTTPConnection(urlsplit(base).netloc, timeout=60)
    try:
        connection.request(method, path, body, headers)
        response = connection.getresponse()
        return response.status, response.headers, response.read()
    finally:
        connection.close()


def operations(base):
    """(method, path with something in its places, the kind of body that it takes, if any) of all that is described."""
    document = json.loads(call(base, "GET", "/openapi.json")[2])
    for path, item in document["paths"].items():
        for method, operation in item.items():
            if method in ("get", "post", "put", "patch", "delete"):
                filled = path.replace("{model}", "mock").replace("{id}", "none").replace("{job}", "0" * 64)
                kinds = list(operation.get("requestBody", {"content": [None]})["content"])
                yield method.upper(), filled.replace("{key}", "none"), kinds[0]


def is_refused(answer, *statuses):
    status, headers, body = answer
    assert status in statuses, (status, body[:300])
    assert headers["x-request-id"] and headers["content-type"] == "application/json", dict(headers)
    error = json.loads(body)["error"]
    assert set(error) >= {"message", "type", "param", "code"} and error["type"] in KINDS, error
    assert isinstance(error["message"], str) and error["message"] and isinstance(error["code"], str)
    return error


@pytest.fixture(scope="module", params=["public", "admin"])
def side(request, network):
    """Where it is, the key that it takes, and all that it serves."""
    if request.param == "public":
        return network.base_url, network.api_key, list(operations(network.base_url))
    token = (network.data / "keys" / "admin-token").read_bytes().hex()
    return network.admin_url, f"inferium-admin-{token}", list(operations(network.admin_url))


def test_the_description_names_what_there_is(side):
    _, _, described = side
    assert len(described) >= 5 and len({path for _, path, _ in described}) >= 4


def test_bodies_that_are_no_request_are_refused_in_the_same_form_everywhere(side, network):
    base, key, described = side
    too_large = b" " * TOO_LARGE["public" if base == network.base_url else "admin"]
    known = {**JSON, "authorization": f"Bearer {key}"}
    taking = [one for one in described if one[2]]
    assert taking
    for method, path, kind in taking:
        # Whose body it would be is looked at first where a path names an agent, and there is none.
        unknown = (404,) if "{agent}" in path or "{run_id}" in path else ()
        for body in (b"", b"{", b"[]", b"null", b'"text"', b"\xff\xfe", b"{}{}", b"[" * 10_000, b'{"made_up_by_us": 1}'):
            is_refused(call(base, method, path, body, known), 400, *unknown)
        # Files may be larger, and are no JSON.
        is_refused(call(base, method, path, too_large, known), 413 if kind == JSON["content-type"] else 400, *unknown)
        form = {**known, "content-type": "application/x-www-form-urlencoded"}
        is_refused(call(base, method, path, b"model=mock", form), 400, 415, *unknown)


def test_who_shows_no_key_or_a_wrong_one_learns_which(side):
    base, _, described = side
    asked = 0
    for method, path, kind in described:
        for header in ({}, {"authorization": "Bearer nonsense"}, {"authorization": "Basic eDp5"}, {"authorization": "Bearer \xff"}):
            answer = call(base, method, path, b"{}" if kind else None, {**JSON, **header})
            if answer[0] == 401:
                assert is_refused(answer, 401)["code"] in ("invalid_api_key", "invalid_admin_token")
                assert answer[1]["www-authenticate"] == "Bearer"
                asked += 1
    assert asked >= 5


def test_methods_that_a_path_does_not_take_are_refused_and_told_which_it_takes(side):
    base, key, described = side
    known = {"authorization": f"Bearer {key}"}
    methods = {}
    for method, path, _ in described:
        methods.setdefault(path, set()).add(method)
    for path, taken in methods.items():
        for method in {"GET", "POST", "PUT", "PATCH", "DELETE"} - taken:
            answer = call(base, method, path, headers=known)
            assert is_refused(answer, 405)["code"] == "method_not_allowed", (method, path)
            assert taken <= set(answer[1]["allow"].split(",")), (path, answer[1]["allow"])


def test_paths_that_there_are_not_are_refused(side):
    base, _, _ = side
    for path in ("/v1/nothing", "/v1/chat", "/v1/chat/completions/more", "/m/nobody/v1/models", "/v1", "/v1/", "/%00", "/v1/%2e%2e"):
        for method in ("GET", "POST"):
            assert is_refused(call(base, method, path), 404)["code"] == "unknown_url"


def test_a_clients_own_request_id_comes_back_unless_it_is_absurd(side):
    base, _, _ = side
    assert call(base, "GET", "/v1/nothing", headers={"x-request-id": "mine-1"})[1]["x-request-id"] == "mine-1"
    long = call(base, "GET", "/v1/nothing", headers={"x-request-id": "a" * 1_000})[1]["x-request-id"]
    assert long.startswith("req-")
