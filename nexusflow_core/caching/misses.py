"""Misses: why a prefix that was sent before was not read from the cache, as a word, a place and a sentence."""

import re
from enum import Enum

from msgspec import Struct

from nexusflow_core.caching.prompt import HASH_BYTES, HIDDEN, Prompt
from nexusflow_core.caching.rules import Level

__all__ = ["Miss", "Reason", "Trace", "divergence"]


class Reason(Enum):
    """Why a request did not read a prefix from the cache."""

    COLD = "cold"
    EXPIRED = "expired"
    BELOW_MINIMUM = "below_minimum"
    LOOKBACK = "lookback"
    TOOLS_CHANGED = "tools_changed"
    SYSTEM_CHANGED = "system_changed"
    PARAMETERS_CHANGED = "parameters_changed"
    MESSAGE_CHANGED = "message_changed"
    MODEL_CHANGED = "model_changed"
    NOT_YET_VISIBLE = "not_yet_visible"
    UNEXPLAINED = "unexplained"


_REASONS = {reason.value: reason for reason in Reason}
_NUMBER = re.compile(r"\d{1,12}(?:\.\d{1,3})?")


class Miss(Struct, frozen=True):
    """A reason with its details: the block's path, the changed parameters, the seconds that the request was too
    late, or the tokens or positions that were missing."""

    reason: Reason
    path: str | None = None
    parameters: tuple[str, ...] = ()
    seconds: float | None = None
    tokens: int | None = None
    positions: int | None = None

    def __str__(self) -> str:
        """Returns the reason and its detail as one line: `system_changed system[1]`."""
        details = {
            Reason.EXPIRED: f"{self.seconds or 0:.0f}s",
            Reason.BELOW_MINIMUM: f"{self.tokens or 0} tokens",
            Reason.LOOKBACK: f"{self.positions or 0} positions",
            Reason.PARAMETERS_CHANGED: ",".join(self.parameters),
            Reason.NOT_YET_VISIBLE: f"{self.seconds or 0:.1f}s",
        }
        detail = details.get(self.reason, self.path or "")
        return f"{self.reason.value} {detail}".rstrip()

    @classmethod
    def from_words(cls, words: str) -> "Miss | None":
        """Returns the miss of such a string; None for another one."""
        word, _, detail = words.partition(" ")
        if word not in _REASONS:
            return None
        reason = _REASONS[word]
        if reason is Reason.PARAMETERS_CHANGED:
            return cls(reason, parameters=tuple(filter(None, detail.split(","))))
        number = _NUMBER.match(detail)
        if number is None:
            return cls(reason, detail or None)
        late = reason in (Reason.EXPIRED, Reason.NOT_YET_VISIBLE)
        return cls(
            reason,
            seconds=float(number[0]) if late else None,
            tokens=int(float(number[0])) if reason is Reason.BELOW_MINIMUM else None,
            positions=int(float(number[0])) if reason is Reason.LOOKBACK else None,
        )

    def sentence(self) -> str:
        """Returns a sentence for a reader who does not know the word."""
        where, late = f" at {self.path}" if self.path else "", _duration(self.seconds or 0.0)
        names = ", ".join(self.parameters)
        return {
            Reason.COLD: "Nothing like it was sent before, so there was nothing to read.",
            Reason.EXPIRED: f"The entry had ended {late} before the request came.",
            Reason.BELOW_MINIMUM: f"The prefix is {self.tokens or 0:,} tokens short of the model's minimum.",
            Reason.LOOKBACK: f"The last entry lies {self.positions or 0} positions beyond the lookback.",
            Reason.TOOLS_CHANGED: f"The tools changed{where}: everything after it was new.",
            Reason.SYSTEM_CHANGED: f"The system prompt changed{where}: everything after it was new.",
            Reason.PARAMETERS_CHANGED: f"These parameters changed: {names}.",
            Reason.MESSAGE_CHANGED: f"The conversation changed{where}: everything after it was new.",
            Reason.MODEL_CHANGED: "Another model was asked before; each model has a cache of its own.",
            Reason.UNEXPLAINED: "The counts show that it happened; only the requests would show why.",
            Reason.NOT_YET_VISIBLE: f"The answer that writes the entry began {late} after this request.",
        }[self.reason]


class Trace(Struct, frozen=True, gc=False):
    """What is remembered of an earlier request: hashes of its blocks, and its last entry."""

    model: str
    parameters: dict[str, bytes]
    own: tuple[bytes, bytes, bytes]
    starts: tuple[int, int, int]
    reach: int
    """The block at which its last entry ends."""
    expires: float

    @classmethod
    def of(cls, prompt: Prompt, reach: int, expires: float) -> "Trace":
        """Returns the trace of a prompt."""
        return cls(prompt.model, prompt.parameters, prompt.own, prompt.starts, reach, expires)


def divergence(prompt: Prompt, before: Trace) -> tuple[int, Miss] | None:
    """Returns the first block that differs from an earlier request, and the reason.

    None if the request only continues the earlier one.
    """
    if prompt.model != before.model:
        return 0, Miss(Reason.MODEL_CHANGED)
    for level in Level:
        if changed := _changed(prompt, before, level):
            return prompt.starts[level], Miss(Reason.PARAMETERS_CHANGED, parameters=changed)
        index = _first_difference(prompt.own[level], before.own[level])
        if index is None:
            continue
        if level is Level.MESSAGES and index == len(before.own[level]) // HASH_BYTES:
            return None
        block = _block_of(prompt, level, index)
        return block, Miss(_CHANGED[level], _path(prompt, level, block))
    return None


_CHANGED = {
    Level.TOOLS: Reason.TOOLS_CHANGED,
    Level.SYSTEM: Reason.SYSTEM_CHANGED,
    Level.MESSAGES: Reason.MESSAGE_CHANGED,
}


def _changed(prompt: Prompt, before: Trace, level: Level) -> tuple[str, ...]:
    if prompt.parameters == before.parameters:
        return ()
    own = (row.parameter for row in prompt.rules.invalidations if row.level is level)
    return tuple(name for name in own if prompt.parameters.get(name) != before.parameters.get(name))


def _first_difference(ours: bytes, theirs: bytes) -> int | None:
    """Returns the first block that differs or that only one side has. Bisects: equal bytes compare fast."""
    if ours == theirs:
        return None
    low, high = 0, min(len(ours), len(theirs)) // HASH_BYTES
    while low < high:
        middle = (low + high + 1) // 2
        if ours[: middle * HASH_BYTES] == theirs[: middle * HASH_BYTES]:
            low = middle
        else:
            high = middle - 1
    return low


def _block_of(prompt: Prompt, level: Level, index: int) -> int:
    """Returns the block with this number among the level's blocks that are not hidden."""
    start = prompt.starts[level]
    end = len(prompt.kinds) if level is Level.MESSAGES else prompt.starts[level + 1]
    if level is Level.MESSAGES or HIDDEN not in prompt.kinds[start:end]:
        return start + index
    visible = [at for at in range(start, end) if prompt.kinds[at] != HIDDEN]
    return visible[index] if index < len(visible) else end


def _path(prompt: Prompt, level: Level, block: int) -> str:
    """Returns the path of a block, or the place of one that was removed."""
    if level is not Level.MESSAGES:
        return f"{level.name.lower()}[{block - prompt.starts[level]}]"
    if not prompt.messages:
        return "messages"
    return prompt.path(max(0, min(block, len(prompt.prefixes) - 1)))


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.3g} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"
