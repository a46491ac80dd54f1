"""Entries: the prefixes that a cache holds, for how long, and from when on they can be read."""

from collections.abc import Iterator
from typing import Final

from msgspec import Struct

from nexusflow_core.caching.prompt import Prompt

__all__ = ["Entries", "Entry", "Pending"]

REMEMBERED: Final = 3600.0
"""Seconds for which an entry is remembered after its end, so that a miss can say by how much it came late."""

_FIRST_SWEEP = 1024


class Entry(Struct, gc=False):
    """A cached prefix. Times are seconds since 1970; `visible` is when the writer's answer began."""

    lifetime: float
    expires: float
    visible: float

    def renew(self, at: float) -> None:
        """A request that read it began at this time."""
        self.expires = max(self.expires, at + self.lifetime)


class Pending(Struct, gc=False):
    """What a server tool left: the prefix up to its last result, which only the next request shows.

    `tokens` is None where the sums of the answer do not tell it.
    """

    tokens: int | None
    lifetime: float
    expires: float
    visible: float
    thought: bool


class Entries:
    """What is live, and for a while what was. Grows with the live entries, not with the requests."""

    def __init__(self) -> None:
        self._entries: dict[bytes, Entry] = {}
        self._pending: dict[bytes, Pending] = {}
        self._sweep_at = _FIRST_SWEEP

    def __len__(self) -> int:
        return len(self._entries) + len(self._pending)

    def get(self, prefix: bytes) -> Entry | None:
        """Returns the entry of a prefix, live or not; None where there never was one, or long ago."""
        return self._entries.get(prefix)

    def write(self, prefix: bytes, lifetime: float, at: float, visible: float) -> None:
        """A request that began at this time wrote the prefix. A live entry keeps being readable."""
        known = self._entries.get(prefix)
        if known is not None and known.expires > at:
            visible = min(visible, known.visible)
        self._entries[prefix] = Entry(lifetime, at + lifetime, visible)
        if len(self) > self._sweep_at:
            self._sweep(at)

    def drop(self, prefix: bytes) -> None:
        """The vendor has it no more, whatever its lifetime was."""
        self._entries.pop(prefix, None)

    def leave(self, prompt: Prompt, pending: Pending) -> None:
        """A server tool ran in the answer to this prompt."""
        self._pending[prompt.prefixes[-1]] = pending

    def adopt(self, prompt: Prompt) -> Iterator[tuple[int, int | None]]:
        """Finds what server tools left for this prompt, makes entries of it, and yields block and tokens."""
        if not self._pending:
            return
        for index, prefix in enumerate(prompt.prefixes):
            pending = self._pending.get(prefix)
            if pending is None or (last := _last_result(prompt, index + 1, pending.thought)) is None:
                continue
            del self._pending[prefix]
            self._entries[prompt.prefixes[last]] = Entry(pending.lifetime, pending.expires, pending.visible)
            yield last, pending.tokens

    def _sweep(self, at: float) -> None:
        """Forgets what ended long ago, whenever there is twice as much as the last time."""
        over = at - REMEMBERED
        self._entries = {prefix: entry for prefix, entry in self._entries.items() if entry.expires > over}
        self._pending = {prefix: it for prefix, it in self._pending.items() if it.expires > over}
        self._sweep_at = max(_FIRST_SWEEP, 2 * len(self))


def _last_result(prompt: Prompt, start: int, thought: bool) -> int | None:
    """The last result of a server tool in the answer that begins at `start`; None where the client left out
    the answer's thinking, since the prefix is another one then."""
    last, thinks = None, False
    for index in range(start, len(prompt.kinds)):
        if prompt.roles[index] != "assistant":
            break
        kind = prompt.kinds[index]
        thinks = thinks or kind in ("thinking", "redacted_thinking")
        if kind.endswith("_tool_result"):
            last = index
    return last if thinks or not thought else None
