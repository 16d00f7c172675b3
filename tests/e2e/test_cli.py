"""The command line as people and their scripts use it."""

import fcntl
import json
import os
import pathlib
import pty
import select
import shutil
import signal
import socket
import struct
import subprocess
import termios
import time

import pytest
from network import BINARY, Network


@pytest.fixture(scope="module")
def mock(tmp_path_factory):
    with Network(tmp_path_factory.mktemp("cli") / "data", "--engine", "mock", model="mock") as running:
        assert running.chat()[0] == 200
        yield running


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A user's folder in which nothing is."""
    for name in ("OPENAI_BASE_URL", "OPENAI_API_KEY", "XDG_CONFIG_HOME", "INFERIUM_DATA", "INFERIUM_MODELS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("INFERIUM_HOME", str(tmp_path / "inferium"))
    return tmp_path


def run(*arguments, stdin=None, **environment):
    return subprocess.run(
        [str(BINARY), *map(str, arguments)],
        input=stdin,
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, **environment},
    )


def commands(network):
    data = ("--data", network.data)
    worker = network.nodes_by_name()["worker"]
    return [
        ("list",), ("ls",), ("show", "smollm2-135m-instruct"), ("model", "list"), ("model", "show", "all-minilm-l6-v2"),
        ("ps", *data), ("top", *data), ("doctor", *data), ("key", "list", *data), ("key", "create", *data),
        ("key", "usage", *data), ("node", "show", *data), ("slashes", *data), ("earnings", "worker", *data),
        ("why", worker, *data), ("gov", "list", *data), ("gov", "parameters", *data), ("worker", "hardware"),
        ("wallet", "balance", worker, *data), ("run", network.model, "hi", *data), ("service", "status"),
        ("service", "install", "--dry-run"), ("eval", "list"), ("eval", "show", "everyday"),
    ]  # fmt: skip


def test_every_command_prints_json_and_nothing_else(mock, home):
    for command in commands(mock):
        for form in (("--output", "json"), ("--json",)):
            ended = run(*command, *form)
            assert ended.returncode == 0, (command, ended.stderr)
            json.loads(ended.stdout)
            assert ended.stdout.count("\n") == 1, command
        rows = run(*command, "--output", "ndjson")
        assert rows.returncode == 0, (command, rows.stderr)
        assert [json.loads(line) for line in rows.stdout.splitlines()] or command[0] in ("slashes", "gov", "earnings")
        table = run(*command)
        assert table.returncode == 0 and "\x1b" not in table.stdout + table.stderr, command


def test_rows_are_lines(mock):
    whole = json.loads(mock.run("gov", "parameters", "--data", mock.data, "--output", "json").stdout)["data"]
    rows = mock.run("gov", "parameters", "--data", mock.data, "--output", "ndjson").stdout.splitlines()
    assert [json.loads(row) for row in rows] == whole and len(whole) > 10
    by_variable = run("gov", "parameters", "--data", mock.data, INFERIUM_OUTPUT="ndjson").stdout.splitlines()
    assert by_variable == rows


def test_exit_codes(mock, home):
    data = ("--data", mock.data)
    gone = ("--url", "http://127.0.0.1:9/v1")
    cases = [
        (("ps", *data), 0, {}),
        (("show", "nothing"), 2, {}),
        (("ps", "--output", "xml"), 2, {}),
        (("nothing",), 2, {}),
        (("ps", "--data", home / "none"), 2, {}),
        (("run", "m", "hi", *gone), 2, {}),
        (("run", "m", "hi", *gone), 3, {"OPENAI_API_KEY": "x"}),
        (("run", "nothing", "hi", *data), 4, {}),
        (("run", mock.model, "hi", "--url", mock.base_url), 4, {"OPENAI_API_KEY": "sk-inferium-" + "0" * 48}),
        (("run", mock.model, "hi", "--url", "ftp://x"), 2, {"OPENAI_API_KEY": "x"}),
    ]
    for arguments, code, environment in cases:
        ended = run(*arguments, **environment)
        assert ended.returncode == code, (arguments, ended.stdout, ended.stderr)
        if code:
            assert ended.stdout == "" and ended.stderr.startswith("error: "), (arguments, ended.stderr)
        if code in (3, 4):
            assert ended.stderr.count("\n") == 1, ended.stderr


