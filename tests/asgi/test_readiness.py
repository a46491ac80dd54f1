"""A call log that cannot be written keeps the gateway from starting; `/ready` says whether it can serve."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from typing import Any

import anyio
import pytest

from nexusflow_asgi import NexusFlow
from nexusflow_asgi.call_log import CallLog
from nexusflow_asgi.durable_log import DurableCallLog
from nexusflow_core.config import Config, decode_config
from nexusflow_core.errors import ConfigError
from tests.asgi.asking import BODY, LIMIT, OFFLINE, Answer, ask, offline
from tests.asgi.serving import run, serving
from tests.asgi.test_call_log import a_record
from tests.servers import RawClient

each_kind = pytest.mark.parametrize("durable", [False, True], ids=["plain", "durable"])


def logging_to(path: Path | str, *, durable: bool) -> Config:
    config = decode_config(OFFLINE + f"[log]\ncalls = '{path}'\ndurable = {str(durable).lower()}\n".encode())
    config.resolve({"SIM_KEY": "sk-ant-simulated"})
    return config


def asked(gateway: Any, method: str = "GET") -> Answer:
    return anyio.run(lambda: ask(gateway, "/ready", method=method, body=b""))


# The start

UNWRITABLE = {
    ".": "is a folder",
    "none/calls.jsonl": "cannot be written: its folder does not exist",
    "none/deeper/calls.jsonl": "cannot be written: its folder does not exist",
    "file/calls.jsonl": "cannot be written: its folder is a file",
    "a" * 300: "cannot be written: file name too long",
    "dangling": "cannot be written: its folder does not exist",
    "loop": "cannot be written: too many levels of symbolic links",
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "file").touch()
    (tmp_path / "dangling").symlink_to(tmp_path / "none" / "calls.jsonl")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    return tmp_path


@each_kind
@pytest.mark.parametrize(("name", "why"), UNWRITABLE.items(), ids=[name[:30] for name in UNWRITABLE])
def test_a_host_does_not_start(folder: Path, name: str, why: str, durable: bool) -> None:
    """The error names the setting, the path and the reason."""
    with pytest.raises(ConfigError) as raised:
        NexusFlow(config=logging_to(folder / name, durable=durable), transport="offline")
    assert str(raised.value) == f"log.calls: {folder / name} {why}"


def test_a_durable_log_needs_room_for_its_second_file(tmp_path: Path) -> None:
    """A name that leaves none for the file beside the log is refused now, not with each call."""
    path = tmp_path / ("a" * 250)
    assert NexusFlow(config=logging_to(path, durable=False), transport="offline")
    with pytest.raises(ConfigError, match="beside it, which cannot be written: file name too long"):
        NexusFlow(config=logging_to(path, durable=True), transport="offline")


@each_kind
@pytest.mark.parametrize("workers", ["1", "2"])
def test_serve_does_not_start(tmp_path: Path, durable: bool, workers: str) -> None:
    """Status 2 and one line, before anything listens."""
    toml = f"{OFFLINE.decode()}[log]\ncalls = 'none/calls.jsonl'\ndurable = {str(durable).lower()}\n"
    (tmp_path / "nexusflow.toml").write_text(toml)
    options = ["--config", "nexusflow.toml", "--offline", "--port", "0", "--workers", workers]
    done = run("serve", *options, cwd=tmp_path)
    why = "nexusflow: log.calls: none/calls.jsonl cannot be written: its folder does not exist\n"
    assert (done.returncode, done.stdout, done.stderr) == (2, "", why)


AS_NOBODY = """
import os, sys
from tests.asgi.test_readiness import logging_to
from nexusflow_asgi import NexusFlow
from nexusflow_core.errors import ConfigError
from tests.asgi.asking import offline
configs = [logging_to(sys.argv[1], durable=durable) for durable in (False, True)]
NexusFlow(config=offline(), transport="offline")  # imports what nobody else may be allowed to read
if os.getuid() == 0:
    os.setresuid(65534, 65534, 65534)
