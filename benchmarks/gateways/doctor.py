"""What the cache doctor costs a whole worker: an agent's conversations over sockets, with and without it."""

import socket
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from benchmarks.doctor import BODIES, TURNS, answer
from benchmarks.gateways.comparison import free_port, listens
from benchmarks.gateways.process import Process, cores
from benchmarks.report import Figure, Row, Table, ratios
from benchmarks.samples import GATEWAY_KEY, UPSTREAM_KEY

__all__ = ["workers"]

_DOCTOR = "[cache]\ndoctor = true\n"
_CONFIG = """
[upstreams.claude]
dialect = "anthropic"
base_url = "http://127.0.0.1:{port}"
api_key = "env:UPSTREAM_KEY"

[[routes]]
model = "claude-*"
targets = ["claude"]

[auth]
keys = ["env:NEXUSFLOW_KEY"]
"""
_ANSWER = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
_END = b"0\r\n\r\n"
_PIECE = 1 << 20
_REST = 0.2
"""Seconds in which a worker ends what follows an answer."""


class _Worker:
    """A `nexusflow serve` between a client and an upstream that are both sockets of this process."""

    def __init__(self, stack: ExitStack, folder: Path, name: str, extra: str) -> None:
        self._stack = stack
        self._listener = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        self._upstream: socket.socket | None = None
        config, port = folder / f"{name}.toml", free_port()
        config.write_text(_CONFIG.format(port=self._listener.getsockname()[1]) + extra)
        command = [sys.executable, "-m", "nexusflow_asgi.cli", "serve", "--config", config, "--port", str(port)]
        keys = {"NEXUSFLOW_KEY": GATEWAY_KEY, "UPSTREAM_KEY": UPSTREAM_KEY}
        self.process = stack.enter_context(Process(command, cores()[0], folder / f"{name}.log", keys))
        if not listens(self.process, port, 60):
            raise RuntimeError(f"nexusflow serve has not started: {self.process.last_words()}")
        self._client = stack.enter_context(socket.create_connection(("127.0.0.1", port)))

    def call(self, body: bytes, events: Sequence[bytes], session: str, *, apart: bool) -> None:
        """Makes a call.

        `apart`: the upstream sends an event once the client has the one before, as they come from a model.
        """
        lines = (
            "POST /v1/messages HTTP/1.1\r\nhost: x",
            f"x-api-key: {GATEWAY_KEY}",
            f"x-claude-code-session-id: {session}",
            "content-type: application/json",
            f"content-length: {len(body)}\r\n\r\n",
        )
        self._client.sendall("\r\n".join(lines).encode() + body)
        upstream = self._upstream
        if upstream is None:
            upstream = self._upstream = self._stack.enter_context(self._listener.accept()[0])
            upstream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        asked = b""
        while len(asked.partition(b"\r\n\r\n")[2]) < len(body):
            asked += upstream.recv(_PIECE)
        chunks = [b"%x\r\n%s\r\n" % (len(event), event) for event in events]
        if apart:
            upstream.sendall(_ANSWER)
            for chunk, event in zip(chunks, events, strict=True):
                upstream.sendall(chunk)
                self._hear(event)
        else:
            upstream.sendall(_ANSWER + b"".join(chunks))
        upstream.sendall(_END)
        self._hear(_END)

    def _hear(self, last: bytes) -> None:
        """Reads until these bytes have come, perhaps with the end of their chunk."""
        heard = b""
        while last not in heard[-len(last) - len(_END) :]:
            piece = self._client.recv(_PIECE)
            if not piece:
                raise RuntimeError(f"nexusflow serve has hung up: {self.process.last_words()}")
            heard += piece


def workers(rounds: int) -> list[Table]:
    """Returns a table for events in one write, and one for events that come one by one."""
    tables: list[Table] = []
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        names = {"without the doctor": "", "[cache] doctor = true": _DOCTOR}
        both = [_Worker(stack, folder, str(at), extra) for at, extra in enumerate(names.values())]
        for apart, how in ((False, "its events in one write"), (True, "an event at a time")):
            samples = _samples(both, rounds, apart=apart)
            rows = [
                Row(name, [ratios(times, samples[0]), Figure.of(times, 1e-3)])
                for name, times in zip(names, samples, strict=True)
            ]
            title = f"a worker of `nexusflow serve`: call of an agent's conversation, {how}"
            tables.append(Table(title, ["", "ratio", "us CPU/call"], rows))
    return tables


def _samples(both: Sequence[_Worker], rounds: int, *, apart: bool) -> list[list[float]]:
    """Returns nanoseconds a call, by worker and round. A round is a conversation of its own, less its first
    call. One more goes before the rounds: it warms up."""
    samples: list[list[float]] = [[] for _ in both]
    for number in range(rounds + 1):
        session = f"00000000-0000-4000-8000-{2 * number + apart:012}"
        opening = b'"messages":[{"role":"user","content":"%s"},' % session.encode()
        begun = [0] * len(both)
        for turn, body in enumerate(BODIES):
            own = body.replace(b'"messages":[', opening, 1)  # no conversation has the beginning of another
            for at in sorted(range(len(both)), reverse=(number + turn) % 2 == 1):
                both[at].call(own, answer(turn), session, apart=apart)
            if not turn:
                begun = _spent(both)
        if number:
            for times, before, after in zip(samples, begun, _spent(both), strict=True):
                times.append((after - before) / (TURNS - 1))
    return samples


def _spent(both: Sequence[_Worker]) -> list[int]:
    """Returns the CPU time of each worker so far, once its records are written."""
    time.sleep(_REST)
    return [worker.process.cpu_ns() for worker in both]