def test_a_pipe_gets_the_answer_alone(mock, home):
    piped = run("run", mock.model, "--data", mock.data, "--seed", "1", "--max-tokens", "6", stdin="Why?\n")
    assert piped.returncode == 0 and piped.stderr == ""
    asked = run("run", mock.model, "Why?", "--data", mock.data, "--seed", "1", "--max-tokens", "6")
    _, _, body = mock.chat("Why?", seed=1, max_tokens=6)
    assert piped.stdout == asked.stdout == body["choices"][0]["message"]["content"] + "\n"
    by_variable = run(
        "run", mock.model, "--seed", "1", "--max-tokens", "6", stdin="Why?",
        OPENAI_BASE_URL=mock.base_url, OPENAI_API_KEY=mock.api_key,
    )  # fmt: skip
    assert by_variable.stdout == piped.stdout
    told = run("run", mock.model, "Why?", "--data", mock.data, "--seed", "1", "--max-tokens", "6", "--verbose")
    assert told.stdout == piped.stdout
    for word in ("tokens/s", "first token", "receipt   inferium receipt get "):
        assert word in told.stderr
    empty = run("run", mock.model, "--data", mock.data, stdin="\n")
    assert (empty.returncode, empty.stdout) == (2, "") and "stdin is empty" in empty.stderr


class Terminal:
    """A command on a terminal of its own."""

    def __init__(self, *arguments):
        self.pid, self.end = pty.fork()
        if self.pid == 0:
            os.environ["TERM"] = "xterm"
            fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 120, 0, 0))
            os.execv(BINARY, [str(BINARY), *map(str, arguments)])
        self.seen = ""

    def wait_for(self, text, timeout=30):
        deadline = time.monotonic() + timeout
        start = len(self.seen)
        while text not in self.seen[start:]:
            assert time.monotonic() < deadline, f"{text!r} did not come; {self.seen[-2000:]!r}"
            if select.select([self.end], [], [], 0.2)[0]:
                try:
                    self.seen += os.read(self.end, 65536).decode(errors="replace")
                except OSError as error:
                    raise AssertionError(f"it ended before {text!r}: {self.seen[-2000:]!r}") from error

    def send(self, text):
        os.write(self.end, text.encode())

    def exit_code(self, timeout=30):
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            if select.select([self.end], [], [], 0.1)[0]:
                try:
                    self.seen += os.read(self.end, 65536).decode(errors="replace")
                except OSError:
                    pass
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                os.close(self.end)
                return os.waitstatus_to_exitcode(status)
        os.kill(self.pid, signal.SIGKILL)
        raise AssertionError(f"it did not end: {self.seen[-2000:]!r}")


def test_a_chat_on_a_terminal(mock, home):
    chat = Terminal("run", mock.model, "--data", mock.data, "--max-tokens", "5")
    chat.wait_for(">>> ")
    for line, answer in [
        ("/help", "stops an answer"),
        ("/set temperature 9", "not from 0 to 2"),
        # Typed ahead: lines that come before the next prompt are read after it.
        ("/set temperature 0\r/set verbose\r/show", '"temperature":0.0'),
        ("/wrong", "/wrong is no command"),
        ("Why?", "receipt   inferium receipt get "),
        ("/clear", "forgotten"),
    ]:
        chat.send(line + "\r")
        chat.wait_for(answer)
    chat.send('"""one\r')
    chat.wait_for("... ")
    chat.send('two"""\r')
    chat.wait_for("receipt   inferium receipt get ")
    chat.send("/bye\r")
    assert chat.exit_code() == 0


