"""The durable call log: one line on the disk before an upstream is called, another with the result."""

import os
import time
from collections.abc import Callable
from pathlib import Path

import anyio

from nexusflow_asgi.backend import post_to_loop
from nexusflow_asgi.call_log import CallLog, why_unwritable
from nexusflow_asgi.hooks import logger
from nexusflow_asgi.presence import Presence, mark_lost, sign_of_life, stamped, supported
from nexusflow_asgi.unsaved import Unsaved
from nexusflow_core.call import Call
from nexusflow_core.config import Config
from nexusflow_core.errors import ConfigError, InternalError
from nexusflow_core.exchange import begun
from nexusflow_core.record import CallRecord
from nexusflow_core.toml import printable

__all__ = ["DurableCallLog", "check_log", "configured_log"]


class DurableCallLog(CallLog):
    """A CallLog in which every call to an upstream has a line, even if the process dies.

    At the next start, calls without a result are marked `lost`. A call that cannot be logged is refused with
    500. `ledger`: the calls of dead processes are kept for a ledger too. Raises ConfigError on a system without
    file locks.
    """

    batch_seconds = 0.0  # waiting calls share one write with all that came during the previous write

    _presence: Presence | None

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        clock: Callable[[], float] = time.monotonic,
        ledger: bool = False,
    ) -> None:
        if not supported():
            raise ConfigError("log.durable", "this system has no file locks: set it to false")
        super().__init__(path, clock=clock)
        try:
            lost = mark_lost(self._path, Unsaved(self._path) if ledger else None)
        except OSError:
            logger.exception("call log %s: could not look for calls of dead processes", self._path)
        else:
            if lost:
                logger.warning("call log %s: %d calls were lost with their process", self._path, lost)

    @staticmethod
    def why_unwritable(path: str | os.PathLike[str]) -> str | None:
        log = Path(path)
        if (why := why_unwritable(log)) is not None or not log.name:
            return why
        if (why := why_unwritable(sign_of_life(log, "0" * 16))) is not None:
            return f"needs a file of its process beside it, which {why}"
        return None

    async def before(self, call: Call) -> None:
        """Returns once the call's first line is on the disk. Raises InternalError if that fails."""
        self._notice_fork()
        record = begun(call)
        written, done, post = False, anyio.Event(), post_to_loop()

        def tell(success: bool) -> None:
            nonlocal written
            written = success
            post(done.set)

        with self._lock:
            line = self._encode(record)
            self._open.add(record.request_id)
        self._put(line, tell)
        await done.wait()
        if not written:
            raise InternalError("the call could not be logged")

    def after(self, record: CallRecord) -> None:
        self._notice_fork()
        with self._lock:
            line = self._encode(record)
        self._put(line)
        self._open.discard(record.request_id)

    def close(self) -> None:
        super().close()
        with self._lock:
            presence = self._presence
            if presence is not None and not self._open:
                self._presence = None
                presence.end()

    def _begin(self) -> None:
        super()._begin()
        if (presence := getattr(self, "_presence", None)) is not None:
            presence.leave_to_parent()
        self._presence = None
        self._open: set[str] = set()

    def _encode(self, record: CallRecord) -> bytes:
        """Returns the line. Call it with the lock held: both lines of a call must name one writer."""
        if self._presence is None:
            self._presence = Presence(self._path)
        return stamped(record, self._presence.process)


def check_log(config: Config) -> None:
    """Raises ConfigError if the call log cannot be written: calls must not go unrecorded."""
    if config.call_log and (why := _kind(config).why_unwritable(config.call_log)) is not None:
        raise ConfigError("log.calls", f"{printable(config.call_log)} {why}")


def configured_log(config: Config) -> CallLog | None:
    """Returns the configured call log, or None. Raises ConfigError."""
    check_log(config)
    if config.call_log is None:
        return None
    if config.durable:
        return DurableCallLog(config.call_log, ledger=config.ledger is not None)
    return CallLog(config.call_log)


def _kind(config: Config) -> type[CallLog]:
    return DurableCallLog if config.durable else CallLog
