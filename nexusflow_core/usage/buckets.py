"""Usage: what one answer used, in buckets that do not overlap, whatever form its vendor gave it in."""

import difflib
from collections.abc import Callable, Mapping
from typing import Any, Final, Literal, TypeAlias, TypeVar

from msgspec import Struct
from msgspec.structs import replace

from nexusflow_core.usage.counts import exact_count

__all__ = ["READERS", "Iteration", "Usage", "Wire", "exact"]

S = TypeVar("S", bound=Struct)

Wire: TypeAlias = Literal[
    "anthropic",
    "anthropic-stream",
    "anthropic-usage-report",
    "anthropic-cost-report",
    "openai-chat",
    "openai-responses",
    "deepseek-chat",
    "bedrock-converse",
    "openrouter",
]
"""Whose form a usage object has. The same names mean opposite things in two of them, so it is never guessed."""


class Iteration(Struct, frozen=True, gc=False):
    """One model call inside an answer that took several: a compaction, an advisor, a fallback, a message."""

    kind: str
    model: str | None = None
    input_tokens: int = 0
    cache_read_tokens: int = 0
    cache_write_5m_tokens: int = 0
    cache_write_1h_tokens: int = 0
    output_tokens: int = 0
    assumed_5m_tokens: int = 0


class Usage(Struct, frozen=True, gc=False):
    """What one answer used, in disjoint buckets: the prompt is the sum of the first four. All counts are
    tokens. `from_wire` checks them; those of one made by hand are checked by `cost`, which takes the integers
    of any library (True is 1) and refuses floats."""

    input_tokens: int = 0
    """Prompt tokens that were neither read from the cache nor written to it."""
    cache_read_tokens: int = 0
    cache_write_5m_tokens: int = 0
    cache_write_1h_tokens: int = 0
    output_tokens: int = 0
    """All output, thinking included."""
    web_searches: int = 0
    service_tier: str | None = None
    speed: str | None = None
    inference_geo: str | None = None
    iterations: tuple[Iteration, ...] = ()
    """Where there are any, they are what is billed; the counts above describe the last of them."""
    reasoning_tokens: int = 0
    """The part of the output that was thought; information only."""
    assumed_5m_tokens: int = 0
    """Cache writes that the vendor gave no lifetime for, counted as 5-minute ones."""
    prompt_above: int | None = None
    """For sums over many requests: the tier that the vendor's report names, by where it begins."""
    reported_femto_usd: int | None = None
    """What the vendor itself says that this cost."""
    flags: tuple[str, ...] = ()
    """What makes the counts less than certain."""
    explicit_cache: bool = False
    """The cache was used by markers, where the vendor prices that apart (Qwen)."""
    thinking: bool = False
    """It thought, though `reasoning_tokens` do not count how much."""
    uncounted_tokens: int = 0
    """What the vendor's total has beyond prompt and output: Gemini's thoughts, or nobody knows what."""

    @staticmethod
    def from_wire(usage: bytes | Mapping[str, Any] | list[Any] | object, wire: Wire) -> "Usage":
        """Reads a vendor's usage object: JSON bytes, decoded already, or an SDK's object.

        `anthropic-stream` takes the usage objects of message_start and each message_delta in a list, or the
        stream's own bytes. Raises InvalidUsage for counts that cannot be, for an object that has none of its
        form's counts, and for members that only another form has; KeyError for a wire that there is not.
        """
        try:
            read = READERS[wire]
        except (KeyError, TypeError):
            raise _NoSuchWire(_no_wire(wire)) from None
        return read(usage)

    @property
    def prompt_tokens(self) -> int:
        """The whole prompt, cached or not."""
        return (
            self.input_tokens + self.cache_read_tokens + self.cache_write_5m_tokens + self.cache_write_1h_tokens
        )


def exact(usage: Any) -> Usage:
    """Returns the usage with every count as Python's own integer, which cannot overflow.

    Raises InvalidUsage for a count that is negative or no integer, TypeError for what is no Usage.
    """
    if not isinstance(usage, Usage):
        kind = type(usage).__name__
        raise TypeError(f"usage: a {kind} is no Usage; read it first: Usage.from_wire(usage, wire='anthropic')")
    counted = _exact(usage, _COUNTS)
    if usage.iterations:
        counted = replace(counted, iterations=tuple(_exact(step, _STEP_COUNTS) for step in usage.iterations))
    optional = {name: value for name in _OPTIONAL if (value := getattr(usage, name)) is not None}
    if any(type(value) is not int for value in optional.values()):
        values = {name: exact_count(value, name, negative=True) for name, value in optional.items()}
        counted = replace(counted, **values)
    return counted


_STEP_COUNTS = (
    "input_tokens",
    "cache_read_tokens",
    "cache_write_5m_tokens",
    "cache_write_1h_tokens",
    "output_tokens",
    "assumed_5m_tokens",
)
_COUNTS = (*_STEP_COUNTS, "web_searches", "reasoning_tokens", "uncounted_tokens")
_OPTIONAL = ("prompt_above", "reported_femto_usd")


def _exact(it: S, names: tuple[str, ...]) -> S:
    changes: dict[str, int] = {}
    for name in names:
        value = getattr(it, name)
        if type(value) is bool:  # Python's own is an integer, and counts as one
            changes[name] = int(value)
        elif type(value) is not int or value < 0:
            changes[name] = exact_count(value, name)
    return replace(it, **changes) if changes else it


class _NoSuchWire(KeyError):
    """A programming error, and so a KeyError, whose text is a sentence."""

    def __str__(self) -> str:
        return str(self.args[0])


def _no_wire(wire: object) -> str:
    close = difflib.get_close_matches(str(wire)[:40].lower(), READERS, n=1, cutoff=0.4)
    hint = f" (did you mean {close[0]!r}?)" if close else ""
    return f"wire: {str(wire)[:40]!r} is no form of usage{hint}; there are {', '.join(READERS)}"


READERS: Final[dict[Wire, Callable[[Any], Usage]]] = {}
"""What reads each form. The readers make Usages and so stand above this module: `wires` enters them here, and
the package imports it, so that the table is full before anyone can ask."""
