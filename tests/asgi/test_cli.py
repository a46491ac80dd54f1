"""The `nexusflow` command as a person meets it: in a process of its own, on a real port."""

from __future__ import annotations

import importlib.metadata
import json
import re
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from nexusflow_asgi.cli import main
from nexusflow_asgi.cli.serve import _curl
from nexusflow_core import CallRecord, Router
from nexusflow_core.config import decode_config
from tests.asgi.asking import BODY
from tests.asgi.serving import COMMAND, LIMIT, Serving, environment, run, serving
from tests.servers import JSON, Fault, Gate, RawClient, ScriptedUpstream, answer

STREAM = BODY.replace(b'"model"', b'"stream":true,"model"')
CONFIG = """
[upstreams.anthropic]
dialect = "anthropic"
base_url = "{url}"
api_key = "env:VENDOR_KEY"

[upstreams.zai]
dialect = "anthropic"
base_url = "https://api.z.ai/api/anthropic"

[[routes]]
model = "claude-haiku-4-5"
targets = ["anthropic", "zai/glm-5"]
[[routes]]
model = "claude-*"
targets = ["anthropic"]

[auth]
keys = ["env:TEAM_KEY"]

[log]
calls = "calls.jsonl"
"""
KEYS = {"VENDOR_KEY": "sk-ant-vendor", "TEAM_KEY": "nxf-team"}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "nexusflow.toml"
    path.write_text(CONFIG.format(url="http://127.0.0.1:1"))
    return path


# --version, and nothing to do


def test_the_version() -> None:
    """One line with the name and the installed version."""
    done = run("--version")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"nexusflow {importlib.metadata.version('nexusflow')}\n"


def test_help_names_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    """`--help` says what there is, and so does a command that is given none."""
    with pytest.raises(SystemExit) as ended:
        main(["--help"])
    assert ended.value.code == 0
    told = capsys.readouterr().out
    assert "serve" in told
    assert "check" in told
    with pytest.raises(SystemExit) as ended:
        main([])
    assert ended.value.code == 2