def test_ctrl_c_stops_an_answer_and_not_the_chat(network, home):
    chat = Terminal("run", network.model, "--data", network.data, "--max-tokens", "1500", "--temperature", "1")
    chat.wait_for(">>> ")
    chat.send("Write a very long story about the sea, in twenty chapters.\r")
    chat.wait_for("sea, in twenty chapters.")
    deadline = time.monotonic() + 30
    before = len(chat.seen)
    while len(chat.seen) < before + 40 and time.monotonic() < deadline:
        if select.select([chat.end], [], [], 0.2)[0]:
            chat.seen += os.read(chat.end, 65536).decode(errors="replace")
    chat.send("\x03")
    chat.wait_for("(stopped)")
    chat.send("/bye\r")
    assert chat.exit_code() == 0


def test_top_draws_a_screen_and_leaves_the_terminal_as_it_was(mock, home):
    top = Terminal("top", "--data", mock.data)
    top.wait_for("quits")
    top.send("q")
    assert top.exit_code() == 0
    assert "\x1b[?1049h" in top.seen and "\x1b[?1049l" in top.seen
    snapshot = run("top", "--data", mock.data)
    assert snapshot.returncode == 0 and "block" in snapshot.stdout and mock.model in snapshot.stdout


def test_doctor_says_how_to_mend_what_is_broken(mock, home, tmp_path):
    fine = json.loads(run("doctor", "--data", mock.data, "--json").stdout)["data"]
    states = {finding["check"]: finding["state"] for finding in fine}
    assert "fail" not in states.values() and states["gateway"] == states["validators"] == states["clock"] == "ok"
    assert all(finding["fix"] for finding in fine if finding["state"] != "ok")
    gone = tmp_path / "gone"
    shutil.copytree(mock.data / "keys", gone / "keys")
    file = json.loads((mock.data / "network.json").read_text())
    file.update(base_url="http://127.0.0.1:9/v1", rpc_urls=["http://127.0.0.1:9"])
    (gone / "network.json").write_text(json.dumps(file))
    os.chmod(gone, 0o755)
    broken = run("doctor", "--data", gone, "--json")
    assert broken.returncode == 1 and broken.stderr.count("\n") == 1 and "are broken" in broken.stderr
    found = {finding["check"]: finding for finding in json.loads(broken.stdout)["data"]}
    for check, fix in [("gateway", "inferium up"), ("validators", "start them"), ("data folder", "chmod")]:
        assert found[check]["state"] == "fail" and fix in found[check]["fix"]
    assert run("doctor", "--data", tmp_path / "none").returncode == 0


@pytest.mark.parametrize("shell", ["bash", "zsh"])
def test_completions_load(shell, tmp_path):
    script = tmp_path / "_inferium"
    script.write_text(run("completions", shell).stdout)
    if not shutil.which(shell):
        pytest.skip(f"{shell} is not installed")
    if shell == "bash":
        load = (
            f". {script}; complete -p inferium; COMP_WORDS=(inferium key re); COMP_CWORD=2; "
            "_inferium inferium re key; echo ${COMPREPLY[*]}"
        )
        ended = subprocess.run(["bash", "--norc", "-c", load], capture_output=True, text=True, timeout=30)
        assert ended.returncode == 0 and ended.stderr == "", ended.stderr
        assert ended.stdout.splitlines()[-1] == "revoke"
    else:
        load = f"autoload -U compinit; compinit -u -d {tmp_path}/dump; . {script}; whence -w _inferium"
        ended = subprocess.run(["zsh", "-f", "-c", load], capture_output=True, text=True, timeout=30)
        assert ended.returncode == 0 and "function" in ended.stdout, ended.stderr


def test_every_command_has_a_manual_page(tmp_path):
    assert run("man").stdout.splitlines()[0].startswith(".ie") and ".TH inferium" in run("man").stdout
    assert run("man", "--out", tmp_path / "man").returncode == 0
    pages = {page.name for page in (tmp_path / "man").iterdir()}
    assert {"inferium.1", "inferium-run.1", "inferium-key-create.1", "inferium-service-install.1"} <= pages
    for shell in ("fish", "elvish", "powershell"):
        assert "inferium" in run("completions", shell).stdout


