"""Entries: the prefixes in a cache, their lifetimes, and the time from which they can be read."""

from collections import OrderedDict
from collections.abc import Iterator
from typing import Final

from msgspec import Struct

from nexusflow_core.caching.prompt import Prompt

__all__ = ["CacheEntry", "Entries", "Pending"]

REMEMBERED: Final = 3600.0
"""Seconds for which an ended entry is remembered, so that a miss can say how late the request was."""

_FIRST_SWEEP = 1024


class CacheEntry(Struct, gc=False):
    """A cached prefix. Times are seconds since 1970. `visible`: when the writer's answer began, from which time
    it can be read."""

    lifetime: float
    expires: float
    visible: float

    def renew(self, at: float) -> None:
        """Starts the lifetime anew, for a request that read the entry and began at this time."""
        self.expires = max(self.expires, at + self.lifetime)


class Pending(Struct, gc=False):
    """An entry whose prefix ends with a server tool's last result. Only the next request shows that prefix.

    `tokens`: its size, if known. `thought`: the answer began with thinking.
    """

    tokens: int | None
    lifetime: float
    expires: float
    visible: float
    thought: bool


class Entries:
    """All live entries, and those that ended recently. Memory grows with the entries, not with the requests.


    Beyond `limit` entries the ones written first are forgotten.
    """

    def __init__(self, limit: int | None = None) -> None:
        self._limit = limit
        self._entries: OrderedDict[bytes, CacheEntry] = OrderedDict()
        self._pending: OrderedDict[bytes, Pending] = OrderedDict()
        self._sweep_at = _FIRST_SWEEP

    def __len__(self) -> int:
        return len(self._entries) + len(self._pending)

    def get(self, prefix: bytes) -> CacheEntry | None:
        """Returns the entry of a prefix, also an ended one that is still remembered, or None."""
        return self._entries.get(prefix)

    def write(self, prefix: bytes, lifetime: float, at: float, visible: float) -> None:
        """Adds an entry for a request that began at `at`. A live entry that it replaces stays readable."""
        known = self._entries.get(prefix)
        expires = at + lifetime
        if known is not None and known.expires > at:
            visible, expires = min(visible, known.visible), max(expires, known.expires)
        self._entries[prefix] = CacheEntry(lifetime, expires, visible)
        if len(self) > self._sweep_at:
            self._sweep(at)
        if self._limit is not None and len(self) > self._limit:
            (self._pending or self._entries).popitem(last=False)

    def drop(self, prefix: bytes) -> None:
        """Forgets an entry that the vendor no longer has, before its lifetime is over."""
        self._entries.pop(prefix, None)

    def add_pending(self, prompt: Prompt, pending: Pending) -> None:
        """Adds what a server tool cached in the answer to this prompt."""
        self._pending[prompt.prefixes[-1]] = pending
        if self._limit is not None and len(self) > self._limit:
            (self._entries or self._pending).popitem(last=False)

    def awaits(self, prompt: Prompt) -> bool:
        """Returns True if this prompt may continue a pending entry."""
        return bool(self._pending) and not self._pending.keys().isdisjoint(prompt.prefixes)

    def resolve_pending(self, prompt: Prompt) -> Iterator[tuple[int, int | None]]:
        """Makes entries of the pending ones that this prompt continues. Yields the block and size of each."""
        if not self._pending:
            return
        for index, prefix in enumerate(prompt.prefixes):
            pending = self._pending.get(prefix)
            if pending is None or (last := _last_result(prompt, index + 1, pending.thought)) is None:
                continue
            del self._pending[prefix]
            self._entries[prompt.prefixes[last]] = CacheEntry(
                pending.lifetime, pending.expires, pending.visible
            )
            yield last, pending.tokens

    def _sweep(self, at: float) -> None:
        """Forgets entries that ended long ago. It runs each time the number of entries has doubled."""
        over = at - REMEMBERED
        for held in (self._entries, self._pending):
            for prefix in [prefix for prefix, entry in held.items() if entry.expires <= over]:
                del held[prefix]
        self._sweep_at = max(_FIRST_SWEEP, 2 * len(self))


def _last_result(prompt: Prompt, start: int, thought: bool) -> int | None:
    """Returns the block of the last server tool result in the answer that begins at `start`, or None.

    None also if the client left out the answer's thinking: then the prefix is another one.
    """
    last, thinks = None, False
    for index in range(start, len(prompt.kinds)):
        if prompt.roles[index] != "assistant":
            break
        kind = prompt.kinds[index]
        thinks = thinks or kind in ("thinking", "redacted_thinking")
        if kind.endswith("_tool_result"):
            last = index
    return last if thinks or not thought else None