for config in configs:
    try:
        NexusFlow(config=config, transport="offline")
    except ConfigError as error:
        print(error)
"""


@pytest.mark.parametrize(
    ("folder_mode", "file_mode", "why"),
    [
        (0o777, 0o444, ["cannot be written: permission denied"] * 2),
        (0o555, None, ["cannot be written: its folder is not writable"] * 2),
        (
            0o555,
            0o666,
            ["needs a file of its process beside it, which cannot be written: its folder is not writable"],
        ),
        (0o777, 0o666, []),
    ],
    ids=["a read-only file", "a read-only folder", "a durable log in a read-only folder", "writable"],
)
def test_permissions(folder_mode: int, file_mode: int | None, why: list[str]) -> None:
    """Seen by a user who is not root: what may not be written is refused at the start."""
    with tempfile.TemporaryDirectory() as name:  # one that others than its owner may enter
        path = Path(name) / "logs" / "calls.jsonl"
        os.chmod(name, 0o755)
        path.parent.mkdir()
        if file_mode is not None:
            path.touch()
            path.chmod(file_mode)
        path.parent.chmod(folder_mode)
        command = [sys.executable, "-c", AS_NOBODY, str(path)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT)
        path.parent.chmod(0o755)
    assert done.stderr == ""
    assert done.stdout.splitlines() == [f"log.calls: {path} {reason}" for reason in why]


@each_kind
def test_a_start_leaves_no_file(tmp_path: Path, durable: bool) -> None:
    """To find out whether the log can be written, nothing is made and nothing changed."""
    path = tmp_path / "calls.jsonl"
    NexusFlow(config=logging_to(path, durable=durable), transport="offline")
    assert list(tmp_path.iterdir()) == []
    path.write_bytes(b"{}\n")
    NexusFlow(config=logging_to(path, durable=durable), transport="offline")
    assert path.read_bytes() == b"{}\n"


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    """A log that a reader takes from a pipe may start before its reader does."""
    path = tmp_path / "pipe"
    os.mkfifo(path)
    assert CallLog.why_unwritable(path) is None


# Readiness


def test_a_gateway_that_can_serve() -> None:
    """200, whether with a body to read or not."""
    gateway = NexusFlow(config=offline(), transport="offline")
    got = asked(gateway)
    assert (got.status, got.json) == (200, {"status": "ready"})
    assert asked(gateway, "HEAD").status == 200


@each_kind
def test_a_log_that_can_be_written_no_more(tmp_path: Path, durable: bool) -> None:
    """503 with the reason, but not the path, which is nobody's business; 200 again once it can be written."""
    path = tmp_path / "logs" / "calls.jsonl"
    path.parent.mkdir()
    gateway = NexusFlow(config=logging_to(path, durable=durable), transport="offline")
    assert asked(gateway).status == 200
    path.parent.rmdir()
    got = asked(gateway)
    why = "the call log cannot be written: its folder does not exist"
    assert (got.status, got.json) == (503, {"status": "not ready", "reasons": [why]})
    assert anyio.run(lambda: ask(gateway, "/health", method="GET")).status == 200
    path.parent.mkdir()
    assert asked(gateway).status == 200


