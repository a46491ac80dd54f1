"""Entry: one call, read from any log; or Skipped, with the reason."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, TypeAlias

from msgspec import Struct

from nexusflow_core.untyped import moment_of
from nexusflow_core.usage import Usage
from nexusflow_core.usage.counts import rounded_femto

__all__ = [
    "AnyAmount",
    "CountedElsewhereError",
    "Entry",
    "NotAnEntryError",
    "Skipped",
    "femto_of",
    "read_moment",
    "rounded_cost",
    "texts",
    "unix_moment",
]

_MAX_TEXT = 200
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_FEMTO_PER_USD = 10**15
_AMOUNT = re.compile(r"(\d{1,18})(?:\.(\d{1,15}))?", re.ASCII)


AnyAmount: TypeAlias = Decimal | None
"""An amount of USD as other programs log it: a JSON number, or the same as text."""


class NotAnEntryError(ValueError):
    """A line that cannot be an entry. The message says why, in one line."""


class CountedElsewhereError(NotAnEntryError):
    """A line that must not count: another line describes the same call."""


class Entry(Struct, frozen=True, kw_only=True):
    """One call, ready to be priced. Facts that the log lacks are None.

    `models` are names that may have a price: the answer's model first, then the one sent upstream.
    """

    models: tuple[str, ...]
    at: datetime
    """UTC."""
    id: str | None = None
    """The call's id. Lines with the same id describe the same call, which counts once."""
    upstream: str | None = None
    """Who served the call: the record's upstream, or a provider's name."""
    route: str | None = None
    metadata: Mapping[str, str] = {}
    calls: int = 1
    """How many calls the counts sum up, where a report says it; else 1."""
    usage: Usage | None = None
    """None for a call that ended before any usage. It counts as a call, at no known cost."""
    key: str | None = None
    """The caller: the record's principal, or a key's name."""
    session: str | None = None
    agent: str | None = None
    vendor: str | None = None
    batch: bool = False
    endpoint: str | None = None
    stop_reason: str | None = None
    explicit_cache: bool = False
    partial: bool = False
    """The stream was cut short."""
    many_requests: bool = False
    """The usage is a sum over many requests."""
    logged_femto_usd: int | None = None
    """The call's cost as stated in the line, in femto-dollars."""
    flags: tuple[str, ...] = ()
    """Reasons why the line is not certain."""
    request: Mapping[str, Any] | None = None
    """The request's body, if the log contains it."""
    answered_at: datetime | None = None
    """When the answer began, UTC."""
    cache_miss: str | None = None
    """Why the prompt cache missed, in our words, with the place."""
    upstream_cache_miss: str | None = None
    """The same in the vendor's word."""
    cache_disagreement: int | None = None
    """Tokens read above what we had predicted, or below it."""
    model_runs: int = 1
    """How often the model ran. Server tools make it run again; the counts are sums then."""


class Skipped(Struct, frozen=True):
    """A value without an entry, and the reason in one printable line."""

    reason: str
    expected: bool = False
    """Nothing is wrong with it."""
    lost: bool = False
    """It may have had calls: no total is complete without it."""

    @classmethod
    def because(cls, why: object) -> "Skipped":
        """Returns a Skipped with the error's text: at most 200 characters, all printable."""
        text = str(why) or type(why).__name__
        return cls((text if text.isprintable() else ascii(text)[1:-1])[:_MAX_TEXT])


def read_moment(text: str) -> datetime:
    """Returns the UTC moment of an ISO 8601 time with zone, or of a UTC day. Raises NotAnEntryError."""
    try:
        return moment_of(text)
    except ValueError as error:
        raise NotAnEntryError(str(error)) from None


def femto_of(dollars: str) -> int:
    """Returns an exact amount of USD, given as text, in femto-dollars. Raises NotAnEntryError."""
    found = _AMOUNT.fullmatch(dollars)
    if found is None:
        raise NotAnEntryError(f"the cost {dollars[:40]!r} is not an exact amount of dollars")
    return int(found[1]) * 10**15 + int((found[2] or "").ljust(15, "0"))


def unix_moment(ticks: int | float, per_second: int = 1) -> datetime:
    """Returns the UTC moment of a Unix time in seconds, or in fractions of them. Raises NotAnEntryError."""
    try:
        return _EPOCH + timedelta(microseconds=int(ticks * 1_000_000 // per_second))
    except (OverflowError, ValueError):
        raise NotAnEntryError(f"{str(ticks)[:40]} is not a Unix time") from None


def rounded_cost(dollars: AnyAmount) -> int | None:
    """Returns another program's cost in femto-dollars, rounded: most programs add up floats.

    Returns None for no cost. Raises InvalidUsageError for an impossible one.
    """
    return None if dollars is None else rounded_femto(dollars, _FEMTO_PER_USD)[0]


def texts(**members: Any) -> dict[str, str]:
    """Returns the members that are strings with content, as metadata."""
    return {name: value for name, value in members.items() if isinstance(value, str) and value}
