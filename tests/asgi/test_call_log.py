"""The call log: one JSON line a call, whoever writes it and however the process ends."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import anyio
import msgspec
import pytest

from nexusflow_asgi import CallLog, NexusFlow
from nexusflow_asgi.call_log import _MAX_WAITING
from nexusflow_core import AttemptRecord, CallRecord, Config
from nexusflow_core.config import decode_config
from tests.asgi.asking import BODY, LIMIT, OFFLINE, ask

ROOT = Path(__file__).parents[2]


def a_record(request_id: str = "req_1", **changes: Any) -> CallRecord:
    values: dict[str, Any] = {
        "request_id": request_id,
        "upstream_request_id": "req_upstream",
        "started_at": datetime(2026, 11, 22, 12, 0, 0, 123456, tzinfo=UTC),
        "duration": 0.25,
        "time_to_first_byte": 0.125,
        "endpoint": "messages",
        "model": "claude-x",
        "response_model": None,
        "route": "claude-*",
        "principal": "alice",
        "metadata": {"team": "rot\n\u2028\U0001f600"},
        "stream": True,
        "status": 200,
        "error_type": None,
        "ending": "complete",
        "attempts": (AttemptRecord(upstream="a", model="m", status=200, reason="", duration=0.2),),
        "usage": {"input_tokens": 3, "cache_creation": {"ephemeral_5m_input_tokens": 1}},
        "usage_source": "upstream",
        "service_tier": None,
        "speed": None,
        "inference_geo": None,
        "dropped": (),
        "edits": ("model",),
    }
    return CallRecord(**{**values, **changes})


def read(path: Path) -> list[CallRecord]:
    """The records of a file, of which every line must be one."""
    data = path.read_bytes()
    assert data == b"" or data.endswith(b"\n")
    return [msgspec.json.decode(line, type=CallRecord) for line in data.split(b"\n")[:-1]]


def logged_to(path: Path) -> Config:
    config = decode_config(OFFLINE + b'[log]\ncalls = "%s"\n' % str(path).encode())
    config.resolve({"SIM_KEY": "sk-ant-simulated"})
    return config


def wait_for_lines(path: Path, count: int) -> None:
    end = time.monotonic() + LIMIT
    while (lines := path.read_bytes().count(b"\n") if path.exists() else 0) < count:
        assert time.monotonic() < end, f"{lines} of {count} lines were written"
        time.sleep(0.01)


def test_a_line_is_the_record(tmp_path: Path) -> None:
    """What is read back equals what was written, odd characters included, and takes one line."""
    path = tmp_path / "calls.jsonl"
    log = CallLog(path)
    record = a_record()
    log.after(record)
    anyio.run(log.aclose)
    assert read(path) == [record]
    assert json.loads(path.read_bytes())["schema"] == 1


def test_lines_are_written_without_being_asked(tmp_path: Path) -> None:
    """A log that nobody closes reaches the file soon."""
    path = tmp_path / "calls.jsonl"
    log = CallLog(path)
    log.after(a_record("req_1"))
    wait_for_lines(path, 1)
    log.after(a_record("req_2"))
    wait_for_lines(path, 2)
    log.close()
    assert [record.request_id for record in read(path)] == ["req_1", "req_2"]


def test_nothing_is_opened_before_the_first_call(tmp_path: Path) -> None:
    """No thread, no file: a log can be made before a fork, and closed without having been used."""
    threads = threading.active_count()
    log = CallLog(tmp_path / "calls.jsonl")
    assert threading.active_count() == threads
    anyio.run(log.aclose)
    assert list(tmp_path.iterdir()) == []


def test_lines_are_appended(tmp_path: Path) -> None:
    """What stands in the file stays."""
    path = tmp_path / "calls.jsonl"
    for name in ("req_1", "req_2"):
        log = CallLog(str(path))
        log.after(a_record(name))
        log.close()
    assert [record.request_id for record in read(path)] == ["req_1", "req_2"]


def test_many_threads(tmp_path: Path) -> None:
    """Eight threads of 250 records each: every record once, in the order of its own thread, no line torn."""
    path = tmp_path / "calls.jsonl"
    log = CallLog(path)

    def work(name: int) -> None:
        for i in range(250):
            log.after(a_record(f"{name}-{i}", metadata={"padding": "x" * 500}))

    threads = [threading.Thread(target=work, args=(name,)) for name in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(LIMIT)
    log.close()
    ids = [record.request_id for record in read(path)]
    assert len(ids) == len(set(ids)) == 2000
    for name in range(8):
        mine = [name_ for name_ in ids if name_.startswith(f"{name}-")]
        assert mine == [f"{name}-{i}" for i in range(250)]


def test_closing_while_others_write(tmp_path: Path) -> None:
    """Closing in one thread over and over loses nothing of what another writes."""
    path = tmp_path / "calls.jsonl"
    log = CallLog(path)
    done = threading.Event()

    def keep_closing() -> None:
        while not done.is_set():
            log.close()

    closer = threading.Thread(target=keep_closing)
    closer.start()
    for i in range(500):
        log.after(a_record(f"req_{i}"))
    done.set()
    closer.join(LIMIT)
    log.close()
    assert Counter(record.request_id for record in read(path)) == Counter(f"req_{i}" for i in range(500))


def test_closed_is_not_the_end(tmp_path: Path) -> None:
    """A record after aclose starts the log anew; closing twice does no harm and leaves no thread."""
    path = tmp_path / "calls.jsonl"
    log = CallLog(path)
    for i in range(3):
        log.after(a_record(f"req_{i}"))
        anyio.run(log.aclose)
        anyio.run(log.aclose)
    assert len(read(path)) == 3
    assert "nexusflow-call-log" not in [thread.name for thread in threading.enumerate()]


def test_closing_from_trio(tmp_path: Path) -> None:
    """aclose flushes on trio as well."""
    path = tmp_path / "calls.jsonl"
    log = CallLog(path)
    log.after(a_record())
    anyio.run(log.aclose, backend="trio")
    assert len(read(path)) == 1


FORK = """
import os, sys, warnings
from nexusflow_asgi import CallLog
from tests.asgi.test_call_log import a_record

