"""Paying for a request: 402, a signed transfer, the answer; and never twice with one transfer (x402, version 2)."""

import base64
import json
import pathlib
import shutil
import signal
import socket
import time

from network import Network


def decoded(header):
    return json.loads(base64.b64decode(header))


def post(network, key, signature=None, **fields):
    """(status, headers, body) of a chat, perhaps with a payment."""
    import urllib.error
    import urllib.request

    body = {"model": "mock", "messages": [{"role": "user", "content": "Hi!"}], "max_tokens": 8, **fields}
    request = urllib.request.Request(network.base_url + "/chat/completions", data=json.dumps(body).encode())
    request.add_header("content-type", "application/json")
    request.add_header("authorization", f"Bearer {key}")
    if signature:
        request.add_header("payment-signature", signature)
    try:
        with urllib.request.urlopen(request, timeout=120) as response:
            return response.status, response.headers, json.loads(response.read())
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.headers, json.loads(error.read())


def new_key(network, budget):
    made = network.run("key", "create", "--data", network.data, "--json", "--budget", budget)
    assert made.returncode == 0, made.stderr
    return json.loads(made.stdout)["secret"]


def sign(network, required, signer="account"):
    signed = network.run("wallet", "pay-header", required, "--as", signer, "--data", network.data, "--yes", "--json")
    assert signed.returncode == 0, signed.stderr
    return json.loads(signed.stdout)


def key_of(network, key):
    return network.request("/v1/key", key=key)[2]


def wait_ready(network):
    deadline = time.monotonic() + 60
    while network.request("/ready")[0] != 200:
        assert time.monotonic() < deadline, network.tail()
        time.sleep(0.05)


def test_a_request_is_paid_and_answered_and_the_payment_is_good_once(tmp_path):
    with Network(tmp_path / "data", "--engine", "mock", model="mock") as network:
        key = new_key(network, "0.000000001")
        status, headers, body = post(network, key)
        assert (status, body["error"]["code"]) == (402, "payment_required")
        required = decoded(headers["payment-required"])
        (way,) = required["accepts"]
        assert (body["x402Version"], body["accepts"], body["resource"]["url"]) == (2, [way], "/v1/chat/completions")
        assert (way["scheme"], way["asset"]) == ("exact", "IFR") and int(way["amount"]) > 0
        chain = network.network_key.split(":")[1]
        assert way["network"] == f"inferium:{chain[:32]}" and way["maxTimeoutSeconds"] > 0

        paid = sign(network, headers["payment-required"])
        assert paid["header"] == "PAYMENT-SIGNATURE"
        status, headers, answer = post(network, key, paid["value"])
        assert status == 200, answer
        told = decoded(headers["payment-response"])
        assert (told["success"], told["transaction"], told["network"]) == (True, paid["transaction"], way["network"])
        # What the request did not cost is the key's.
        shown, cost = key_of(network, key), answer["usage"]["cost_nano"]
        assert shown["budget_nano"] == 1 + int(way["amount"])
        assert shown["left_nano"] == shown["budget_nano"] - cost

        def refused_as_used(key=key):
            status, headers, body = post(network, key, paid["value"])
            assert (status, body["error"]["code"]) == (402, "payment_used")
            assert decoded(headers["payment-response"])["success"] is False
            assert decoded(headers["payment-required"])["x402Version"] == 2

        refused_as_used()
        refused_as_used(new_key(network, "0.000000001"))

        network.stop(signal.SIGKILL)
        network.start()
        wait_ready(network)
        refused_as_used()
        assert key_of(network, key)["budget_nano"] == 1 + int(way["amount"])


def test_a_payment_whose_client_leaves_or_whose_gateway_is_killed_is_credited_once(tmp_path):
    with Network(tmp_path / "data", "--engine", "mock", model="mock") as network:
        key = new_key(network, "0.000000001")
        required = post(network, key)[1]["payment-required"]
        amount = int(decoded(required)["accepts"][0]["amount"])
        budget = key_of(network, key)["budget_nano"]
        # Killed so many seconds after the payment is on its way to the gateway: before it is recorded, between that and the block, or after.
        transactions = set()
        for delay in (0, 0.01, 0.05, 0.2, 0.8):
            signed = sign(network, required)
            # The one before is in a final block, so its nonce is used.
            assert signed["transaction"] not in transactions
            transactions.add(signed["transaction"])
            with leave_after_asking(network, key, signed["value"]):
                time.sleep(delay)
                network.stop(signal.SIGKILL)
            network.start()
            wait_ready(network)
            budget += amount
            is_good_once(network, key, signed, budget)
        # A client that leaves at once, and shows it again.
        signed = sign(network, required)
        leave_after_asking(network, key, signed["value"]).close()
        is_good_once(network, key, signed, budget + amount)


def is_good_once(network, key, signed, budget):
    """Shown again, a payment is waited for, or known to be credited; either way the key has that much more, and no more."""
    status, _, body = post(network, key, signed["value"])
    assert status == 200 or body["error"]["code"] == "payment_used", body
    assert key_of(network, key)["budget_nano"] == budget


