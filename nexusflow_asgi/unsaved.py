"""Unsaved: records that a database did not take before their process ended, in files beside the call log.

Each file has lines of the call log. A process that was killed leaves none, so the durable log makes one of its
lines at the next start.
"""

import contextlib
import os
import secrets
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

import msgspec

from nexusflow_asgi.hooks import logger
from nexusflow_core.record import CallRecord

if sys.platform != "win32":
    from fcntl import LOCK_EX, LOCK_NB, flock

__all__ = ["Unsaved"]

_record = msgspec.json.Decoder(CallRecord)
_UNREADABLE = (msgspec.MsgspecError, ValueError, RecursionError)


class Unsaved:
    """The files of one call log."""

    def __init__(self, log: Path) -> None:
        self._log = log

    def keep(self, lines: Iterable[bytes]) -> None:
        """Writes the lines into a new file, forced to the disk. Raises OSError."""
        path = self._log.with_name(f"{self._log.name}.{secrets.token_hex(8)}.unsaved")
        begun = path.with_suffix(".unsaving")
        with begun.open("wb") as file:
            file.writelines(lines)
            file.flush()
            os.fsync(file.fileno())
        begun.replace(path)

    def batches(self, most: int) -> Iterator[list[CallRecord]]:
        """Yields the records of all files. A file is removed once the batch behind its last one is asked for.

        Files that another process reads are left to it. Raises OSError.
        """
        for path in sorted(self._log.parent.glob("*.unsaved")):
            if path.name.startswith(f"{self._log.name}."):
                yield from self._file(path, most)

    def _file(self, path: Path, most: int) -> Iterator[list[CallRecord]]:
        with contextlib.suppress(FileNotFoundError), path.open("rb") as file:
            if sys.platform != "win32":
                try:
                    flock(file.fileno(), LOCK_EX | LOCK_NB)
                except OSError:  # its process lives, and writes it itself
                    return
            batch: list[CallRecord] = []
            for line in file:
                try:
                    batch.append(_record.decode(line))
                except _UNREADABLE:
                    logger.error("ledger: a line of %s cannot be read: %.200r", path, line)
                if len(batch) >= most:
                    yield batch
                    batch = []
            if batch:
                yield batch
            path.unlink()