def test_the_file_says_what_no_flag_and_no_variable_says(mock, home, tmp_path):
    config = home / ".config" / "inferium" / "config.toml"
    config.parent.mkdir(parents=True)
    config.write_text(f'data = "{mock.data}"\noutput = "json"\n')
    assert json.loads(run("ps").stdout)["data"][0]["model"] == mock.model
    assert "│" in run("ps", "--output", "table").stdout
    by_variable = run("ps", INFERIUM_DATA=str(tmp_path / "none"))
    assert by_variable.returncode == 2 and str(tmp_path / "none") in by_variable.stderr
    other = tmp_path / "other.toml"
    other.write_text("date = 'x'\n")
    wrong = run("ps", "--config", other)
    assert wrong.returncode == 2 and wrong.stdout == ""
    assert "`date`" in wrong.stderr and str(other) in wrong.stderr
    missing = run("ps", INFERIUM_CONFIG=str(tmp_path / "missing.toml"))
    assert missing.returncode == 2 and "missing.toml" in missing.stderr


def test_a_service_is_written_checked_and_removed(home):
    user = {"XDG_CONFIG_HOME": str(home / "config")}
    binary = ("--binary", BINARY)
    assert run("service", "uninstall", "--user", **user).returncode == 1
    written = run("service", "install", "worker", "--user", *binary, "--", "--slots", "4", **user)
    unit = home / "config" / "systemd" / "user" / "inferium-worker.service"
    assert written.returncode == 0 and written.stdout.strip() == str(unit)
    assert "worker join --json --slots 4\n" in unit.read_text() and "Type=notify" in unit.read_text()
    assert json.loads(run("service", "status", "worker", "--user", "--json", **user).stdout)["installed"] is True
    key = home / "key"
    key.write_text("secret-of-the-server")
    shown = run("service", "install", "worker", "--dry-run", *binary, "--server-key-file", key)
    assert f"LoadCredential=server-key:{key}" in shown.stdout and "secret-of" not in shown.stdout
    assert run("service", "uninstall", "worker", "--user", **user).returncode == 0 and not unit.exists()


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="systemd-analyze is not installed")
@pytest.mark.parametrize("role", ["up", "worker"])
def test_systemd_finds_nothing_wrong_with_the_units(role, tmp_path):
    unit = tmp_path / ("inferium.service" if role == "up" else "inferium-worker.service")
    unit.write_text(run("service", "install", role, "--dry-run", "--binary", BINARY).stdout)
    checked = subprocess.run(["systemd-analyze", "verify", unit], capture_output=True, text=True, timeout=60)
    assert checked.returncode == 0 and unit.name not in checked.stderr, checked.stderr


def test_a_service_tells_when_it_is_ready_and_that_it_is_alive(tmp_path, monkeypatch):
    path = tmp_path / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(path))
        manager.settimeout(60)
        monkeypatch.setenv("NOTIFY_SOCKET", str(path))
        monkeypatch.setenv("WATCHDOG_USEC", "900000")
        with Network(tmp_path / "data", "--engine", "mock", model="mock") as network:
            told = [manager.recv(4096).decode().strip() for _ in range(4)]
            assert told[0] == "READY=1" and told[1:] == ["WATCHDOG=1"] * 3
            assert network.stop() == 0
        while told[-1] == "WATCHDOG=1":
            told.append(manager.recv(4096).decode().strip())
        assert told[-1] == "STOPPING=1"


def test_no_secret_is_in_arguments_environment_or_logs(mock):
    made = json.loads(mock.run("key", "create", "--data", mock.data, "--json").stdout)["secret"]
    token = "inferium-admin-" + (mock.data / "keys" / "admin-token").read_bytes().hex()
    process = pathlib.Path("/proc") / str(mock.process.pid)
    places = {
        "arguments": (process / "cmdline").read_bytes(),
        "environment": (process / "environ").read_bytes(),
        "log": mock.log.read_bytes(),
        "metrics": mock.run("top", "--data", mock.data, "--json").stdout.encode(),
    }
    for place, held in places.items():
        for secret in (made, token, mock.api_key):
            assert secret.encode() not in held, place
