"""A progress bar on stderr, for files that take longer than a second to read. Only a terminal shows it."""

import contextlib
import os
import sys
import time
from collections.abc import Iterable

from nexusflow_asgi.cli.log_files import LogFile

__all__ = ["Progress"]

_AFTER, _EVERY = 1.0, 0.1  # seconds
_WIDTH = 30


class Progress:
    """Shows how much of the files was read. `clear` removes the bar before other output."""

    def __init__(self, files: Iterable[LogFile]) -> None:
        self._sizes = {file.name: _size(file) for file in files}
        self._total = sum(self._sizes.values())
        self._done, self._current = 0, ""
        self._began = self._shown_at = time.monotonic()
        self._shows = sys.stderr.isatty()
        self._visible = False

    def begin(self, file: LogFile) -> None:
        """Says that this file is read next."""
        self._done += self._sizes.get(self._current, 0)
        self._current = file.name

    def at(self, position: int) -> None:
        """Shows the bar: `position` bytes of the current file were read."""
        now = time.monotonic()
        if not self._shows or not self._total or now - self._began < _AFTER or now - self._shown_at < _EVERY:
            return
        self._shown_at, self._visible = now, True
        part = min((self._done + position) / self._total, 1.0)
        bar = "#" * int(part * _WIDTH)
        left = (now - self._began) * (1 - part) / part if part else 0
        print(f"\r[{bar:<{_WIDTH}}] {part:4.0%}, {left:.0f} s left ", end="", file=sys.stderr, flush=True)

    def clear(self) -> None:
        """Removes the bar."""
        if self._visible:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)
            self._visible = False


def _size(file: LogFile) -> int:
    with contextlib.suppress(OSError):
        return os.stat(file.name).st_size
    return 0