warnings.simplefilter("ignore", DeprecationWarning)  # a server forks with threads too, for better or worse
log = CallLog(sys.argv[1])
for i in range(20):
    log.after(a_record(f"before-{i}"))
child = os.fork()
name = "parent" if child else "child"
for i in range(20):
    log.after(a_record(f"{name}-{i}"))
log.close()
if child:
    os.waitpid(child, 0)
else:
    os._exit(0)
"""


def test_a_fork(tmp_path: Path) -> None:
    """Both processes go on writing, and what waited at the fork is written once, not twice."""
    path = tmp_path / "calls.jsonl"
    subprocess.run([sys.executable, "-c", FORK, path], check=True, cwd=ROOT, timeout=LIMIT)
    ids = [record.request_id for record in read(path)]
    expected = [f"{name}-{i}" for name in ("before", "parent", "child") for i in range(20)]
    assert Counter(ids) == Counter(expected)


UNCLOSED = """
import os, sys, warnings
from nexusflow_asgi import CallLog
from tests.asgi.test_call_log import a_record

warnings.simplefilter("ignore", DeprecationWarning)
log = CallLog(sys.argv[1])
log.after(a_record("last"))
if sys.argv[2] == "fork" and os.fork():
    os.wait()
"""


@pytest.mark.parametrize("how", ["plain", "fork"])
def test_a_process_that_ends_without_closing(tmp_path: Path, how: str) -> None:
    """As under a server that runs no lifespan: the last batch is written, once."""
    path = tmp_path / "calls.jsonl"
    subprocess.run([sys.executable, "-c", UNCLOSED, path, how], check=True, cwd=ROOT, timeout=LIMIT)
    assert [record.request_id for record in read(path)] == ["last"]


def test_processes_share_a_file(tmp_path: Path) -> None:
    """Three processes append to one file and tear no line of each other's."""
    path = tmp_path / "calls.jsonl"
    script = """
import sys
from nexusflow_asgi import CallLog
from tests.asgi.test_call_log import a_record
log = CallLog(sys.argv[1])
for i in range(300):
    log.after(a_record(f"{sys.argv[2]}-{i}", metadata={"padding": "x" * 2000}))
log.close()
"""
    running = [
        subprocess.Popen([sys.executable, "-c", script, path, name], cwd=ROOT) for name in ("a", "b", "c")
    ]
    assert [process.wait(LIMIT) for process in running] == [0, 0, 0]
    assert len({record.request_id for record in read(path)}) == 900


