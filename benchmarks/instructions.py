"""Instructions of fixed paths, counted by valgrind: a repeatable number that a change can be judged by.

`python -m benchmarks.instructions PATH COUNT` walks one path so often. A path's figure is the difference
between two counts, so that start and imports cancel out. The hash seed is fixed, garbage collection is off.
"""

import gc
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.environments import Missing
from benchmarks.report import Figure, Row, Table
from benchmarks.samples import AGENT_REQUEST, ANSWER, EVENTS, RELAY_CONFIG, SMALL_REQUEST

__all__ = ["PATHS", "run"]

_ROOT = Path(__file__).parent.parent
_FEW, _MANY = 50, 150
_COUNTED = re.compile(r"Collected : (\d+)")
_AT = datetime(2026, 11, 20, 12, tzinfo=UTC)
_USAGE = (
    b'{"input_tokens":2048,"cache_creation_input_tokens":248,'
    b'"cache_read_input_tokens":1800,"output_tokens":503}'
)
_ANSWER_HEADERS = [(b"content-type", b"application/json"), (b"request-id", b"req_011Benchmark")]


def run() -> tuple[str, list[Table]]:
    """Returns the method and the table. Raises Missing without valgrind."""
    valgrind = shutil.which("valgrind")
    if valgrind is None:
        raise Missing("valgrind is not installed")
    rows = []
    for name in PATHS:
        _walked([], name, 1)  # writes byte code, so that no counted process compiles
        walks = _count(valgrind, name, _MANY) - _count(valgrind, name, _FEW)
        each = round(walks / (_MANY - _FEW))
        rows.append(Row(name, [Figure(each, each, each)]))
    method = (
        f"Instructions that callgrind counts for {_MANY} walks less those for {_FEW}, a walk. PYTHONHASHSEED=0,"
        " no garbage collection. The machine's load does not matter; its Python and libraries do."
    )
    return method, [Table("paths inside one process", ["path", "instructions"], rows)]


def _count(valgrind: str, path: str, count: int) -> int:
    """Returns the instructions of a process that walks a path."""
    said = _walked([valgrind, "--tool=callgrind", "--callgrind-out-file=/dev/null"], path, count)
    counted = _COUNTED.search(said)
    if counted is None:
        raise RuntimeError(f"valgrind has counted nothing: {said[-500:]}")
    return int(counted[1])


def _walked(under: list[str], path: str, count: int) -> str:
    """Returns what a process says on stderr that walks a path, by itself or under another program."""
    done = subprocess.run(
        [*under, sys.executable, "-m", "benchmarks.instructions", path, str(count)],
        cwd=_ROOT,
        env={**os.environ, "PYTHONHASHSEED": "0", "PYTHONDONTWRITEBYTECODE": ""},
        capture_output=True,
        text=True,
        timeout=300,
    )
    if done.returncode:
        raise RuntimeError(f"{path} cannot be walked: {done.stderr[-500:]}")
    return done.stderr


def _native_call() -> Callable[[], object]:
    """A relayed call in the core: the request looked at and routed, the answer metered, the record made."""
    from nexusflow_core import Call, Gateway, decode_config

    gateway = Gateway(decode_config(RELAY_CONFIG))

    def walk() -> object:
        call = Call(endpoint="messages", request_id="req_1", started_at=_AT, body=SMALL_REQUEST).look(10**8)
        exchange = gateway.open(call, started=0.0)
        exchange.start(0.0)
        exchange.receive_head(200, _ANSWER_HEADERS, 0.1)
        exchange.receive_data(ANSWER, 0.2)
        exchange.receive_eof(0.2)
        return exchange.record(0.2)

    return walk


def _served_call() -> Callable[[], object]:
    """The same through the app, our server and our client: all of Python, and no socket."""
    from benchmarks.served_call import served_call

    return served_call()


def _translated_delta(api: str) -> Callable[[], Callable[[], object]]:
    """A text delta in the middle of a stream."""

    def make() -> Callable[[], object]:
        from benchmarks.translation import middle_of_a_stream

        receive, chunk = middle_of_a_stream(api)
        return lambda: receive(chunk)

    return make


def _bare_delta(api: str) -> Callable[[], Callable[[], object]]:
    """The same chunk, ten times, since this is so short: decoded and put into a template."""

    def make() -> Callable[[], object]:
        from benchmarks.translation import BARE, middle_of_a_stream

        _, chunk = middle_of_a_stream(api)
        return lambda: BARE[api]([chunk] * 10)

    return make


def _agent_request(name: str) -> Callable[[], Callable[[], object]]:
    """One way to handle the body of an agent's request."""

    def make() -> Callable[[], object]:
        from benchmarks.translation import requests

        return requests(AGENT_REQUEST)[name]

    return make


def _conversation(*, doctor: bool) -> Callable[[], Callable[[], object]]:
    """An agent's relayed calls, one after the other."""

    def make() -> Callable[[], object]:
        from benchmarks.doctor import conversation

        begin = conversation(doctor=doctor)
        return lambda: list(begin())

    return make


def _cost() -> Callable[[], object]:
    from nexusflow_core import Usage, cost

    return lambda: cost(Usage.from_wire(_USAGE, "anthropic"), model="claude-opus-4-7", at=_AT).lines


def _tap() -> Callable[[], object]:
    """A whole stream through the meter, an event a chunk."""
    from nexusflow_core.dialects.anthropic import StreamTap

    def walk() -> None:
        feed = StreamTap().feed
        for event in EVENTS:
            feed(event)

    return walk


PATHS: dict[str, Callable[[], Callable[[], object]]] = {
    "native call": _native_call,
    "native call, served": _served_call,
    "translated delta, openai-chat": _translated_delta("chat"),
    "ten deltas by decode and template": _bare_delta("chat"),
    "translated delta, openai-responses": _translated_delta("responses"),
    "agent request, decode and encode": _agent_request("msgspec decode and encode"),
    "agent request, openai-chat": _agent_request("OpenAIChatDialect.open"),
    "agent request, openai-responses": _agent_request("OpenAIResponsesDialect.open"),
    "agent conversation, relayed": _conversation(doctor=False),
    "agent conversation, relayed, doctor": _conversation(doctor=True),
    "cost": _cost,
    f"tap, {len(EVENTS)} events": _tap,
}
"""Each makes what it needs, and returns the function of one walk."""


def _walk(path: str, count: int) -> None:
    walk = PATHS[path]()
    gc.disable()
    for _ in range(count):
        walk()


if __name__ == "__main__":
    _walk(sys.argv[1], int(sys.argv[2]))
