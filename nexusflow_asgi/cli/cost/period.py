"""Arguments about time and tables: `--since`, `--until`, `--tz` and `--columns`."""

import argparse
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from zoneinfo import ZoneInfo

from msgspec import Struct

from nexusflow_core.errors import ConfigError
from nexusflow_core.logs.columns import FIELDS
from nexusflow_core.logs.summary import METADATA

__all__ = ["Period", "mapping", "zone"]


class Period(Struct, frozen=True):
    """The calls that count: from `since` on, and before `until`. Both are UTC; None is no bound."""

    since: datetime | None = None
    until: datetime | None = None

    @classmethod
    def of(cls, since: str | None, until: str | None, zone: tzinfo | None) -> "Period":
        """Returns the period of two arguments. A day means all of it, in the zone. Raises ConfigError."""
        return cls(
            None if since is None else _moment("--since", since, zone or UTC, days=0),
            None if until is None else _moment("--until", until, zone or UTC, days=1),
        )

    @property
    def bounded(self) -> bool:
        """True if any call can be outside."""
        return self.since is not None or self.until is not None

    def has(self, at: datetime) -> bool:
        """Returns True for a moment in the period."""
        return (self.since is None or at >= self.since) and (self.until is None or at < self.until)


def zone(text: str) -> tzinfo:
    """Returns a time zone by its name. Raises ArgumentTypeError."""
    if text.upper() == "UTC":
        return UTC
    try:
        return ZoneInfo(text)
    except (
        ValueError,
        OSError,
        KeyError,
    ):  # an unknown name is a KeyError; one that is no file name, the others
        pass
    raise argparse.ArgumentTypeError(f"{text!r} is no time zone: give a name such as Europe/Paris")


def mapping(text: str) -> dict[str, str]:
    """Returns the columns of `--columns`, by the names of FIELDS. Raises ArgumentTypeError."""
    found: dict[str, str] = {}
    for pair in text.split(","):
        name, equals, column = pair.partition("=")
        name = name.strip()
        if not equals or not column.strip():
            raise argparse.ArgumentTypeError(f"{pair!r} is not NAME=COLUMN")
        if name not in FIELDS and not (name.startswith(METADATA) and name != METADATA):
            raise argparse.ArgumentTypeError(f"{name!r} is not one of {', '.join(FIELDS)}")
        found[name] = column.strip()
    if "model" not in found:
        raise argparse.ArgumentTypeError("say which column has the model: model=COLUMN")
    return found


def _moment(option: str, text: str, zone: tzinfo, *, days: int) -> datetime:
    try:
        day = date.fromisoformat(text)
    except ValueError:  # no day: read as a moment below
        pass
    else:
        return datetime.combine(day + timedelta(days=days), time(), zone).astimezone(UTC)
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise ConfigError("", f"{option}: {text[:40]!r} is not an ISO 8601 time or day") from None
    return (moment if moment.tzinfo else moment.replace(tzinfo=zone)).astimezone(UTC)
