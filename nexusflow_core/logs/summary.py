"""Summary: adds up priced calls in groups, in exact integers."""

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, tzinfo
from typing import Final, Literal, TypeAlias, get_args

from msgspec import Struct, field
from msgspec.structs import replace

from nexusflow_core.costing.amounts import beside_input
from nexusflow_core.logs.entry import Entry
from nexusflow_core.logs.pricing import Priced
from nexusflow_core.usage import Usage, exact

__all__ = ["METADATA", "By", "Group", "Summary", "Totals"]

By: TypeAlias = Literal["model", "day", "month", "key", "session", "agent", "upstream", "route", "miss"]
"""`model`: the price row's id, or the name as written. `day`, `month`: when the call was made. `miss`: why the
prompt cache missed, in our words, else in the vendor's. `metadata.NAME` is a group too."""

METADATA = "metadata."

_SUMS = """calls without_usage unpriced input_tokens cache_read_tokens cache_write_5m_tokens
    cache_write_1h_tokens output_tokens web_searches femto_usd saved_femto_usd extra_femto_usd
    wasted_femto_usd cache_disagreements""".split()


class Totals(Struct):
    """Sums over calls. Tokens include free and unpriced calls, and every model call inside an answer.

    Amounts are femto-dollars (10^-15 USD).
    """

    calls: int = 0
    without_usage: int = 0
    """Calls that ended before any usage, including refused ones."""
    unpriced: int = 0
    """Calls with usage but without a known cost. No amount includes them."""
    input_tokens: int = 0
    cache_read_tokens: int = 0
    cache_write_5m_tokens: int = 0
    cache_write_1h_tokens: int = 0
    output_tokens: int = 0
    web_searches: int = 0
    femto_usd: int = 0
    saved_femto_usd: int = 0
    """Savings of cache reads compared with plain input."""
    extra_femto_usd: int = 0
    """Extra cost of cache writes compared with plain input."""
    wasted_femto_usd: int = 0
    """The part of `extra_femto_usd` in sessions without any cache read. Calls without a session count as one
    session per key, model and day."""
    cache_disagreements: int = 0
    """Calls that read other tokens from the prompt cache than our doctor had predicted."""
    unknown: bool = False
    """True if no line could be read, so that the sums say nothing."""
    flags: dict[str, int] = field(default_factory=dict[str, int])
    """The number of calls with each flag."""

    @property
    def priced(self) -> int:
        """The number of calls with a known cost."""
        return self.calls - self.without_usage - self.unpriced

    @property
    def known_femto_usd(self) -> int | None:
        """The cost of the priced calls in femto-dollars; None if there is usage but no price."""
        return None if self.unknown or (self.unpriced and not self.priced) else self.femto_usd

    def add(self, other: "Totals") -> None:
        """Adds another Totals to this one."""
        for name in _SUMS:
            setattr(self, name, getattr(self, name) + getattr(other, name))
        for flag, count in other.flags.items():
            self.flags[flag] = self.flags.get(flag, 0) + count


class Group(Struct, frozen=True):
    """The totals of all calls that share these values, in the order of Summary's `by`."""

    values: tuple[str | None, ...]
    totals: Totals


_Scope: TypeAlias = tuple[str | None, ...]  # calls that could read each other's cache writes


