"""The `nexusflow` command as a process of its own, on a real port."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

from tests.planted import assert_no_key

LIMIT = 30.0
COMMAND = Path(sys.executable).with_name("nexusflow")
_OURS = re.compile(r"^(ANTHROPIC|NEXUSFLOW|.*_proxy$)", re.IGNORECASE)


def environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """The environment without anything that the command, an SDK or a transport would go by."""
    plain = {name: value for name, value in os.environ.items() if not _OURS.match(name)}
    return {**plain, **(extra or {})}


def run(
    *arguments: str | Path, env: Mapping[str, str] | None = None, cwd: Path | None = None
) -> subprocess.CompletedProcess[str]:
    """Runs a command that ends by itself."""
    return subprocess.run(
        [COMMAND, *arguments], env=environment(env), cwd=cwd, capture_output=True, text=True, timeout=LIMIT
    )


class Serving:
    """A running `nexusflow serve`: what it greeted with, and in the end what it left behind."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.greeting = self._read_greeting()
        self.stdout = self.stderr = ""

    @property
    def url(self) -> str:
        found = re.search(r"on (http://\S+:[0-9]+)$", self.greeting, re.MULTILINE)
        assert found, self.greeting
        return found[1]

    @property
    def port(self) -> int:
        return int(self.url.rpartition(":")[2])

    @property
    def curl(self) -> str:
        [line] = [line for line in self.greeting.splitlines() if line.lstrip().startswith("curl ")]
        return line.strip()

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Its exit status; `stdout` and `stderr` hold all that it wrote after the greeting."""
        self.process.send_signal(number)
        self.stdout, self.stderr = self.process.communicate(timeout=LIMIT)
        assert_no_key(self.greeting + self.stdout + self.stderr, "a server's output")
        return self.process.returncode

    def wait_until_it_listens(self) -> None:
        end = time.monotonic() + LIMIT
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), LIMIT).close()
                return
            except ConnectionRefusedError:
                assert time.monotonic() < end, "it does not listen"
                time.sleep(0.02)

    def wait_until_it_listens_no_more(self) -> None:
        end = time.monotonic() + LIMIT
        with contextlib.suppress(OSError):
            while time.monotonic() < end:
                socket.create_connection(("127.0.0.1", self.port), LIMIT).close()
                time.sleep(0.02)
            raise AssertionError("it still listens")

    def _read_greeting(self) -> str:
        assert self.process.stdout is not None
        lines: list[str] = []
        for line in self.process.stdout:  # ends with the process, if it cannot start
            lines.append(line)
            if line.lstrip().startswith("curl "):
                return "".join(lines)
        raise AssertionError(f"it did not start: {''.join(lines)}{self.process.communicate(timeout=LIMIT)[1]}")


@contextlib.contextmanager
def serving(
    *arguments: str | Path,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    wait: bool = True,
) -> Iterator[Serving]:
    """`nexusflow serve` with these arguments on a free port; leaving ends it."""
    process = subprocess.Popen(
        [COMMAND, "serve", "--port", "0", *arguments],
        env=environment(env),
        cwd=cwd,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        running = Serving(process)
        if wait:
            running.wait_until_it_listens()
        yield running
        if process.returncode is None:
            running.stop()
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()
