"""Entry: what every log tells of one call, whoever wrote it; or Skipped, and why."""

import re
from datetime import datetime

from msgspec import Struct

from nexusflow_core.moments import moment_of
from nexusflow_core.usage import Usage

__all__ = ["Entry", "NotAnEntry", "SaidElsewhere", "Skipped", "femto_of", "read_moment"]

_MAX_TEXT = 200
_AMOUNT = re.compile(r"(\d{1,18})(?:\.(\d{1,15}))?", re.ASCII)


class NotAnEntry(ValueError):
    """A line that cannot be an entry; the message says why, in one line."""


class SaidElsewhere(NotAnEntry):
    """A line that needs none: another line tells of the same call."""


class Entry(Struct, frozen=True, kw_only=True):
    """One call, ready to be priced. What a log does not tell is None.

    `models` are the names that may have a price, the most telling first: of the answer, then as sent upstream.
    """

    models: tuple[str, ...]
    at: datetime
    """UTC."""
    usage: Usage | None = None
    """None for a call that ended before any usage: it counts, and costs nothing that is known."""
    key: str | None = None
    """Whose call: the principal, the name of a key."""
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
    """It is a sum over many requests."""
    logged_femto_usd: int | None = None
    """What the line itself says that the call cost."""
    flags: tuple[str, ...] = ()
    """What makes the line less than certain."""


class Skipped(Struct, frozen=True):
    """A line that is no entry, and the reason, in one printable line. `expected`: nothing is amiss with it."""

    reason: str
    expected: bool = False

    @classmethod
    def because(cls, why: object) -> "Skipped":
        """The reason of whatever went wrong, bounded and unable to break a terminal or a log."""
        text = str(why) or type(why).__name__
        return cls((text if text.isprintable() else ascii(text)[1:-1])[:_MAX_TEXT])


def read_moment(text: str) -> datetime:
    """An ISO 8601 time with its zone, or a UTC day, as UTC. Raises NotAnEntry."""
    try:
        return moment_of(text)
    except ValueError as error:
        raise NotAnEntry(str(error)) from None


def femto_of(dollars: str) -> int:
    """An exact amount of dollars as text, in femto-dollars. Raises NotAnEntry."""
    found = _AMOUNT.fullmatch(dollars)
    if found is None:
        raise NotAnEntry(f"the cost {dollars[:40]!r} is no exact amount of dollars")
    return int(found[1]) * 10**15 + int((found[2] or "").ljust(15, "0"))