@pytest.mark.parametrize("kind", [CallLog, DurableCallLog])
def test_a_full_disk(tmp_path: Path, kind: type[CallLog], monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that opens but takes nothing: not ready for a while, then tried again, ready once a write goes."""

    def write(log: CallLog) -> None:
        log.after(a_record())
        log.close()

    def full(path: Path, lines: bytes, *, sync: bool) -> None:
        raise OSError(28, "No space left on device")

    now = 0.0
    log = kind(tmp_path / "calls.jsonl", clock=lambda: now)
    with monkeypatch.context() as patched:
        patched.setattr("nexusflow_asgi.call_log.append", full)
        write(log)
    assert log.why_not_ready() == "could not be written: no space left on device"
    now = 29.0
    assert log.why_not_ready() is not None
    now = 30.0
    assert log.why_not_ready() is None
    now = 0.0
    write(log)
    assert log.why_not_ready() is None


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_a_disk_that_hangs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, backend: str) -> None:
    """The answer is 503, and however often it is asked for, one thread waits."""
    monkeypatch.setattr("nexusflow_asgi.readiness._DISK_SECONDS", 0.05)
    gateway = NexusFlow(config=logging_to(tmp_path / "calls.jsonl", durable=False), transport="offline")
    go_on, looking = threading.Event(), list[int]()

    def hang(self: CallLog) -> None:
        looking.append(1)
        go_on.wait(LIMIT)

    monkeypatch.setattr(CallLog, "why_not_ready", hang)

    async def main() -> None:
        for _ in range(3):
            got = await ask(gateway, "/ready", method="GET")
            why = "the call log cannot be written: the disk does not answer"
            assert (got.status, got.json["reasons"]) == (503, [why])
        assert looking == [1]
        go_on.set()

    anyio.run(main, backend=backend)


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_a_gateway_that_is_closing(backend: str) -> None:
    """503 as soon as new calls are refused."""
    gateway = NexusFlow(config=offline(), transport="offline")

    async def main() -> None:
        assert (await ask(gateway, "/ready", method="GET")).status == 200
        gateway.refuse()
        await gateway.aclose()
        got = await ask(gateway, "/ready", method="GET")
        assert (got.status, got.json["reasons"]) == (503, ["the gateway is closing"])
        assert (await ask(gateway, body=BODY)).status == 529

    anyio.run(main, backend=backend)


OPTIONAL = """
[upstreams.main]
dialect = "anthropic"
api_key = "env:MAIN_KEY"
optional = {main}
[upstreams.spare]
dialect = "anthropic"
base_url = "https://secret-host.example"
api_key = "env:SPARE_KEY"
optional = true
[[routes]]
model = "claude-*"
targets = ["main", "spare"]
[[routes]]
model = "other"
targets = {other}
[auth]
anonymous = true
"""


@pytest.mark.parametrize(
    ("main", "other", "left_out", "reasons"),
    [
        (False, ["main"], {"spare": "SPARE_KEY"}, []),
        (False, ["spare"], {"spare": "SPARE_KEY"}, ["other"]),
        (True, ["main"], {"main": "MAIN_KEY", "spare": "SPARE_KEY"}, ["claude-*", "other"]),
    ],
)
def test_upstreams_that_are_left_out(
    main: bool,
    other: list[str],
    left_out: dict[str, str],
    reasons: list[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Each is listed with its variable; a route that has no other makes the gateway unready."""
    monkeypatch.delenv("SPARE_KEY", raising=False)
    monkeypatch.delenv("MAIN_KEY", raising=False)
    if not main:
        monkeypatch.setenv("MAIN_KEY", "sk-ant-main")
    toml = OPTIONAL.format(main=str(main).lower(), other=str(other).replace("'", '"'))
    got = asked(NexusFlow(config=decode_config(toml.encode()), transport="httpx"))
    assert got.json["left_out"] == left_out
    assert (got.status, got.json["status"]) == ((503, "not ready") if reasons else (200, "ready"))
    told = got.json.get("reasons", [])
    assert [reason.split(" has no upstream left")[0] for reason in told] == [
        f"route {model}" for model in reasons
    ]
    assert b"secret-host" not in got.body


def test_everybody_may_ask(tmp_path: Path) -> None:
    """A probe has no key, and names the machine by whatever address it was given."""
    (tmp_path / "nexusflow.toml").write_text(
        OFFLINE.decode().replace("anonymous = true", 'keys = ["env:A_KEY"]')
    )
    options = ("--config", "nexusflow.toml", "--offline")
    with (
        serving(*options, env={"A_KEY": "nxf-one"}, cwd=tmp_path) as running,
        RawClient(running.port) as client,
    ):
        client.send(b"GET /ready HTTP/1.1\r\nhost: 10.1.2.3:8787\r\nconnection: close\r\n\r\n")
        assert client.head().status == 200
        assert client.rest() == b'{"status":"ready"}'
