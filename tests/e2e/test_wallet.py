"""Wallets: made, funded, spent from; and everything that must not move money or show a secret."""

import json
import os
import pty
import select
import stat
import subprocess
import termios
import time

import pytest
from network import BINARY, Network

PASSWORD = "correct horse battery"
WRONG = "wrong horse battery"
NANO = 1_000_000_000


@pytest.fixture(scope="module")
def devnet(tmp_path_factory):
    with Network(tmp_path_factory.mktemp("wallet") / "data", "--engine", "mock", model="mock") as running:
        yield running


class Wallet:
    """A wallet's file, its password's file, and the commands on them."""

    def __init__(self, network, folder, name="wallet"):
        self.network, self.keystore = network, folder / f"{name}.json"
        self.password_file = folder / "password"
        self.password_file.write_text(PASSWORD + "\n")

    def run(self, command, *arguments, password=None, stdin=None):
        more = {"new": (), "import": (), "address": ()}.get(command, ("--data", self.network.data))
        if command in ("new", "import", "send"):
            more = (*more, "--password-file", password or self.password_file)
        done = self.network.run(
            "wallet", command, *arguments, "--keystore", self.keystore, *more, stdin="" if stdin is None else stdin
        )
        assert PASSWORD not in done.stdout + done.stderr and WRONG not in done.stdout + done.stderr
        return done

    def json(self, command, *arguments, **options):
        done = self.run(command, *arguments, "--json", **options)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def make(self):
        made = self.json("new")
        self.address, self.words = made["address"], made["words"]
        return self

    def balance(self):
        return self.json("balance")["balance_nano"]


@pytest.fixture
def wallet(devnet, tmp_path):
    return Wallet(devnet, tmp_path).make()


@pytest.fixture
def funded(wallet):
    wallet.json("faucet", wallet.address, "10")
    assert wallet.balance() == 10 * NANO
    return wallet


def fee_in(text):
    """Nano-IFR, from the line of the words that were shown."""
    [line] = [line for line in text.splitlines() if line.split()[:1] == ["fee"]]
    whole, _, decimals = line.split()[1].partition(".")
    return int(whole) * NANO + int(decimals.ljust(9, "0") or 0)


def test_a_new_wallet_is_words_and_a_file_of_its_owner(wallet):
    assert len(wallet.words) == 24 and len(wallet.address) == 64
    assert stat.S_IMODE(wallet.keystore.stat().st_mode) == 0o600
    text = wallet.keystore.read_text()
    assert json.loads(text)["address"] == wallet.address
    assert PASSWORD not in text and " ".join(wallet.words[:2]) not in text
    assert wallet.run("address").stdout.strip() == wallet.address
    assert wallet.balance() == 0


def test_words_for_people_are_numbered_and_all_there(devnet, tmp_path):
    made = Wallet(devnet, tmp_path)
    shown = made.run("new")
    assert shown.returncode == 0
    words = shown.stdout.partition(":")[2].split()
    numbered = [words[words.index(str(number)) + 1] for number in range(1, 25)]
    again = Wallet(devnet, tmp_path, "again")
    imported = again.json("import", stdin=" ".join(numbered))
    assert imported["address"] == made.run("address").stdout.strip()


def test_a_wallet_is_never_overwritten(wallet):
    before = wallet.keystore.read_bytes()
    for command in ("new", "import"):
        refused = wallet.run(command, stdin=" ".join(wallet.words))
        assert refused.returncode == 4 and "exists" in refused.stderr
    assert wallet.keystore.read_bytes() == before


def test_money_moves_by_exactly_the_amount_and_the_fee_that_was_shown(devnet, funded, tmp_path):
    other = Wallet(devnet, tmp_path, "other").make()
    sent = funded.run("send", other.address, "1.5", "--yes")
    assert sent.returncode == 0, sent.stderr
    assert "is final in block" in sent.stdout
    for fact in ("Send 1.5 IFR", other.address, funded.address, devnet.network_key.split(":")[1]):
        assert fact in sent.stderr
    assert other.balance() == 1_500_000_000
    assert funded.balance() == 8_500_000_000 - fee_in(sent.stderr)
    sent = funded.json("send", other.address, "0.000000001", "--yes")
    assert sent["status"] == "final" and sent["height"] > 0
    assert other.balance() == 1_500_000_001


def test_the_words_bring_the_account_back_on_another_machine(devnet, funded, tmp_path):
    back = Wallet(devnet, tmp_path, "back")
    words = tmp_path / "words"
    words.write_text("\n".join(funded.words).upper())
    assert back.json("import", "--mnemonic-file", words)["address"] == funded.address
    assert back.balance() == 10 * NANO
    assert back.run("send", funded.address, "1", "--yes").returncode == 0