def test_nothing_to_serve() -> None:
    """One sentence on what is missing and on `--offline`, and exit status 2."""
    done = run("serve")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.count("\n") == 1
    for word in ("ANTHROPIC_API_KEY", "--config", "--offline"):
        assert word in done.stderr


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["serve", "--transport", "curl"], "curl"),
        (["serve", "--port", "many"], "many"),
        (["serve", "--offline", "extra"], "extra"),
        (["serv"], "serv"),
        (["check"], "file"),
        (["check", "a.toml", "b.toml"], "b.toml"),
    ],
)
def test_arguments_that_cannot_be(arguments: list[str], says: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Named, and nothing is started: exit status 2."""
    try:
        status: object = main(arguments)
    except SystemExit as ended:
        status = ended.code
    told = capsys.readouterr()
    assert (status, told.out) == (2, "")
    assert says in told.err


@pytest.mark.parametrize(
    ("arguments", "says"),
    [(["--port", "70000"], "port"), (["--port", "-1"], "port"), (["--workers", "0"], "workers")],
)
def test_numbers_that_cannot_be(arguments: list[str], says: str) -> None:
    """Said in words, not by a traceback, and nothing is started: exit status 2."""
    process = subprocess.Popen(
        [COMMAND, "serve", "--offline", "--port", "0", *arguments],
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        stdout, stderr = process.communicate(timeout=8)
    except subprocess.TimeoutExpired:
        process.kill()
        stdout, stderr = process.communicate()
    assert "Traceback" not in stderr
    assert says in stderr
    assert (process.returncode, stdout) == (2, "")


def test_a_file_that_is_not_there() -> None:
    """Its name, and why it cannot be read: exit status 2."""
    done = run("serve", "--config", "no/such/file.toml")
    assert (done.returncode, done.stdout) == (2, "")
    assert "no/such/file.toml cannot be read: No such file" in done.stderr


def test_a_port_that_is_taken() -> None:
    """Said in a line, with the address; not a success."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        done = run("serve", "--offline", "--port", str(taken.getsockname()[1]))
    assert done.returncode not in (0, None)
    assert "in use" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("host", ["a..b", "x" * 64 + ".example", "no.such.host.invalid"])
def test_a_host_that_is_none(host: str) -> None:
    """Said in a line, with the host: exit status 2."""
    done = run("serve", "--offline", "--host", host)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert f"cannot listen on {host}" in done.stderr


def test_a_missing_key(file: Path) -> None:
    """Which variable, and where the file asks for it."""
    done = run("serve", "--config", file, env={"VENDOR_KEY": "x"})
    assert (done.returncode, done.stdout) == (2, "")
    assert "TEAM_KEY" in done.stderr
    assert "auth.keys[0]" in done.stderr


# serve --offline


@pytest.fixture(scope="module")
def offline() -> Iterator[Serving]:
    """One offline gateway for what only reads."""
    with serving("--offline") as running:
        yield running
        assert running.stop() in (0, -signal.SIGTERM)
        assert "Traceback" not in running.stderr


def test_the_greeting(offline: Serving) -> None:
    """Where, what, over which transport, and a line to paste."""
    served = r"claude-\*, gpt-\*, qwen\*, deepseek\* on http://127\.0\.0\.1:[0-9]+$"
    assert re.search(served, offline.greeting, re.MULTILINE)
    assert "transport: offline" in offline.greeting
    assert offline.curl.startswith(f"curl -s {offline.url}/v1/messages ")


def test_the_printed_line(offline: Serving) -> None:
    """Pasted into a shell as it stands, it gives an answer."""
    if shutil.which("curl") is None:
        pytest.skip("needs curl")
    done = subprocess.run(
        ["bash", "-c", offline.curl], env=environment(), capture_output=True, text=True, timeout=LIMIT
    )
    assert done.returncode == 0, done.stderr
    message = json.loads(done.stdout)
    assert (message["type"], message["role"]) == ("message", "assistant")
    assert message["usage"]["output_tokens"] > 0


def test_it_answers_as_soon_as_it_greets() -> None:
    """A script that waits for the greeting and connects is not refused."""
    with serving("--offline", wait=False) as running:
        with RawClient(running.port) as client:
            client.send(b"GET /health HTTP/1.1\r\nhost: localhost\r\n\r\n")
            assert client.head().status == 200
        assert running.stop() in (0, -signal.SIGTERM)


def test_nothing_is_added_to_an_answer(offline: Serving) -> None:
    """Neither `server` nor `date` of our own: an upstream's would go through."""
    with RawClient(offline.port) as client:
        got, _ = client.call("/v1/messages", JSON, BODY)
    assert got.status == 200
    assert (got.values(b"server"), got.values(b"date")) == ([], [])


def test_a_stream(offline: Serving) -> None:
    """Whole, from a real server."""
    with RawClient(offline.port) as client:
        got, body = client.call("/v1/messages?beta=true", JSON, STREAM)
    assert got.status == 200
    assert body.endswith(b'event: message_stop\ndata: {"type":"message_stop"}\n\n')


def test_offline_with_an_empty_key() -> None:
    """`ANTHROPIC_API_KEY=` in the environment is no reason not to start."""
    with serving("--offline", env={"ANTHROPIC_API_KEY": ""}) as running, RawClient(running.port) as client:
        assert client.call("/v1/messages", JSON, BODY)[0].status == 200


# serve with a key of Anthropic's


def statuses(running: Serving, *headers: tuple[bytes, bytes]) -> int:
    with RawClient(running.port) as client:
        lines = b"".join(b"%s: %s\r\n" % pair for pair in headers)
        client.send(b"GET /v1/models HTTP/1.1\r\nhost: localhost\r\n%s\r\n" % lines)
        return client.head().status


def test_a_made_key() -> None:
    """Without NEXUSFLOW_KEY a key is made and shown once; only with it may one call."""
    with serving(env={"ANTHROPIC_API_KEY": "sk-ant-secret"}) as running:
        found = re.search(r"gateway key, made for this run: (\S+)", running.greeting)
        assert found
        key = found[1].encode()
        assert len(key) >= 30
        assert f"x-api-key: {found[1]}" in running.curl
        assert statuses(running) == 401
        assert statuses(running, (b"x-api-key", key[:-1])) == 401
        assert statuses(running, (b"x-api-key", b"sk-ant-secret")) == 401
        assert statuses(running, (b"x-api-key", key)) == 200
        assert statuses(running, (b"authorization", b"Bearer " + key)) == 200
        assert running.stop() in (0, -signal.SIGTERM)
        assert "sk-ant-secret" not in running.greeting + running.stdout + running.stderr


def test_a_given_key() -> None:
    """NEXUSFLOW_KEY is taken and not shown; the line to paste names the variable."""
    keys = {"ANTHROPIC_API_KEY": "sk-ant-secret", "NEXUSFLOW_KEY": "nxf-given"}
    with serving(env=keys) as running:
        assert "nxf-given" not in running.greeting
        assert '"x-api-key: $NEXUSFLOW_KEY"' in running.curl
        assert statuses(running) == 401
        assert statuses(running, (b"x-api-key", b"nxf-given")) == 200


# serve --config


@pytest.mark.parametrize("transport", ["h1", "httpx", "aiohttp", None])
def test_a_file(file: Path, transport: str | None) -> None:
    """The call goes where the file says, with the key that it names, and leaves its line in the call log."""
    message = b'{"type":"message","id":"m","usage":{"input_tokens":3,"output_tokens":1}}'
    with ScriptedUpstream(lambda _: answer(200, JSON, [message])) as upstream:
        file.write_text(CONFIG.format(url=upstream.url))
        more = ["--transport", transport] if transport else []
        with serving("--config", file, *more, env=KEYS, cwd=file.parent) as running:
            assert f"transport: {transport or 'h1'}\n" in running.greeting
            assert '"x-api-key: $TEAM_KEY"' in running.curl
            if shutil.which("curl"):
                done = subprocess.run(
                    ["bash", "-c", running.curl], env=environment(KEYS), capture_output=True, timeout=LIMIT
                )
                assert done.stdout == message
            else:
                with RawClient(running.port) as client:
                    assert client.call("/v1/messages", [(b"x-api-key", b"nxf-team")], BODY)[1] == message
            assert running.stop() in (0, -signal.SIGTERM)
        [received] = upstream.requests
    assert received.values(b"x-api-key") == [b"sk-ant-vendor"]
    assert b"nxf-team" not in b"\n".join(b": ".join(pair) for pair in received.headers)
    [line] = (file.parent / "calls.jsonl").read_bytes().splitlines()
    record = msgspec.json.decode(line, type=CallRecord)
    assert (record.status, record.ending, record.principal) == (200, "complete", "TEAM_KEY")
    assert record.request_id in running.stderr, "the log line of the call"


def test_sigterm_with_a_call_in_flight(file: Path) -> None:
    """The server waits for it; its record is in the log when the process is gone."""
    gate = Gate()
    message = b'{"type":"message","id":"m","usage":{"input_tokens":3,"output_tokens":1}}'
    with ScriptedUpstream(lambda _: answer(200, JSON, [gate, message])) as upstream:
        file.write_text(CONFIG.format(url=upstream.url))
        with (
            serving("--config", file, env=KEYS, cwd=file.parent) as running,
            RawClient(running.port) as client,
        ):
            client.post("/v1/messages", [(b"x-api-key", b"nxf-team")], BODY)
            upstream.wait_requests(1)
            running.process.send_signal(signal.SIGTERM)
            running.wait_until_it_listens_no_more()
            gate.open()
            assert client.head().status == 200
            assert client.rest() == message
            running.process.wait(LIMIT)
    assert running.process.returncode in (0, -signal.SIGTERM)
    assert b'"ending":"complete"' in (file.parent / "calls.jsonl").read_bytes()


def test_sigterm_twice_does_not_wait(file: Path) -> None:
    """Who insists is obeyed: a call that hangs does not hold the process."""
    with ScriptedUpstream(lambda _: [Fault.HANG]) as upstream:
        file.write_text(CONFIG.format(url=upstream.url))
        with (
            serving("--config", file, env=KEYS, cwd=file.parent) as running,
            RawClient(running.port) as client,
        ):
            client.post("/v1/messages", [(b"x-api-key", b"nxf-team")], BODY)
            upstream.wait_requests(1)
            running.process.send_signal(signal.SIGINT)
            running.wait_until_it_listens_no_more()
            running.process.send_signal(signal.SIGINT)
            running.process.wait(LIMIT)
        assert upstream.requests[0].wait_closed()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_cleanly(number: signal.Signals) -> None:
    """No traceback, nothing more on stdout, the port is free again."""
    with serving("--offline") as running:
        with RawClient(running.port) as client:
            assert client.call("/v1/messages", JSON, BODY)[0].status == 200
        assert running.stop(number) in (0, -number)
        assert running.stdout.strip() == ""
        assert "Traceback" not in running.stderr
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", running.port))


def test_workers() -> None:
    """Two processes on one port: calls are answered, and SIGTERM ends all of them."""
    with serving("--offline", "--workers", "2") as running:
        for _ in range(10):
            with RawClient(running.port) as client:
                assert client.call("/v1/messages", JSON, BODY)[0].status == 200
        children = subprocess.run(
            ["ps", "--ppid", str(running.process.pid), "-o", "pid="],
            capture_output=True,
            text=True,
            check=False,
        ).stdout.split()
        assert running.stop() in (0, -signal.SIGTERM)
        assert "Traceback" not in running.stderr
    assert len(children) >= 2
    end = time.monotonic() + LIMIT
    while any(Path(f"/proc/{child}").exists() for child in children):
        assert time.monotonic() < end, "a worker is left"
        time.sleep(0.02)
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", running.port))


def test_workers_share_the_made_key() -> None:
    """The key that was shown is every worker's."""
    with serving("--workers", "2", env={"ANTHROPIC_API_KEY": "sk-ant-secret"}) as running:
        found = re.search(r"made for this run: (\S+)", running.greeting)
        assert found
        assert {statuses(running, (b"x-api-key", found[1].encode())) for _ in range(8)} == {200}


# check


def test_check_a_good_file(file: Path) -> None:
    """What each route will do, who may call, where the log goes: exit status 0, and no key in sight."""
    done = run("check", file, env=KEYS)
    assert (done.returncode, done.stderr) == (0, "")
    routes = done.stdout.splitlines()
    assert routes[0].startswith("claude-haiku-4-5 -> anthropic")
    assert "then zai as glm-5" in routes[0]
    assert "https://api.z.ai/api/anthropic" in routes[0]
    assert routes[1].startswith("claude-* -> anthropic")
    assert "TEAM_KEY" in done.stdout
    assert "calls.jsonl" in done.stdout
    for key in KEYS.values():
        assert key not in done.stdout


def test_check_says_what_a_route_says(file: Path) -> None:
    """All that is not as it would be anyway: its retries, its name, what becomes of thinking and requests."""
    said = 'display_name = "H"\nthinking = "strip"\nretry = { attempts = 2 }\ncount_tokens = "estimate"\n'
    file.write_text(file.read_text().replace("[auth]", said + "[auth]"))
    done = run("check", file, env=KEYS)
    assert (done.returncode, done.stderr) == (0, "")
    line = next(line for line in done.stdout.splitlines() if line.startswith("claude-* -> anthropic"))
    assert line.endswith("count_tokens = estimate); attempts = 2, thinking = strip, shown as 'H'")


def check(path: Path, capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    status = main(["check", str(path)])
    return status, capsys.readouterr().err


@pytest.fixture
def keys(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in KEYS.items():
        monkeypatch.setenv(name, value)


@pytest.mark.usefixtures("keys")
@pytest.mark.parametrize(
    ("old", "new", "where", "what"),
    [
        ("[upstreams.anthropic]", "[upstreams.anthropic", "", "not valid TOML"),
        ('dialect = "anthropic"', 'dialect = "antropic"', "upstreams.anthropic.dialect", "antropic"),
        ('dialect = "anthropic"', "", "upstreams.anthropic", "dialect"),
        ('base_url = "http://127.0.0.1:1"', 'base_url = "127.0.0.1"', "upstreams.anthropic.base_url", "URL"),
        ("http://127.0.0.1:1", "http://u:p@127.0.0.1", "upstreams.anthropic.base_url", "password"),
        ("http://127.0.0.1:1", "http://x/v1/messages", "upstreams.anthropic.base_url", "/v1/messages"),
        ('"env:VENDOR_KEY"', '"sk-ant-in-the-file"', "upstreams.anthropic.api_key", "env:NAME"),
        ("api_key", "apikey", "upstreams.anthropic", "apikey"),
        ('targets = ["anthropic"]', 'targets = ["antropic"]', "routes[1].targets[0]", "antropic"),
        ('targets = ["anthropic"]', "targets = []", "routes[1].targets", "empty"),
        ('targets = ["anthropic"]', 'targets = "anthropic"', "routes[1].targets", "array"),
        ('model = "claude-*"', 'model = "claude-haiku-4-5"', "routes[1].model", "claude-haiku-4-5"),
        ('model = "claude-*"', "model = 4", "routes[1].model", "str"),
        ('keys = ["env:TEAM_KEY"]', 'keys = ["nxf-team"]', "auth.keys[0]", "env:NAME"),
        ("[auth]", "[auth]\nanonymus = true", "auth", "anonymus"),
        (
            'dialect = "anthropic"',
            f'dialect = "anthropic"\nca_file = "{__file__}"',
            "ca_file",
            "certificate",
        ),
        ("[log]", "[logs]", "", "logs"),
        ("[log]", "[limits]\nbody_bytes = 0\n[log]", "limits.body_bytes", "at least 1"),
        (
            "[[routes]]",
            "[upstreams.zai.timeouts]\nidle = 0\n[[routes]]",
            "upstreams.zai.timeouts.idle",
            "above 0",
        ),
    ],
)
def test_check_a_file_that_cannot_be_read(
    file: Path, old: str, new: str, where: str, what: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Says where and what is wrong, in one line and without repeating a key: exit status 2."""
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new, 1))
    status, told = check(file, capsys)
    assert status == 2
    assert told.startswith("nexusflow: ")
    assert told.count("\n") == 1
    assert where in told
    assert what in told
    assert "sk-ant-in-the-file" not in told
    assert "u:p@" not in told


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        ("", "", ["upstreams.anthropic.api_key: ", "VENDOR_KEY", "auth.keys[0]: ", "TEAM_KEY"]),
        ('"zai/glm-5"', '"anthropic/glm-5"', ["upstreams.zai: no route"]),
        ('keys = ["env:TEAM_KEY"]', "", ["auth: no keys"]),
        ('model = "claude-haiku-4-5"', 'model = "*"', ["routes[1]: is never used: the earlier route '*'"]),
        ('model = "claude-haiku-4-5"', 'model = "c*"', ["routes[1]: is never used: the earlier route 'c*'"]),
        ('calls = "calls.jsonl"', 'calls = "."', ["log.calls: . is a folder"]),
        ('calls = "calls.jsonl"', 'calls = "none/calls.jsonl"', ["log.calls: none/calls.jsonl cannot"]),
    ],
)
def test_check_a_file_found_wanting(
    file: Path,
    old: str,
    new: str,
    complaint: list[str],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It can be read but would not do: every complaint with its place, exit status 1."""
    for name, value in KEYS.items():
        if old:
            monkeypatch.setenv(name, value)
        else:
            monkeypatch.delenv(name, raising=False)
    file.write_text(file.read_text().replace(old, new, 1) if old else file.read_text())
    status, told = check(file, capsys)
    assert status == 1
    for part in complaint:
        assert part in told
    assert all(line.startswith("wrong: ") for line in told.splitlines())


@pytest.mark.usefixtures("keys")
def test_check_tells_every_mistake(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A line each, with the file and the line of the file."""
    text = file.read_text().replace('targets = ["anthropic"]', 'targets = ["antropic"]')
    file.write_text(text.replace("[auth]", "[auth]\nanonymus = true"))
    status, told = check(file, capsys)
    assert status == 2
    first, second = told.splitlines()
    lines = file.read_text().splitlines()
    for said, name in ((first, '["antropic"]'), (second, "anonymus")):
        [number] = [number for number, line in enumerate(lines, 1) if name in line]
        assert said.startswith(f"nexusflow: {file}:{number}: ")
    assert first.endswith("routes[1].targets[0]: no upstream is called 'antropic' (did you mean 'anthropic'?)")
    assert second.endswith("unknown field `anonymus` (did you mean 'anonymous'?)")


@pytest.mark.usefixtures("keys")
def test_check_tells_files_and_the_rest_at_once(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A certificate that is none does not hide a folder in the place of the log."""
    text = file.read_text().replace('calls = "calls.jsonl"', 'calls = "."')
    dialects = text.replace('dialect = "anthropic"', f'dialect = "anthropic"\nca_file = "{__file__}"')
    file.write_text(dialects)
    status, told = check(file, capsys)
    assert status == 2
    assert told.count("contains no certificate") == dialects.count("ca_file") == 2
    assert "log.calls: . is a folder" in told
    assert all(re.match(r"(nexusflow|wrong): \S+\.toml:\d+: ", line) for line in told.splitlines())


@pytest.mark.usefixtures("keys")
def test_check_for_an_app_that_authenticates(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Its own function knows the callers, so no key is missed; the same text may come from standard input."""
    text = file.read_text()
    file.write_text(text[: text.index("[auth]")])
    assert main(["check", "--embedded", str(file)]) == 0
    assert "callers: known to the host's authenticate function" in capsys.readouterr().out
    status, told = check(file, capsys)
    assert (status, "--embedded" in told) == (1, True)
    done = subprocess.run(
        [COMMAND, "check", "--embedded", "-"],
        input=file.read_text(),
        env=environment(KEYS),
        capture_output=True,
        text=True,
        timeout=LIMIT,
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_check_an_optional_upstream(
    file: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without its key it is said to be left out, and nothing is wrong."""
    monkeypatch.setenv("TEAM_KEY", "nxf-team")
    monkeypatch.delenv("VENDOR_KEY", raising=False)
    file.write_text(
        file.read_text().replace('api_key = "env:VENDOR_KEY"', 'api_key = "env:VENDOR_KEY"\noptional = true', 1)
    )
    status = main(["check", str(file)])
    told = capsys.readouterr()
    assert (status, told.err) == (0, "")
    assert "left out: upstream anthropic, VENDOR_KEY is not set" in told.out
    assert "claude-* -> nowhere, its upstreams are left out" in told.out


def test_check_a_path_that_is_none(capsys: pytest.CaptureFixture[str]) -> None:
    """A NUL and an escape in a name: a sentence, shown as text."""
    for name in ("a\0b.toml", "\x1b[31m.toml"):
        status, told = check(Path(name), capsys)
        assert status == 2
        assert told.rstrip("\n").isprintable()


def test_check_no_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A missing file, and a folder: its name and why."""
    for path in (tmp_path / "none.toml", tmp_path):
        status, told = check(path, capsys)
        assert status == 2
        assert str(path) in told
        assert told.count("\n") == 1


@pytest.mark.parametrize("text", ["", "\ufeff", "# nothing\n"])
def test_check_an_empty_file(file: Path, capsys: pytest.CaptureFixture[str], text: str) -> None:
    """Nothing configured is not a good configuration: what it lacks is said, and of which file."""
    file.write_text(text, encoding="utf-8")
    status, told = check(file, capsys)
    assert status == 1
    assert f"wrong: {file}: routes: no route exists" in told
    assert f"wrong: {file}: auth: no keys" in told


@pytest.mark.parametrize("model", ["*", "claude-*", "claude-opus-*", "o'neill-*", 'quote"d'])
def test_the_printed_line_for_any_route(model: str) -> None:
    """Whatever the first route is called, the line names a model of it and survives the shell."""
    escaped = json.dumps(model)
    toml = f'[upstreams.a]\ndialect = "anthropic"\n[[routes]]\nmodel = {escaped}\ntargets = ["a"]\n'
    config = decode_config((toml + "[auth]\nanonymous = true").encode())
    line = _curl("http://127.0.0.1:1", config, None)
    shown = subprocess.run(
        ["bash", "-c", line.replace("curl", "printf '%s\\n'", 1)], capture_output=True, text=True, check=True
    )
    body = json.loads(shown.stdout.splitlines()[-1])
    assert body["model"]
    assert Router(config.routes).find(body["model"]).model == model


def test_check_warns_of_models_that_take_tools_in_part(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Before a call with tools is refused, or loses its thinking; other models are not spoken of."""
    file = tmp_path / "nexusflow.toml"
    file.write_text(
        """
        [upstreams.openai]
        dialect = "openai-chat"
        base_url = "https://api.openai.com/v1"
        vendor = "openai"
        auth = "none"
        [[routes]]
        model = "best"
        targets = ["openai/gpt-6.1-sol", "openai/gpt-5.5"]
        [[routes]]
        model = "gpt-5.6-sol"
        targets = ["openai"]
        [auth]
        anonymous = true
        """
    )
    assert main(["check", str(file)]) == 0
    warned = [line for line in capsys.readouterr().err.splitlines() if line.startswith("warning: ")]
    assert len(warned) == 2
    assert "routes[0].targets[0]: gpt-6.1-sol takes no tools" in warned[0]
    assert "openai-responses" in warned[0]
    assert "routes[1].targets[0]: gpt-5.6-sol takes tools" in warned[1]
