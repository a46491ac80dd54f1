"""Finds the earlier request to compare a request with: of the same session, or with the same beginning."""

from collections import OrderedDict
from collections.abc import Iterator
from typing import Final, TypeAlias

from nexusflow_core.caching.misses import Miss, Trace, divergence
from nexusflow_core.caching.prompt import Prompt
from nexusflow_core.caching.rules import Level

__all__ = ["Predecessors"]

_Key: TypeAlias = tuple[str, str, str | bytes | int]
"""A kind of key, the scope, and a session or a hash."""

MAX_TRACES: Final = 4096
"""Bound on the remembered keys. Beyond it the oldest are forgotten."""


class Predecessors:
    """The last request for each key: a session, a first message, a system prompt, or a set of tools.

    It stores only hashes, a bounded number of them.
    """

    def __init__(self, limit: int = MAX_TRACES) -> None:
        self._limit = limit
        self._traces: OrderedDict[_Key, Trace] = OrderedDict()

    def add(self, prompt: Prompt, session: str | None, scope: str, reach: int, expires: float) -> None:
        """Remembers a request if it left a cache entry (`reach` is its block) or its session is known."""
        if reach < 0 and session is None:
            return
        trace = Trace.of(prompt, reach, expires)
        for key in _keys(prompt, session, scope):
            self._traces[key] = trace
            self._traces.move_to_end(key)
            if len(self._traces) > self._limit:
                self._traces.popitem(last=False)

    def find(
        self, prompt: Prompt, session: str | None, scope: str, beyond: int
    ) -> tuple[Trace | None, tuple[int, Miss] | None]:
        """Returns the earlier request with the longest common beginning, and where they part; None, None.

        Only requests with an entry beyond the block `beyond` count, and none that part before it: they have
        less in common with this one than what it reads.
        """
        best, parting, longest = None, None, beyond
        for key in _keys(prompt, session, scope):
            trace = self._traces.get(key)
            if trace is None or trace is best or trace.reach <= beyond:
                continue
            found = divergence(prompt, trace)
            shared = len(prompt.prefixes) if found is None else found[0]
            if shared > longest:
                best, parting, longest = trace, found, shared
        return best, parting


def _keys(prompt: Prompt, session: str | None, scope: str) -> Iterator[_Key]:
    """Yields the keys of a request, the most specific first."""
    if session is not None:
        yield "session", scope, session
    if prompt.root:
        yield "root", scope, prompt.root
    for level in (Level.SYSTEM, Level.TOOLS):
        if own := prompt.own[level]:
            yield level.name, scope, hash(own)
