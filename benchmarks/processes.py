"""The processes of a run: each is asked by a line on its stdin and answers with one on its stdout.

None outlives the run: it ends when its stdin does, and by an alarm whatever happens.
"""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

__all__ = ["Process", "announce", "answer_questions", "bound_lifetime"]

_LIFETIME = 240
_ROOT = Path(__file__).parent.parent


class Process(AbstractContextManager["Process"]):
    """A module of ours in a process of its own; `port` is where it listens, 0 for one that does not."""

    def __init__(self, module: str, *arguments: str) -> None:
        # A proxy of the environment would stand between the processes.
        environ = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
        self._name = " ".join((module, *arguments))
        self._process = subprocess.Popen(
            [sys.executable, "-m", module, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=_ROOT,
            env=environ,
        )
        self._port: int | None = None

    @property
    def port(self) -> int:
        if self._port is None:
            self._port = int(self._answer()["port"])
        return self._port

    def ask(self, **question: object) -> dict[str, Any]:
        """Raises RuntimeError where the process has ended."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps(question) + "\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            raise RuntimeError(f"{self._name} has ended") from None
        return self._answer()

    def cpu_ns(self) -> int:
        """CPU time of the process so far, all its threads, user and system."""
        return int(self.ask(question="cpu")["cpu_ns"])

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"{self._name} has ended")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._process as process:
            assert process.stdin is not None
            process.stdin.close()
            try:
                process.wait(5)
            except subprocess.TimeoutExpired:
                process.kill()


def bound_lifetime() -> None:
    """This process ends some minutes from now, however it hangs."""
    signal.alarm(_LIFETIME)


def announce(**answer: object) -> None:
    """One answer to whoever started this process."""
    print(json.dumps(answer), flush=True)


def answer_questions(answer: Callable[[dict[str, Any]], dict[str, object]] | None = None) -> None:
    """Answers from a thread that sleeps between questions; the end of stdin is the end of the process.

    `{"question": "cpu"}` is answered here: no request of the measured app's own is spent on it.
    """

    def run() -> None:
        for line in sys.stdin:
            question = json.loads(line)
            if question.get("question") == "cpu" or answer is None:
                announce(cpu_ns=time.process_time_ns())
            else:
                announce(**answer(question))
        os._exit(0)

    threading.Thread(target=run, name="questions", daemon=True).start()
