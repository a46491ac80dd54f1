"""The durable call log: whoever is killed, whenever, no call that was made is without a line."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyio
import pytest

from nexusflow_asgi import NexusFlow
from nexusflow_asgi.durable_log import DurableCallLog
from nexusflow_asgi.presence import mark_lost
from nexusflow_asgi.transports.offline import OfflineTransport
from nexusflow_core import Config
from nexusflow_core.config import decode_config
from nexusflow_core.logs import Entry, Skipped, read_line
from tests.asgi.asking import LIMIT, OFFLINE, ask
from tests.asgi.serving import run

ROOT = Path(__file__).parents[2]
both_backends = pytest.mark.parametrize("backend", ["asyncio", "trio"])


def durable(path: Path) -> Config:
    config = decode_config(OFFLINE + b'[log]\ncalls = "%s"\ndurable = true\n' % str(path).encode())
    config.resolve({"SIM_KEY": "sk-ant-simulated"})
    return config


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_bytes().split(b"\n") if line] if path.exists() else []


def endings(path: Path) -> list[str]:
    return [line["ending"] for line in lines(path)]


class Looking(OfflineTransport):
    """The simulator; keeps what the log's file held when the upstream was asked."""

    def __init__(self, path: Path) -> None:
        self.path, self.seen = path, list[list[str]]()

    async def send(self, request: Any) -> Any:
        self.seen.append(endings(self.path))
        return await super().send(request)


@both_backends
def test_the_line_is_there_before_the_upstream_is_asked(tmp_path: Path, backend: str) -> None:
    """And one more settles it; both name the same writer, whose sign of life goes with an orderly end."""
    path = tmp_path / "calls.jsonl"
    transport = Looking(path)

    async def main() -> None:
        async with NexusFlow(config=durable(path), transport=transport) as gateway:
            assert (await ask(gateway)).status == 200
            assert (await ask(gateway, body=b"{")).status == 400

    anyio.run(main, backend=backend)
    assert transport.seen == [["started"]]
    started, settled, refused = lines(path)
    assert [it["ending"] for it in (started, settled, refused)] == ["started", "complete", "refused"]
    assert started["request_id"] == settled["request_id"]
    assert started["model"] == "claude-haiku-4-5"
    assert started["process"] == settled["process"]
    assert started["process"]["pid"] == os.getpid()
    assert started["process"].keys() == {"id", "pid"}
    assert list(tmp_path.iterdir()) == [path]


@both_backends
def test_many_at_once_share_their_writes(tmp_path: Path, backend: str) -> None:
    """Two hundred calls under way: each has both lines, once."""
    path = tmp_path / "calls.jsonl"

    async def main() -> None:
        async with NexusFlow(config=durable(path), transport="offline") as gateway:
            async with anyio.create_task_group() as group:
                for _ in range(200):
                    group.start_soon(ask, gateway)

    anyio.run(main, backend=backend)
    counted = Counter(line["request_id"] for line in lines(path))
    assert (len(counted), set(counted.values())) == (200, {2})
    assert Counter(endings(path)) == {"started": 200, "complete": 200}


def test_a_log_that_cannot_be_written_refuses_the_call(tmp_path: Path) -> None:
    """500, no upstream is asked: a durable log with a hole in it would be none."""
    path = tmp_path / "calls.jsonl"
    transport = Looking(path)
    gateway = NexusFlow(config=durable(path), transport=transport)

    async def main() -> None:
        assert (await ask(gateway)).status == 200
        while len(endings(path)) < 2:  # the settled line is nobody's to wait for
            await anyio.sleep(0.001)
        path.unlink()
        path.mkdir()
        refused = await ask(gateway)
        assert (refused.status, refused.error) == (500, "api_error")
        assert len(transport.seen) == 1
        path.rmdir()
        assert (await ask(gateway)).status == 200
        await gateway.aclose()

    anyio.run(main)
    assert endings(path)[-2:] == ["started", "complete"]


