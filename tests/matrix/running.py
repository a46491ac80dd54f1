"""A host's example on a real server, in a process and a folder of its own, before a scripted upstream."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.matrix.cells import Server
from tests.matrix.environments import ROOT, Environment, plain_environ
from tests.servers import LIMIT, Headers, RawClient, ScriptedUpstream, request

KEY = "nxf-matrix"
HEADERS = [(b"content-type", b"application/json"), (b"x-api-key", KEY.encode())]
CONFIG = """\
[upstreams.anthropic]
dialect  = "anthropic"
base_url = "{url}"
api_key  = "env:ANTHROPIC_API_KEY"

[[routes]]
model   = "claude-*"
targets = ["anthropic"]

[auth]
keys = ["env:NEXUSFLOW_KEY"]

[log]
calls = "calls.jsonl"
"""


class Hosting:
    """A running server: its port, its upstream, and the records that it has written."""

    def __init__(
        self, process: subprocess.Popen[bytes], port: int, folder: Path, upstream: ScriptedUpstream
    ) -> None:
        self.process, self.port, self.folder, self.upstream = process, port, folder, upstream
        self._taken = 0

    def client(self) -> RawClient:
        return RawClient(self.port)

    def records(self) -> list[dict[str, Any]]:
        """The lines of the call log so far."""
        try:
            text = (self.folder / "calls.jsonl").read_text()
        except FileNotFoundError:
            return []
        return [json.loads(line) for line in text.splitlines(keepends=True) if line.endswith("\n")]

    def next_record(self) -> dict[str, Any]:
        """The record of the next call: each call's is to be asked for."""
        assert self.until(lambda: len(self.records()) > self._taken), f"no record\n{self.output()}"
        self._taken += 1
        return self.records()[self._taken - 1]

    def until(self, true: Callable[[], bool], limit: float = LIMIT) -> bool:
        end = time.monotonic() + limit
        while not (done := true()) and time.monotonic() < end:
            time.sleep(0.02)
        return done

    def stop(self) -> None:
        """SIGTERM, and the end of the process."""
        self.process.terminate()
        self.process.wait(LIMIT)

    def get(self, path: str, headers: Headers = ()) -> tuple[int, bytes]:
        """Status and body of a page of the host's."""
        with self.client() as client:
            client.send(request(path, headers, b"", method="GET"))
            return client.head().status, client.rest()

    def listens(self) -> bool:
        try:
            socket.create_connection(("127.0.0.1", self.port), 1).close()
        except OSError:
            return False
        return True

    def output(self) -> str:
        return (self.folder / "output.txt").read_text(errors="replace")


@contextlib.contextmanager
def hosting(
    environment: Environment,
    server: Server,
    app: str,
    *,
    extra: Sequence[str] = (),
    environ: Mapping[str, str] | None = None,
    config: str = CONFIG,
    modules: Sequence[str] = ("tests/hosts",),
) -> Iterator[Hosting]:
    """The app on the server; leaving ends both it and the upstream, and forgets the folder."""
    with (
        ScriptedUpstream(lambda received: ()) as upstream,
        tempfile.TemporaryDirectory(prefix="nexusflow-") as name,
    ):
        folder = Path(name)
        (folder / "nexusflow.toml").write_text(config.format(url=upstream.url))
        port = _free_port()
        line = server.line(app, port, extra)
        with (folder / "output.txt").open("wb") as output:
            process = subprocess.Popen(
                [environment.command(line[0]), *line[1:]],
                cwd=folder,
                env=_environ(modules, environ or {}),
                stdout=output,
                stderr=output,
                stdin=subprocess.DEVNULL,
                start_new_session=True,  # a group of its own, with its workers
            )
        try:
            running = Hosting(process, port, folder, upstream)
            running.until(lambda: process.poll() is not None or running.listens())
            assert running.listens(), f"{line} did not start:\n{running.output()}"
            yield running
        finally:
            process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(3)
            with contextlib.suppress(ProcessLookupError):  # whoever is left of it
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _environ(modules: Sequence[str], extra: Mapping[str, str]) -> dict[str, str]:
    path = ":".join([str(ROOT), *(str(ROOT / module) for module in modules)])
    keys = {"ANTHROPIC_API_KEY": "sk-ant-upstream", "NEXUSFLOW_KEY": KEY, "PYTHONPATH": path}
    return plain_environ({**keys, **extra})


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])
