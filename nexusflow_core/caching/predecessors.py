"""The earlier request that a request is compared with: of its session, or with the same beginning."""

from collections.abc import Iterator
from hashlib import blake2b
from typing import Final

from nexusflow_core.caching.misses import Trace, parting
from nexusflow_core.caching.prompt import Prompt
from nexusflow_core.caching.rules import Level

__all__ = ["Predecessors"]

MAX_TRACES: Final = 4096
"""Keys remembered; beyond it the oldest are forgotten."""


class Predecessors:
    """The last request by each key that a later one may share with it: hashes alone, and boundedly many."""

    def __init__(self, limit: int = MAX_TRACES) -> None:
        self._limit = limit
        self._traces: dict[bytes, Trace] = {}

    def add(self, prompt: Prompt, session: str | None, scope: str, reach: int, expires: float) -> None:
        """Remembers a request, where it left an entry or its session is named."""
        if reach < 0 and session is None:
            return
        trace = Trace.of(prompt, reach, expires)
        for key in _keys(prompt, session, scope):
            self._traces.pop(key, None)
            if len(self._traces) >= self._limit:
                del self._traces[next(iter(self._traces))]
            self._traces[key] = trace

    def find(self, prompt: Prompt, session: str | None, scope: str, beyond: int) -> Trace | None:
        """Returns the request that this one shares most with, of those whose entries reached beyond a block;
        None where there is none like it."""
        best, longest = None, -1
        for key in _keys(prompt, session, scope):
            trace = self._traces.get(key)
            if trace is None or trace is best or trace.reach <= beyond:
                continue
            parted = parting(prompt, trace)
            shared = len(prompt.prefixes) if parted is None else parted[0]
            if shared > longest:
                best, longest = trace, shared
        return best


def _keys(prompt: Prompt, session: str | None, scope: str) -> Iterator[bytes]:
    """From the most telling to the least."""
    if session is not None:
        yield _key(b"session", scope, session.encode(errors="replace"))
    if prompt.root:
        yield _key(b"root", scope, prompt.root)
    for level in (Level.SYSTEM, Level.TOOLS):
        if own := prompt.own[level]:
            yield _key(level.name.encode(), scope, own)


def _key(kind: bytes, scope: str, what: bytes) -> bytes:
    data = b"%b %b %b" % (kind, scope.encode(errors="replace"), what)
    return blake2b(data, digest_size=16).digest()