def test_the_loudest_log_holds_no_secret(devnet, funded, tmp_path):
    loud = funded.run("send", funded.address, "1", "--yes", "-vv")
    assert loud.returncode == 0 and "DEBUG" in loud.stderr
    back = Wallet(devnet, tmp_path, "back").run("import", "-vv", stdin=" ".join(funded.words))
    assert back.returncode == 0
    for words in zip(funded.words, funded.words[1:]):
        assert " ".join(words) not in loud.stdout + loud.stderr + back.stdout + back.stderr


def test_nothing_is_signed_without_a_yes(funded):
    for answer in ("", "n\n", "no\n", "\n", "yess\n"):
        refused = funded.run("send", funded.address, "1", stdin=answer)
        assert refused.returncode == 4 and "not confirmed" in refused.stderr
        assert "Send 1 IFR" in refused.stderr
    assert funded.json("balance")["transactions"] == 0
    assert funded.run("send", funded.address, "1", stdin="y\n").returncode == 0
    assert funded.json("balance")["transactions"] == 1


def test_a_wrong_password_opens_nothing(funded, tmp_path):
    wrong = tmp_path / "wrong"
    wrong.write_text(WRONG)
    refused = funded.run("send", funded.address, "1", "--yes", password=wrong)
    assert refused.returncode == 4 and "wrong password" in refused.stderr
    assert funded.json("balance")["transactions"] == 0


def test_more_than_there_is_is_refused_before_anything_is_signed(funded):
    for amount in ("10", "10.000000001", "18446744073.709551615"):
        refused = funded.run("send", funded.address, amount, "--yes")
        assert refused.returncode == 4, refused.stderr
    assert "the account holds 10 IFR" in funded.run("send", funded.address, "10", "--yes").stderr
    assert funded.json("balance") | {"height": 0} == {
        "address": funded.address,
        "balance_nano": 10 * NANO,
        "transactions": 0,
        "height": 0,
    }


def test_bad_amounts_and_addresses_are_wrong_usage(wallet):
    for amount in ("0", "0.0", "-1", "1.0000000001", "ten", "", "1,5", "18446744074"):
        refused = wallet.run("send", wallet.address, amount, "--yes")
        assert refused.returncode == 2, (amount, refused.stderr)
    for address in ("garbage", "", wallet.address[:-2], wallet.address + "00", "g" * 64, "0x" + wallet.address):
        assert wallet.run("send", address, "1", "--yes").returncode == 2, address
        assert wallet.run("balance", address).returncode == 2, address


def test_wrong_words_are_refused_and_not_repeated(devnet, wallet, tmp_path):
    other = Wallet(devnet, tmp_path, "other")
    cases = [
        (wallet.words[:-1], "23 words"),
        ([*wallet.words, "zoo"], "25 words"),
        (["hunter2", *wallet.words[1:]], "word 1"),
        (["abandon"] * 24, "checksum"),
        ([], "0 words"),
    ]
    for words, reason in cases:
        refused = other.run("import", stdin=" ".join(words))
        assert refused.returncode == 4 and reason in refused.stderr, refused.stderr
        assert "hunter2" not in refused.stderr + refused.stdout
    short = tmp_path / "short"
    short.write_text("1234567")
    refused = other.run("new", password=short)
    assert refused.returncode == 2 and "too short" in refused.stderr and not other.keystore.exists()


def test_a_changed_or_absurd_keystore_is_refused(funded):
    document = json.loads(funded.keystore.read_text())

    def sending_with(**fields):
        funded.keystore.write_text(json.dumps(document | fields))
        return funded.run("send", funded.address, "1", "--yes")

    # Another address in clear: shown, and refused once the password is there.
    other = {"address": funded.run("address").stdout.strip()[:-1]}
    assert sending_with(**other).returncode == 4
    changed = document["ciphertext"]
    changed = ("0" if changed[0] != "0" else "1") + changed[1:]
    assert "wrong password" in sending_with(ciphertext=changed).stderr
    assert "created_ms" in document and sending_with(created_ms=1).returncode == 4
    assert "version 2" in sending_with(version=2).stderr
    hungry = sending_with(kdf=document["kdf"] | {"m_kib": 4_000_000_000})
    assert hungry.returncode == 4 and "m_kib is 4000000000" in hungry.stderr
    assert sending_with().returncode == 0