class Summary:
    """Adds up calls by one or several groups at once: the names of `By`, and `metadata.NAME`.

    `zone` is the time zone of days and months. Raises ValueError for an unknown group. Its memory grows with
    the groups and sessions, not with the calls.
    """

    def __init__(self, by: Sequence[str] = ("model",), zone: tzinfo = UTC) -> None:
        self.by = tuple(by)
        self._values = [_reader(name, zone) for name in self.by]
        self._groups: dict[tuple[str | None, ...], Totals] = {}
        self._read: set[_Scope] = set()
        self._unread: dict[_Scope, dict[tuple[str | None, ...], int]] = {}

    def add(self, entry: Entry, priced: Priced) -> None:
        """Adds one call."""
        values = tuple([value(entry, priced) for value in self._values])
        totals = self._groups.get(values)
        if totals is None:
            totals = self._groups[values] = Totals()
        totals.calls += entry.calls
        totals.cache_disagreements += entry.cache_disagreement is not None
        if entry.usage is None:
            totals.without_usage += entry.calls
            return
        (read, cached), extra = _count(totals, entry.usage), 0
        if priced.cost is None:
            totals.unpriced += entry.calls
        else:
            totals.femto_usd += priced.cost.femto_usd
            by_price = priced.listed or priced.cost
            if cached:
                saved, extra = beside_input(by_price.lines)
                totals.saved_femto_usd += saved
                totals.extra_femto_usd += extra
            for flag in set(priced.cost.flags) if priced.cost.flags else ():
                totals.flags[flag] = totals.flags.get(flag, 0) + 1
        if read or extra:
            self._remember(_scope(entry, priced), values, read, extra)

    def update(self, other: "Summary") -> None:
        """Adds the calls of another Summary with the same groups."""
        for values, totals in other._groups.items():
            self._groups.setdefault(values, Totals()).add(totals)
        self._read |= other._read
        for scope, extras in other._unread.items():
            own = self._unread.setdefault(scope, {})
            for values, extra in extras.items():
                own[values] = own.get(values, 0) + extra
        for scope in self._read & self._unread.keys():
            del self._unread[scope]

    def groups(self) -> list[Group]:
        """Returns the groups so far: in order of time if days come first, else the most expensive first."""
        groups = {values: replace(totals, flags=dict(totals.flags)) for values, totals in self._groups.items()}
        for extras in self._unread.values():
            for values, extra in extras.items():
                groups[values].wasted_femto_usd += extra
        listed = [Group(values, totals) for values, totals in groups.items()]
        listed.sort(key=lambda group: [value or "" for value in group.values])
        if self.by[:1] not in (("day",), ("month",)):
            listed.sort(key=lambda group: -group.totals.femto_usd)
        return listed

    def total(self) -> Totals:
        """Returns the sum over all groups."""
        total = Totals()
        for group in self.groups():
            total.add(group.totals)
        return total

    def _remember(self, scope: _Scope, values: tuple[str | None, ...], read: bool, extra: int) -> None:
        if read:
            self._read.add(scope)
            self._unread.pop(scope, None)
        elif scope not in self._read:
            extras = self._unread.setdefault(scope, {})
            extras[values] = extras.get(values, 0) + extra


_Value: TypeAlias = Callable[[Entry, Priced], str | None]

_VALUES: Final[Mapping[str, _Value]] = {
    "model": lambda entry, priced: priced.model or None,
    "key": lambda entry, priced: entry.key,
    "session": lambda entry, priced: entry.session,
    "agent": lambda entry, priced: entry.agent,
    "upstream": lambda entry, priced: entry.upstream,
    "route": lambda entry, priced: entry.route,
    "miss": lambda entry, priced: _miss(entry),
}
_DIGITS: Final = {"day": 10, "month": 7}


def _reader(name: str, zone: tzinfo) -> _Value:
    """Returns the function that gives a call's value in this group."""
    if name in _DIGITS:
        digits = _DIGITS[name]
        if zone is UTC:
            return lambda entry, priced: entry.at.isoformat()[:digits]
        return lambda entry, priced: entry.at.astimezone(zone).isoformat()[:digits]
    if name.startswith(METADATA) and (member := name.removeprefix(METADATA)):
        return lambda entry, priced: entry.metadata.get(member)
    try:
        return _VALUES[name]
    except KeyError:
        known = ", ".join(get_args(By))
        raise ValueError(f"{name!r} is not one of {known}, {METADATA}NAME") from None


def _miss(entry: Entry) -> str | None:
    """Returns the reason of a cache miss as a group: its place only where later calls share it."""
    if entry.cache_miss is None:
        reason = entry.upstream_cache_miss
        return None if reason is None else f"{reason} (upstream)"
    reason, _, place = entry.cache_miss.partition(" ")
    shared = reason in ("tools_changed", "system_changed", "parameters_changed")
    return entry.cache_miss if shared and place else reason


def _scope(entry: Entry, priced: Priced) -> _Scope:
    if entry.session is not None:
        return entry.key, entry.session
    return entry.key, priced.model, entry.at.date().isoformat()


def _count(totals: Totals, usage: Usage) -> tuple[bool, bool]:
    """Adds the tokens. Returns whether any were read from a cache, and whether any were read or written."""
    read = written = False
    prompt, others = usage.prompt_tokens, usage.output_tokens + usage.web_searches
    if type(prompt + others) is not int or usage.iterations or prompt < 0 or others < 0:
        usage = exact(usage)  # integers of other libraries could overflow
    for part in usage.iterations or (usage,):
        totals.input_tokens += part.input_tokens
        totals.output_tokens += part.output_tokens
        if part.cache_read_tokens:
            totals.cache_read_tokens += part.cache_read_tokens
            read = True
        if part.cache_write_5m_tokens or part.cache_write_1h_tokens:
            totals.cache_write_5m_tokens += part.cache_write_5m_tokens
            totals.cache_write_1h_tokens += part.cache_write_1h_tokens
            written = True
    totals.web_searches += usage.web_searches
    return read, read or written