def leave_after_asking(network, key, signature):
    """A connection on which a paid request was sent, and whose answer nobody reads."""
    host, port = network.base_url.split("/")[2].split(":")
    body = json.dumps({"model": "mock", "messages": [{"role": "user", "content": "Hi!"}], "max_tokens": 8})
    lines = (
        "POST /v1/chat/completions HTTP/1.1",
        f"host: {host}",
        "content-type: application/json",
        f"content-length: {len(body)}",
        f"authorization: Bearer {key}",
        f"payment-signature: {signature}",
    )
    connection = socket.create_connection((host, int(port)))
    connection.sendall(("\r\n".join(lines) + "\r\n\r\n" + body).encode())
    return connection


def wallet(network, folder):
    """The arguments that name a new wallet, and its address."""
    (folder / "password").write_text("correct horse battery staple\n")
    kept = ("--keystore", folder / "wallet.json", "--password-file", folder / "password")
    made = network.run("wallet", "new", *kept, "--json")
    assert made.returncode == 0, made.stderr
    return kept, json.loads(made.stdout)["address"]


def copy_file(source, target):
    """Copies what is a file: sockets and the like are made anew."""
    if pathlib.Path(source).is_file():
        shutil.copy2(source, target)


def test_payments_of_who_has_nothing_are_refused_and_forgotten(tmp_path):
    with Network(tmp_path / "data", "--engine", "mock", model="mock") as network:
        key = new_key(network, "0.000000001")
        required = post(network, key)[1]["payment-required"]
        amount = int(decoded(required)["accepts"][0]["amount"])
        kept, address = wallet(network, tmp_path)

        def give(network):
            given = network.run("wallet", "faucet", address, "1", "--data", network.data)
            assert given.returncode == 0, given.stderr

        # A wallet signs nothing that its account can't pay: this one has money on a copy of the chain.
        network.stop()
        shutil.copytree(network.data, tmp_path / "copy", copy_function=copy_file)
        with Network(tmp_path / "copy", "--engine", "mock", model="mock") as copy:
            give(copy)
            signed = copy.run("wallet", "pay-header", required, *kept, "--data", copy.data, "--yes", "--json")
            assert signed.returncode == 0, signed.stderr
        value = json.loads(signed.stdout)["value"]
        network.start()
        wait_ready(network)
        # More often than payments of a key may be under way: each is forgotten at once.
        for _ in range(6):
            status, headers, body = post(network, key, value)
            assert (status, body["error"]["code"]) == (402, "payment_refused"), body
            assert decoded(headers["payment-response"])["success"] is False
        assert key_of(network, key)["budget_nano"] == 1
        # It was not used up: the same one is taken once there is money for it.
        give(network)
        status, _, body = post(network, key, value)
        assert status == 200, body
        assert key_of(network, key)["budget_nano"] == 1 + amount


def test_transfers_that_no_block_will_hold_stop_nobody_elses_payments(tmp_path):
    with Network(tmp_path / "data", "--engine", "mock", model="mock") as network:
        spoiler, key = new_key(network, "0.000000001"), new_key(network, "0.000000001")
        required = post(network, key)[1]["payment-required"]
        asked, worthless = decoded(required), []
        # All are signed with the account's present nonce, and the first one uses it.
        for amount in range(1, 9):
            asked["accepts"][0]["amount"] = str(amount)
            worthless.append(sign(network, base64.b64encode(json.dumps(asked).encode()).decode(), "operator-worker"))
        first, *rest = worthless
        post(network, spoiler, first["value"])
        assert key_of(network, spoiler)["budget_nano"] == 2
        for signed in rest:
            status, _, body = post(network, spoiler, signed["value"])
            assert (status, body["error"]["code"]) == (402, "payment_refused"), body
        assert key_of(network, spoiler)["budget_nano"] == 2
        assert post(network, key, sign(network, required)["value"])[0] == 200


def test_payments_that_do_not_hold_are_refused_and_use_up_nothing(tmp_path):
    with Network(tmp_path / "data", "--engine", "mock", model="mock") as network:
        key = new_key(network, "0.000000001")
        required = post(network, key)[1]["payment-required"]
        signed = sign(network, required)
        shown = decoded(signed["value"])
        # Another amount than the transfer's.
        shown["accepted"]["amount"] = "1"
        status, _, body = post(network, key, base64.b64encode(json.dumps(shown).encode()).decode())
        assert (status, body["error"]["code"]) == (402, "payment_invalid")
        # A signature that was changed.
        shown = decoded(signed["value"])
        raw = bytearray(base64.b64decode(shown["payload"]["transaction"]))
        raw[-1] ^= 1
        shown["payload"]["transaction"] = base64.b64encode(raw).decode()
        status, _, body = post(network, key, base64.b64encode(json.dumps(shown).encode()).decode())
        assert (status, body["error"]["code"]) == (402, "payment_invalid")
        # None of this used up the payment itself.
        assert post(network, key, signed["value"])[0] == 200
        assert post(network, key, "?")[2]["error"]["param"] == "payment-signature"