FULL = """
import resource, signal, sys, anyio
from pathlib import Path
from nexusflow_asgi import NexusFlow
from tests.asgi.asking import ask
from tests.asgi.test_durable_log import Looking, durable

def room(size):
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))

async def main():
    path = Path(sys.argv[1])
    transport = Looking(path)
    async with NexusFlow(config=durable(path), transport=transport) as gateway:
        assert (await ask(gateway)).status == 200
    room(path.stat().st_size + 100)
    async with NexusFlow(config=durable(path), transport=transport) as gateway:
        assert (await ask(gateway)).status == 500
    assert len(transport.seen) == 1
    room(resource.RLIM_INFINITY)
    async with NexusFlow(config=durable(path), transport="offline") as gateway:
        assert (await ask(gateway)).status == 200

signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
anyio.run(main)
"""


def test_a_full_disk(tmp_path: Path) -> None:
    """What fits in part is no line: the call is refused, and the next line stands on its own."""
    path = tmp_path / "calls.jsonl"
    done = subprocess.run([sys.executable, "-c", FULL, path], cwd=ROOT, timeout=LIMIT, stderr=subprocess.PIPE)
    assert done.returncode == 0, done.stderr.decode()
    first, second, torn, third, fourth, rest = path.read_bytes().split(b"\n")
    whole = [json.loads(line)["ending"] for line in (first, second, third, fourth)]
    assert whole == ["started", "complete", "started", "complete"]
    assert (len(torn), rest) == (100, b"")


# Death

WORKER = """
import sys, anyio
from pathlib import Path
from nexusflow_asgi import NexusFlow
from tests.asgi.asking import BODY, ask
from tests.asgi.test_durable_log import Slow, durable

async def main():
    gateway = NexusFlow(config=durable(Path(sys.argv[1])), transport=Slow(Path(sys.argv[2])))
    async def calls(worker):
        for i in range(int(sys.argv[4])):
            await ask(gateway, body=BODY.replace(b"haiku-4-5", b"%s-%d-%d" % (sys.argv[3].encode(), worker, i)))
    async with anyio.create_task_group() as group:
        for worker in range(20):
            group.start_soon(calls, worker)
    await gateway.aclose()

print("ready", flush=True)
anyio.run(main)
"""


class Slow(OfflineTransport):
    """The simulator, now and then slower; writes down which models it was asked for, at once."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        self._count = 0

    async def send(self, request: Any) -> Any:
        os.write(self._file, json.loads(request.body)["model"].encode() + b"\n")
        self._count += 1
        await anyio.sleep(0.002 * (self._count % 5))
        return await super().send(request)


def wait(true: Callable[[], bool]) -> None:
    end = time.monotonic() + LIMIT
    while not true():
        assert time.monotonic() < end, "it took too long"
        time.sleep(0.001)


def worker(path: Path, asked: Path, name: str, calls: int) -> subprocess.Popen[bytes]:
    """Twenty clients of so many calls each, in a process of its own."""
    return subprocess.Popen([sys.executable, "-c", WORKER, path, asked, name, str(calls)], cwd=ROOT)


def count(path: Path) -> int:
    return path.read_bytes().count(b"\n") if path.exists() else 0


def test_killed_amid_a_thousand_calls(tmp_path: Path) -> None:
    """kill -9: every call that reached the upstream has its line; the next start marks what was under way,
    once, and leaves what a living neighbour has under way alone."""
    path, asked, others = tmp_path / "calls.jsonl", tmp_path / "asked", tmp_path / "others"
    doomed, neighbour = worker(path, asked, "doomed", 100), worker(path, others, "neighbour", 20)
    try:
        wait(lambda: count(others) >= 100)
        os.kill(neighbour.pid, signal.SIGSTOP)
        wait(lambda: count(asked) >= 1000)
        os.kill(doomed.pid, signal.SIGKILL)
        doomed.wait(LIMIT)
        before = lines(path)
        by_id: dict[str, list[str]] = {}
        for line in before:
            by_id.setdefault(line["request_id"], []).append(line["ending"])
        logged = {line["model"] for line in before}
        assert {model for model in asked.read_text().split("\n") if model} <= logged
        NexusFlow(config=durable(path), transport="offline")  # the next start
        NexusFlow(config=durable(path), transport="offline")
        lost = [line for line in lines(path) if line["ending"] == "lost"]
        begun = [line for line in before if by_id[line["request_id"]] == ["started"]]
        unsettled = {line["request_id"]: line["model"] for line in begun}
        dead = {id for id, model in unsettled.items() if "doomed" in model}
        assert len(dead) >= 1
        assert len(dead) < len(unsettled), "the neighbour has some under way, too"
        assert Counter(line["request_id"] for line in lost) == Counter(dead)
        assert {line["process"]["pid"] for line in lost} == {doomed.pid}
    finally:
        os.kill(neighbour.pid, signal.SIGCONT)
        assert neighbour.wait(60) == 0
        doomed.kill()
    counted = Counter(line["ending"] for line in lines(path) if "neighbour" in line["model"])
    assert (counted["lost"], counted["started"]) == (0, 400)
    assert len(list(tmp_path.glob("*.alive"))) == 0
    assert_cost_understands(path)


def assert_cost_understands(path: Path) -> None:
    """Each call is one entry, lost ones without usage; the lines from before it are no complaint."""
    read = [read_line(line) for line in path.read_bytes().split(b"\n") if line]
    entries = [it for it in read if isinstance(it, Entry)]
    assert all(it.expected for it in read if isinstance(it, Skipped))
    assert len(entries) == len({line["request_id"] for line in lines(path)})


def test_a_torn_line_is_not_made_longer(tmp_path: Path) -> None:
    """A power cut leaves half a line: what is marked lost stands on lines of its own."""
    path = tmp_path / "calls.jsonl"
    script = """