def test_a_keystore_that_others_can_read_or_that_was_cut_is_refused(funded):
    whole = funded.keystore.read_bytes()
    for mode in (0o644, 0o640, 0o606):
        funded.keystore.chmod(mode)
        refused = funded.run("send", funded.address, "1", "--yes")
        assert refused.returncode == 4 and f"mode {mode:04o}" in refused.stderr and "chmod 600" in refused.stderr
    funded.keystore.chmod(0o600)
    for size in (0, 1, len(whole) // 2, len(whole) - 3):
        funded.keystore.write_bytes(whole[:size])
        refused = funded.run("send", funded.address, "1", "--yes")
        assert refused.returncode == 4 and "does not open" in refused.stderr, refused.stderr
    assert funded.json("balance", funded.address)["transactions"] == 0
    funded.keystore.write_bytes(whole)
    assert funded.run("send", funded.address, "1", "--yes").returncode == 0


def test_a_transaction_whose_nonce_was_used_meanwhile_is_not_signed_anew(devnet, funded):
    command = ["wallet", "send", funded.address, "1", "--data", devnet.data, "--keystore", funded.keystore]
    waiting = subprocess.Popen(
        [str(part) for part in [BINARY, *command, "--password-file", funded.password_file]],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    shown = ""
    while "Sign and send it?" not in shown:
        shown += waiting.stderr.readline()
    assert funded.run("send", funded.address, "2", "--yes").returncode == 0
    _, told = waiting.communicate("y\n", timeout=60)
    assert waiting.returncode == 4 and "nonce" in told, told
    assert funded.json("balance")["transactions"] == 1


def test_a_faucet_is_a_devnets_only(devnet, wallet, tmp_path):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "network.json").write_bytes((devnet.data / "network.json").read_bytes())
    refused = devnet.run("wallet", "faucet", wallet.address, "--data", elsewhere)
    assert refused.returncode == 2 and "devnet" in refused.stderr
    # Of the network's own folder one only needs the public half to read and send.
    read = devnet.run("wallet", "balance", wallet.address, "--data", elsewhere)
    assert read.returncode == 0 and read.stdout.strip() == "0 IFR"
    assert wallet.run("faucet").returncode == 0
    assert wallet.balance() == 100 * NANO
    assert wallet.run("faucet", wallet.address, "1000000").returncode == 4


def test_what_is_missing_is_said(devnet, tmp_path):
    missing = Wallet(devnet, tmp_path, "missing")
    for command in (("address",), ("balance",), ("send", "00" * 32, "1")):
        done = missing.run(*command)
        assert done.returncode == 2, (command, done.stderr)
    nowhere = devnet.run("wallet", "balance", "01" * 32, "--data", tmp_path / "nothing")
    assert nowhere.returncode == 2
    gone = missing.run("new", password=tmp_path / "no-such-file")
    assert gone.returncode == 1 and not missing.keystore.exists()


def is_echoing(terminal):
    return bool(termios.tcgetattr(terminal)[3] & termios.ECHO)


def on_terminal(arguments, answers, timeout=60):
    """Everything that a terminal showed while `answers` were typed at their prompts."""
    pid, terminal = pty.fork()
    if pid == 0:
        os.execv(str(BINARY), [str(BINARY), *[str(argument) for argument in arguments]])
    shown, deadline = b"", time.monotonic() + timeout
    answers = list(answers)
    while time.monotonic() < deadline:
        if not select.select([terminal], [], [], 0.2)[0]:
            continue
        try:
            more = os.read(terminal, 4096)
        except OSError:
            break
        if not more:
            break
        shown += more
        if answers and answers[0][0].encode() in shown.split(b"\x00")[-1]:
            # A prompt is written a moment before the echo is turned off; nobody types that fast.
            while "y" != answers[0][1] and is_echoing(terminal) and time.monotonic() < deadline:
                time.sleep(0.01)
            os.write(terminal, (answers.pop(0)[1] + "\n").encode())
            shown += b"\x00"
    _, status = os.waitpid(pid, 0)
    os.close(terminal)
    return os.waitstatus_to_exitcode(status), shown.decode(errors="replace")


def test_a_password_typed_on_a_terminal_is_asked_twice_and_not_shown(devnet, tmp_path):
    keystore = tmp_path / "typed.json"
    prompts = [("New password", PASSWORD), ("The same again", PASSWORD)]
    code, shown = on_terminal(["wallet", "new", "--keystore", keystore], prompts)
    assert code == 0 and PASSWORD not in shown, shown
    assert "24" in shown and keystore.exists()
    prompts[1] = ("The same again", WRONG)
    code, shown = on_terminal(["wallet", "new", "--keystore", tmp_path / "other.json"], prompts)
    assert code == 2 and "differ" in shown and PASSWORD not in shown
    assert not (tmp_path / "other.json").exists()
    typed = Wallet(devnet, tmp_path, "typed")
    address = typed.run("address").stdout.strip()
    assert devnet.run("wallet", "faucet", address, "5", "--data", devnet.data).returncode == 0
    send = ["wallet", "send", address, "1", "--keystore", keystore, "--data", devnet.data]
    code, shown = on_terminal(send, [("Sign and send it?", "y"), ("Password", PASSWORD)])
    assert code == 0 and "is final in block" in shown and PASSWORD not in shown, shown
