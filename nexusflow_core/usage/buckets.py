"""Usage: the tokens of one answer in buckets that do not overlap, independent of the vendor's form."""

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
"""The form of a usage object. Two forms give the same name opposite meanings, so it is never guessed."""


class Iteration(Struct, frozen=True, gc=False):
    """One model call inside an answer that took several: compaction, advisor, fallback or message."""

    kind: str
    model: str | None = None
    input_tokens: int = 0
    cache_read_tokens: int = 0
    cache_write_5m_tokens: int = 0
    cache_write_1h_tokens: int = 0
    output_tokens: int = 0
    assumed_5m_tokens: int = 0


class Usage(Struct, frozen=True, gc=False):
    """The tokens of one answer in disjoint buckets. The first four add up to the prompt.

    `from_wire` checks all counts. `cost` checks those of a Usage built by hand: it accepts the integers of any
    library (True counts as 1) and refuses floats.
    """

    input_tokens: int = 0
    """Prompt tokens neither read from the cache nor written to it."""
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
    """If present, these are billed, and the counts above describe only the last of them."""
    reasoning_tokens: int = 0
    """The part of `output_tokens` that is reasoning. For information only."""
    assumed_5m_tokens: int = 0
    """Cache writes for which the vendor reported no lifetime. They are counted as 5-minute writes."""
    prompt_above: int | None = None
    """For a sum over many requests: the lower bound, in prompt tokens, of the tier in the vendor's report."""
    reported_femto_usd: int | None = None
    """The vendor's own charge, in femto-dollars."""
    flags: tuple[str, ...] = ()
    """Reasons why the counts are not certain."""
    explicit_cache: bool = False
    """The cache was requested by markers. Qwen prices that differently."""
    thinking: bool = False
    """The answer contains reasoning, although `reasoning_tokens` does not count it."""
    uncounted_tokens: int = 0
    """Tokens in the vendor's total beyond prompt and output: Gemini's reasoning, or an unknown cause."""

    @staticmethod
    def from_wire(usage: bytes | Mapping[str, Any] | list[Any] | object, wire: Wire) -> "Usage":
        """Returns the Usage of a vendor's usage object: JSON bytes, a mapping, or an SDK's object.

        `anthropic-stream` takes the stream's bytes, or a list of the usage objects of its events.
        Raises InvalidUsageError for impossible counts, for an object without any count of its form, and for
        members that only another form has. Raises KeyError for an unknown wire.
        """
        try:
            read = READERS[wire]
        except (KeyError, TypeError):
            raise _NoSuchWireError(_no_wire(wire)) from None
        return read(usage)

    @property
    def prompt_tokens(self) -> int:
        """The whole prompt in tokens, cached or not."""
        return (
            self.input_tokens + self.cache_read_tokens + self.cache_write_5m_tokens + self.cache_write_1h_tokens
        )


def exact(usage: Any) -> Usage:
    """Returns the usage with every count as a Python int, which cannot overflow.

    Raises InvalidUsageError for a count that is negative or not an integer, TypeError for any other object.
    """
    if not isinstance(usage, Usage):
        kind = type(usage).__name__
        raise TypeError(f"usage: expected a Usage, got a {kind}; use Usage.from_wire(usage, wire='anthropic')")
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


def _exact(counts: S, names: tuple[str, ...]) -> S:
    changes: dict[str, int] = {}
    for name in names:
        value = getattr(counts, name)
        if type(value) is bool:  # a bool is an int in Python, and counts as one
            changes[name] = int(value)
        elif type(value) is not int or value < 0:
            changes[name] = exact_count(value, name)
    return replace(counts, **changes) if changes else counts


class _NoSuchWireError(KeyError):
    """A KeyError, since the wire is the programmer's mistake. Unlike KeyError it prints its text unquoted."""

    def __str__(self) -> str:
        return str(self.args[0])


def _no_wire(wire: object) -> str:
    import difflib

    close = difflib.get_close_matches(str(wire)[:40].lower(), READERS, n=1, cutoff=0.4)
    hint = f" (did you mean {close[0]!r}?)" if close else ""
    return f"wire: unknown form of usage {str(wire)[:40]!r}{hint}; known are {', '.join(READERS)}"


READERS: Final[dict[Wire, Callable[[Any], Usage]]] = {}
"""The reader of each form. Readers import this module, so `others` fills the table; the package imports it."""