import sys, os, anyio
from tests.asgi.asking import BODY
from nexusflow_asgi.durable_log import DurableCallLog
from nexusflow_core.call import Call
from datetime import datetime, UTC
async def main():
    log = DurableCallLog(sys.argv[1])
    for name in "ab":
        call = Call(endpoint="messages", request_id=name, started_at=datetime.now(UTC), body=BODY)
        await log.before(call.look(1000))
    os.kill(os.getpid(), 9)
anyio.run(main)
"""
    subprocess.run([sys.executable, "-c", script, path], cwd=ROOT, timeout=LIMIT)
    data = path.read_bytes()
    path.write_bytes(data[:-30])
    assert mark_lost(path) == 1
    assert mark_lost(path) == 0
    *_, last = path.read_bytes().split(b"\n")[:-1]
    assert (json.loads(last)["request_id"], json.loads(last)["ending"]) == ("a", "lost")


def test_a_line_that_is_no_record(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Of another version, or edited: it is marked lost with all that it says; what cannot even be read is left
    alone and named. Neither keeps the gateway from starting."""
    path = tmp_path / "calls.jsonl"
    line = b'{"request_id":"%s","ending":"started",%s,"process":{"id":"0123456789abcdef","pid":1}}\n'
    odd = line % (b"a", b'"metadata":{"team":7},"new":[1.50]')
    path.write_bytes(odd + line % (b"b", b'"deep":' + b"[" * 50_000 + b"]" * 50_000))
    (tmp_path / "calls.jsonl.0123456789abcdef.alive").write_bytes(b"0")
    NexusFlow(config=durable(path), transport="offline")
    [lost] = [line for line in path.read_bytes().split(b"\n") if b'"lost"' in line]
    assert json.loads(lost) == {**json.loads(odd), "ending": "lost"}
    assert "cannot be read" in caplog.text
    assert list(tmp_path.iterdir()) == [path]


def test_a_log_that_was_rotated_away(tmp_path: Path) -> None:
    """Nothing can be said of lines that are elsewhere, and nothing fails."""
    path = tmp_path / "calls.jsonl"
    (tmp_path / "calls.jsonl.0123456789abcdef.alive").write_bytes(b"99999")
    (tmp_path / "calls.jsonl.fedcba9876543210.alive").write_bytes(b"")
    assert mark_lost(path) == 0
    assert list(tmp_path.iterdir()) == []


