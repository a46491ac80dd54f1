"""Admits callers by keys of a KeyStore. A key is looked up once, and again after a few seconds."""

import time
from collections.abc import Callable

import anyio
from msgspec import Struct

from nexusflow_asgi.backend import is_failure
from nexusflow_asgi.hooks import logger
from nexusflow_asgi.stores.key_store import MAX_PARENTS, KeyStore
from nexusflow_core.call import Principal
from nexusflow_core.errors import OverloadedError
from nexusflow_core.keys import Key, key_id

__all__ = ["StoredKeys"]

FRESH_SECONDS = 5.0
"""A key that was found is not looked up again for this long: a revocation counts after these seconds."""

KEPT_SECONDS = 300.0
"""While the store cannot be asked, keys that were found within these seconds still hold."""

DEADLINE_SECONDS = 3.0
"""Seconds for the store to answer."""

MOST = 10_000
"""Keys that are remembered. Only well-formed ones are asked for, so inventing them takes some effort."""


class _Known(Struct):
    """A key and those above it, as they were at a time of the monotonic clock. Empty: there is no such key."""

    family: tuple[Key, ...]
    at: float


class StoredKeys:
    """The keys of a store, for `Admission`."""

    def __init__(
        self,
        store: KeyStore,
        *,
        clock: Callable[[], float] = time.monotonic,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        self._store = store
        self._clock = clock
        self._wall_clock = wall_clock
        self._known: dict[str, _Known] = {}

    async def principal(self, text: bytes) -> Principal | None:
        """Returns the caller of a key, or None if it is unknown, expired or revoked.

        Raises OverloadedError if the store cannot be asked.
        """
        id = key_id(text)
        if id is None:
            return None
        family = await self._family(id)
        if not family or not family[0].matches(text):
            return None
        now = int(self._wall_clock())
        if any(key.state(now) != "active" for key in family):
            return None
        return family[0].principal(family[1:])

    async def _family(self, id: str) -> tuple[Key, ...]:
        """Returns the key and its parents, remembered or looked up."""
        known = self._known.get(id)
        if known is not None and self._clock() - known.at < FRESH_SECONDS:
            return known.family
        try:
            with anyio.fail_after(DEADLINE_SECONDS):
                found = await self._look_up(id)
        except BaseException as error:  # a cancelled future of the store's is its failure; our own end is not
            if not is_failure(error):
                raise
            logger.error("the store of keys cannot be asked: %s", type(error).__name__)
            if known is not None and known.family and self._clock() - known.at < KEPT_SECONDS:
                return known.family
            raise OverloadedError("keys cannot be checked now", headers={"retry-after": "1"}) from None
        if id not in self._known and len(self._known) >= MOST:
            self._known.pop(next(iter(self._known)), None)
        self._known[id] = _Known(found, self._clock())
        return found

    async def _look_up(self, id: str) -> tuple[Key, ...]:
        family: list[Key] = []
        above: str | None = id
        while above is not None and len(family) <= MAX_PARENTS:
            key = await self._store.find(above)
            if key is None:
                return ()
            family.append(key)
            above = key.parent
        return tuple(family)