# Behind the gateway


def test_the_gateway_writes_each_call(tmp_path: Path) -> None:
    """Served and refused calls alike; aclose leaves all of them in the file."""
    path = tmp_path / "calls.jsonl"

    async def main() -> list[int]:
        async with NexusFlow(config=logged_to(path), transport="offline") as gateway:
            return [(await ask(gateway, body=body)).status for body in (BODY, b"{", b'{"model":"gpt-6"}')]

    assert anyio.run(main) == [200, 400, 404]
    assert [(record.status, record.ending) for record in read(path)] == [
        (200, "complete"),
        (400, "refused"),
        (404, "refused"),
    ]


def test_two_event_loops(tmp_path: Path) -> None:
    """One gateway in two threads with a loop each: every call of both is in the file, closed by either."""
    path = tmp_path / "calls.jsonl"
    gateway = NexusFlow(config=logged_to(path), transport="offline")

    async def main() -> None:
        for _ in range(20):
            assert (await ask(gateway)).status == 200
        await gateway.aclose()

    threads = [
        threading.Thread(target=anyio.run, args=(main,), kwargs={"backend": backend})
        for backend in ("asyncio", "trio")
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(LIMIT)
    assert len({record.request_id for record in read(path)}) == 40


def test_a_path_that_can_be_written_no_more(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The calls are served all the same; the host's log says what was not written, and where to."""
    path = tmp_path / "calls.jsonl"

    async def main() -> None:
        async with NexusFlow(config=logged_to(path), transport="offline") as gateway:
            path.mkdir()
            assert (await ask(gateway)).status == 200
            assert (await ask(gateway)).status == 200

    anyio.run(main)
    assert str(path) in caplog.text
    assert "not written" in caplog.text


def test_a_path_that_becomes_writable(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A failure is not for ever: the next batch is tried anew."""
    path = tmp_path / "later" / "calls.jsonl"
    log = CallLog(path)
    log.after(a_record("req_lost"))
    log.close()
    assert "1 lines were not written" in caplog.text
    path.parent.mkdir()
    log.after(a_record("req_kept"))
    log.close()
    assert [record.request_id for record in read(path)] == ["req_kept"]


def test_a_disk_that_is_too_slow(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Memory is bounded: beyond the bound lines are dropped and counted, and the log says how many."""
    monkeypatch.setattr("nexusflow_asgi.call_log._MAX_WAITING", 10)
    assert _MAX_WAITING >= 1000
    path = tmp_path / "calls.jsonl"
    log, began, go_on, write = CallLog(path), threading.Event(), threading.Event(), CallLog._write

    def stuck(self: CallLog, lines: list[bytes]) -> None:
        began.set()
        go_on.wait(LIMIT)
        write(self, lines)

    monkeypatch.setattr(CallLog, "_write", stuck)
    log.after(a_record("req_first"))
    assert began.wait(LIMIT)
    for i in range(25):
        log.after(a_record(f"req_{i}"))
    go_on.set()
    log.close()
    assert len(read(path)) == 11
    assert "15 lines dropped" in caplog.text
