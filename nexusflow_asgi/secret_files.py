"""Reads `file:` secrets again when their files change, so that a rotated key needs no restart."""

import os
import time
from collections.abc import Callable, Iterable
from typing import TypeAlias

import anyio.to_thread

from nexusflow_asgi.hooks import logger
from nexusflow_asgi.settings import read_secret_file
from nexusflow_core.errors import ConfigError
from nexusflow_core.upstream import Secret

__all__ = ["SecretFiles"]

_EVERY_SECONDS = 1.0

_Stamp: TypeAlias = tuple[int, int, int] | None
"""What a file's change changes: its inode, size and time. None: it cannot be read."""


class SecretFiles:
    """The secrets that come from files. Each file is looked at once a second, while calls come in.

    A file that is missing, empty or not a key changes nothing: the last value stays, and the log has an error.
    `changed` runs after a value has changed.
    """

    def __init__(
        self,
        secrets: Iterable[Secret],
        changed: Callable[[], None],
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._secrets = [(secret, secret.path) for secret in secrets if secret.path is not None]
        self._stamps: dict[str, _Stamp] = {path: _stamp(path) for _, path in self._secrets}
        self._changed = changed
        self._clock = clock
        self._next = clock() + _EVERY_SECONDS

    def due(self) -> bool:
        """True if there are files, and the last look is a second old."""
        return bool(self._secrets) and self._clock() >= self._next

    async def refresh(self) -> None:
        """Reads the changed files again. Calls that come meanwhile do not wait for it."""
        self._next = self._clock() + _EVERY_SECONDS
        await anyio.to_thread.run_sync(self._look)

    def _look(self) -> None:
        stamps = {path: _stamp(path) for path in self._stamps}
        changed = {path for path, stamp in stamps.items() if stamp != self._stamps[path]}
        self._stamps = stamps
        renewed = [self._renew(secret, path) for secret, path in self._secrets if path in changed]
        if any(renewed):
            self._changed()

    def _renew(self, secret: Secret, path: str) -> bool:
        try:
            renewed = secret.renew(read_secret_file(path))
        except ConfigError as error:
            logger.error("the key stays as it was: %s", error)
            return False
        except OSError as error:
            logger.error("the key stays as it was: the file %s cannot be read: %s", path, error.strerror)
            return False
        if renewed:
            logger.info("the key in %s was read again", path)
        return renewed


def _stamp(path: str) -> _Stamp:
    try:
        status = os.stat(path)
    except OSError:  # no file now: that differs from every stamp, so it is read when it is back
        return None
    return status.st_ino, status.st_size, status.st_mtime_ns