ROTATED = """
import os, shutil, sys, time, anyio, gzip
from datetime import datetime, UTC
from tests.asgi.asking import BODY
from nexusflow_asgi.durable_log import DurableCallLog
from nexusflow_core.call import Call
path, way = sys.argv[1:]
log = DurableCallLog(path)
def call(name):
    found = Call(endpoint="messages", request_id=name, started_at=datetime.now(UTC), body=BODY)
    return found.look(1000)
def settle(name):
    from nexusflow_core.exchange import begun
    from msgspec.structs import replace
    log.after(replace(begun(call(name)), ending="complete"))
def rotate():
    if way == "copytruncate":
        shutil.copy(path, path + ".1")
        os.truncate(path, 0)
        return
    to = path.replace(".jsonl", "-20261128.jsonl") if way == "dated" else path + ".1"
    if os.path.exists(path + ".1"):
        os.rename(path + ".1", path + ".2")
    os.rename(path, to)
    if way == "compressed":
        with open(to, "rb") as file, gzip.open(to + ".gz", "wb") as packed:
            packed.write(file.read())
        os.unlink(to)
anyio.run(log.before, call("lost"))
anyio.run(log.before, call("settled"))
rotate()
if way == "twice":
    anyio.run(log.before, call("between"))
    rotate()
settle("settled")
anyio.run(log.before, call("late"))
os.kill(os.getpid(), 9)
"""


@pytest.mark.parametrize("way", ["renamed", "dated", "compressed", "copytruncate", "twice"])
def test_a_log_that_is_rotated_under_way_forgets_no_call(tmp_path: Path, way: str) -> None:
    """The next start finds what was begun in the file that was moved away, and says so in the new one."""
    path = tmp_path / "calls.jsonl"
    (tmp_path / "calls.jsonl.9").write_text("an old one\n")
    os.utime(tmp_path / "calls.jsonl.9", (1, 1))
    died = subprocess.run([sys.executable, "-c", ROTATED, path, way], cwd=ROOT, timeout=LIMIT, check=False)
    assert died.returncode == -signal.SIGKILL
    lost = {"lost", "late", "between"} if way == "twice" else {"lost", "late"}
    assert mark_lost(path) == len(lost)
    assert {line["request_id"] for line in lines(path) if line["ending"] == "lost"} == lost
    assert mark_lost(path) == 0
    assert not list(tmp_path.glob("*.alive"))


def test_a_fork_has_a_sign_of_life_of_its_own(tmp_path: Path) -> None:
    """The parent dies while its child lives on: the parent's call is lost, the child's is not."""
    path = tmp_path / "calls.jsonl"
    script = """
import sys, os, time, anyio, warnings
from datetime import datetime, UTC
from tests.asgi.asking import BODY
from nexusflow_asgi.durable_log import DurableCallLog
from nexusflow_core.call import Call
warnings.simplefilter("ignore", DeprecationWarning)
log = DurableCallLog(sys.argv[1])
async def begin(name):
    call = Call(endpoint="messages", request_id=name, started_at=datetime.now(UTC), body=BODY)
    await log.before(call.look(1000))
anyio.run(begin, "parent")
if os.fork():
    while open(sys.argv[1]).read().count("started") < 2:
        time.sleep(0.01)
    os.kill(os.getpid(), 9)
anyio.run(begin, "child")
print(os.getpid(), flush=True)
time.sleep(60)
"""
    parent = subprocess.Popen([sys.executable, "-c", script, path], cwd=ROOT, stdout=subprocess.PIPE)
    assert parent.stdout is not None
    with parent.stdout:
        child = int(parent.stdout.readline())
        try:
            parent.wait(LIMIT)
            assert mark_lost(path) == 1
            assert [line["request_id"] for line in lines(path) if line["ending"] == "lost"] == ["parent"]
        finally:
            os.kill(child, signal.SIGKILL)


def test_the_command_counts_lost_calls(tmp_path: Path) -> None:
    """`nexusflow cost --strict` takes a durable log for a whole one."""
    path = tmp_path / "calls.jsonl"

    async def main() -> None:
        async with NexusFlow(config=durable(path), transport="offline") as gateway:
            for _ in range(3):
                assert (await ask(gateway)).status == 200

    anyio.run(main)
    done = run("cost", "--strict", "--format", "json", path)
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout)["total"]["calls"] == 3


def test_no_locks_no_durable_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A system without them is told so at the start, not after the first crash."""
    monkeypatch.setattr("nexusflow_asgi.durable_log.supported", lambda: False)
    with pytest.raises(Exception, match=r"log\.durable"):
        DurableCallLog(tmp_path / "calls.jsonl")
