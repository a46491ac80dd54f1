"""A process of a run: pinned to a core, measured through /proc, and gone when the run is."""

import json
import os
import resource
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from pathlib import Path
from typing import IO, Any

__all__ = ["Process", "cores"]

_LIFETIME = 1200
"""Seconds. An alarm survives `exec`, so that a killed run leaves nothing behind for longer."""

_ROOT = Path(__file__).parents[2]


def cores() -> tuple[int, int]:
    """Returns the core of the gateways, and that of upstream and load: the same one if there is no other."""
    usable = sorted(os.sched_getaffinity(0))
    return usable[0], usable[-1]


class Process(AbstractContextManager["Process"]):
    """A command on one core, with everything that it starts. Its output goes to a log file.

    With `asked`, a line of JSON on its stdin is a question, and one on its stdout the answer.
    """

    def __init__(
        self,
        command: Sequence[str | Path],
        core: int,
        log: Path,
        environ: Mapping[str, str] | None = None,
        asked: bool = False,
    ) -> None:
        self._log = log
        with log.open("wb") as output:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE if asked else subprocess.DEVNULL,
                stdout=subprocess.PIPE if asked else output,
                stderr=output,
                cwd=_ROOT,
                env=_environ() | dict(environ or {}),
                start_new_session=True,
                preexec_fn=lambda: _begin(core),
            )

    def __exit__(self, *exception: object) -> None:
        for number, seconds in ((signal.SIGTERM, 5), (signal.SIGKILL, 5)):
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, number)
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(seconds)
                break
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()

    @property
    def ended(self) -> bool:
        return self._process.poll() is not None

    def last_words(self) -> str:
        """Returns the last line of its log, shortened."""
        lines = [line for line in self._log.read_text(errors="replace").splitlines() if line.strip()]
        return lines[-1].strip()[:200] if lines else "it wrote nothing"

    def ask(self, **question: object) -> dict[str, Any]:
        """Raises RuntimeError if the process has ended."""
        stdin: IO[bytes] | None = self._process.stdin
        stdout: IO[bytes] | None = self._process.stdout
        assert stdin is not None
        assert stdout is not None
        with suppress(BrokenPipeError):
            stdin.write(json.dumps(question).encode() + b"\n")
            stdin.flush()
        line = stdout.readline()
        if not line:
            raise RuntimeError(f"{self._process.args!r} has ended: {self.last_words()}")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def cpu_ns(self) -> int:
        """Returns the CPU time so far of the living processes of the tree, user and system."""
        total = 0
        for pid in self._tree():
            with suppress(OSError):
                total += time.clock_gettime_ns(_cpu_clock(pid))
        return total

    def reset_peak(self) -> None:
        """Begins anew with the peak of memory."""
        for pid in self._tree():
            with suppress(OSError):
                Path(f"/proc/{pid}/clear_refs").write_text("5")

    def peak_mb(self) -> float:
        """Returns the peak of resident memory since the last reset, summed over the process tree."""
        total = 0
        for pid in self._tree():
            with suppress(OSError):
                status = Path(f"/proc/{pid}/status").read_text()
                total += int(status.partition("VmHWM:")[2].split()[0])
        return total / 1024

    def _tree(self) -> Iterator[int]:
        found = [self._process.pid]
        while found:
            pid = found.pop()
            yield pid
            for task in Path(f"/proc/{pid}/task").glob("*"):
                with suppress(OSError):
                    found += map(int, (task / "children").read_text().split())


def _cpu_clock(pid: int) -> int:
    """Returns the number of a process's CPU clock, as `clock_getcpuclockid` makes it. /proc counts in 10 ms."""
    return ~pid << 3 | 2


def _begin(core: int) -> None:
    os.sched_setaffinity(0, {core})
    signal.alarm(_LIFETIME)
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(most, 65536), most))


def _environ() -> dict[str, str]:
    """Returns the environment without a proxy, which would stand between the processes. Byte code is cached."""
    return {
        name: value
        for name, value in os.environ.items()
        if not name.lower().endswith("_proxy") and name != "PYTHONDONTWRITEBYTECODE"
    }
