"""PlainLines: adds up usage lines of the same price, a block of lines at a time.

Calls at one price cost together what their tokens cost together. So most lines of a large log need no cost of
their own. Lines that need any other rule are left to the reader of single lines.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Final, Literal, TypeAlias, cast

import msgspec
from msgspec import Struct

from nexusflow_core.costing import Cost, CostLine
from nexusflow_core.errors import UnknownModelError
from nexusflow_core.logs.entry import Entry
from nexusflow_core.logs.pricing import Priced
from nexusflow_core.prices import Price, PriceBook, Served
from nexusflow_core.untyped import MALFORMED, moment_of
from nexusflow_core.usage import Usage
from nexusflow_core.usage.counts import Count, Split

__all__ = ["PlainLines"]

_MAX_HELD: Final = 16_384
"""Lines whose counts are held before they are added up."""

_TRIES: Final = 3
"""Blocks without any plain line, before a file is taken for one of another kind."""

_NEVER: Final = datetime.min.replace(tzinfo=UTC)
_DAY, _HOUR = 10, 13  # digits of an ISO 8601 time


class _NoSearches(Struct, gc=False):
    web_search_requests: Literal[0] | None = None


class _Details(Struct, gc=False):
    thinking_tokens: Count | None = None


class _Counts(Struct, forbid_unknown_fields=True, gc=False):
    """A usage of Anthropic's form without any term that changes the price. Any other fails to decode."""

    input_tokens: Count
    cache_creation_input_tokens: Count | None = None
    cache_read_input_tokens: Count = 0
    cache_creation: Split | None = None
    output_tokens: Count = 0
    output_tokens_details: _Details | None = None
    service_tier: Literal["standard"] | None = None
    inference_geo: Literal["not_available", "global"] | None = None
    server_tool_use: _NoSearches | None = None
    speed: None = None
    iterations: None = None


class _Line(Struct, forbid_unknown_fields=True, gc=False):
    """The members of a plain usage line, as `read_plain_line` has them."""

    usage: _Counts
    model: str
    at: str | None = None
    timestamp: str | None = None
    started_at: str | None = None
    id: str | None = None
    request_id: str | None = None
    key: str | None = None
    session: str | None = None
    agent: str | None = None
    upstream: str | None = None
    route: str | None = None


_Key: TypeAlias = tuple[str, str, str | None, str | None, str | None, str | None, str | None]
_decoder = msgspec.json.Decoder(_Line)


class PlainLines:
    """Adds up plain usage lines. Each group of calls becomes one entry, with their number and exact cost.

    The totals, days and sessions of a Summary come out as if each line had been priced alone. `add` gets the
    entries, some after thousands of lines and the rest at `flush`.
    """

    def __init__(
        self,
        add: Callable[[Entry, Priced], None],
        book: PriceBook,
        zone: tzinfo = UTC,
        has: Callable[[datetime], bool] | None = None,
    ) -> None:
        """`zone`: the time zone of days. `has`: tells whether a moment counts; None counts all."""
        self.read = 0
        """Lines that were read here, those that do not count too."""
        self._add, self._plainly, self._zone, self._has = add, book.plainly, zone, has
        self._groups: dict[_Key, list[_Line]] = defaultdict(list)
        self._whole_hours: dict[str, bool] = {}
        self._held, self._tries = 0, _TRIES

    def take(self, block: bytes, seen: set[int]) -> Iterator[int]:
        """Adds the lines of a block. Yields the index of each line that has to be read alone.

        `seen` has the hashes of ids, and gets those of these lines. Another line with an id of it does not
        count.
        """
        if not self._tries:  # the file is of another kind
            yield from range(_count(block))
            return
        rows, left = _rows(block), 0
        for index in self._each(rows, seen):
            left += 1
            yield index
        self.read += len(rows) - left
        self._held += len(rows) - left
        self._tries = _TRIES if left < len(rows) else self._tries - 1
        if self._held >= _MAX_HELD:
            self.flush()

    def flush(self) -> None:
        """Hands on what was added up so far."""
        groups, self._groups, self._held = self._groups, defaultdict[_Key, list[_Line]](list), 0
        for lines in groups.values():
            first = lines[0]
            at = moment_of(first.at if first.at is not None else _time(first))
            served = self._plainly[first.model]
            price = cast(Price, _price(served, at, first.usage))  # as when the line was read
            usage = _usage([line.usage for line in lines])
            entry = Entry(
                models=(first.model,),
                at=at,
                calls=len(lines),
                usage=usage,
                key=first.key,
                session=first.session,
                agent=first.agent,
                upstream=first.upstream,
                route=first.route,
            )
            self._add(entry, Priced(served.prices.row.id, _cost(usage, price)))

    def _each(self, rows: Sequence[_Line | None], seen: set[int]) -> Iterator[int]:
        """Groups the rows. Yields the indexes of the others. This loop is the time of a large file."""
        plainly, groups, has, zone = self._plainly, self._groups, self._has, self._zone
        digits = _DAY if zone is UTC else _HOUR
        moment = datetime.fromisoformat
        for index, row in enumerate(rows):
            if row is None:
                yield index
                continue
            counts, text = row.usage, row.at
            if text is None:
                text = _time(row)
            try:
                at = moment(text)
                if at.tzinfo is not UTC:
                    at = moment_of(text)
                    text = at.isoformat()
                served = plainly[row.model]
                price = served.always if at <= served.plain_until else None
                if price is None or counts.cache_creation_input_tokens or counts.cache_creation:
                    price = _price(served, at, counts)
            except (ValueError, UnknownModelError):  # read alone: the reader names what is wrong
                price, at = None, _NEVER
            if price is None or price.flags or price.output is None or not (zone is UTC or self._in_day(at)):
                yield index
                continue
            if (name := row.id or row.request_id) is not None:
                if (hashed := hash(name)) in seen:
                    continue
                seen.add(hashed)
            if has is not None and not has(at):
                continue
            key = (price.row, text[:digits], row.key, row.session, row.agent, row.upstream, row.route)
            groups[key].append(row)

    def _in_day(self, at: datetime) -> bool:
        """Returns True if the hour of this moment is on one day of the zone."""
        start = at.replace(minute=0, second=0, microsecond=0)
        name = start.isoformat()
        if (found := self._whole_hours.get(name)) is None:
            end = start + timedelta(hours=1, microseconds=-1)
            found = start.astimezone(self._zone).date() == end.astimezone(self._zone).date()
            self._whole_hours[name] = found
        return found


def _rows(block: bytes) -> Sequence[_Line | None]:
    """Returns a row for each line of a block; None for a line that is not plain."""
    count = _count(block)
    try:
        # Decoded together, lines could be joined or hold two values. A newline between `}` and `{` is never
        # inside a value. So these are as many values as lines, each on a line of its own.
        if block.count(b"}\n{") + block.count(b"}\r\n{") == count - 1:
            rows = _decoder.decode_lines(block)
            if len(rows) == count:
                return rows
    except MALFORMED:  # the lines are decoded one by one, since some may be plain
        pass
    return [_row(line) for line in block.removesuffix(b"\n").split(b"\n")]


def _count(block: bytes) -> int:
    """Returns the number of its lines."""
    return block.count(b"\n") + (not block.endswith(b"\n"))


def _row(line: bytes) -> _Line | None:
    try:
        return _decoder.decode(line)
    except MALFORMED:  # left to the reader of single lines
        return None


def _time(line: _Line) -> str:
    """Returns the time of a line without `at`; "", which is no time, if it has none."""
    return (line.timestamp if line.timestamp is not None else line.started_at) or ""


def _price(served: Served, at: datetime, counts: _Counts) -> Price | None:
    """Returns the price for the prompt's size. None: by the hour, of a sum, or of writes without a lifetime."""
    if at > served.plain_until:
        return None
    size = counts.input_tokens + counts.cache_read_input_tokens
    if counts.cache_creation is not None or counts.cache_creation_input_tokens:
        short, hour = _written(counts)
        if counts.cache_creation_input_tokens not in (None, short + hour):
            return None
        size += short + hour
    if (always := served.always) is not None:
        return always
    return served.price(at, size) if size <= served.window and not served.by_hour else None


def _written(counts: _Counts) -> tuple[int, int]:
    """Returns the tokens written to the cache, by lifetime."""
    split = counts.cache_creation
    if split is None:
        return 0, 0
    return split.ephemeral_5m_input_tokens or 0, split.ephemeral_1h_input_tokens or 0


def _usage(counts: Sequence[_Counts]) -> Usage:
    written = [_written(it) for it in counts if it.cache_creation is not None]
    return Usage(
        sum([it.input_tokens for it in counts]),
        sum([it.cache_read_input_tokens for it in counts]),
        sum([short for short, _ in written]),
        sum([hour for _, hour in written]),
        sum([it.output_tokens for it in counts]),
    )


def _cost(usage: Usage, price: Price) -> Cost:
    """Returns the cost of a sum at one price."""
    rates = price.rates
    parts = (
        (usage.input_tokens, rates.input),
        (usage.cache_read_tokens, rates.cache_read),
        (usage.cache_write_5m_tokens, rates.cache_write_5m),
        (usage.cache_write_1h_tokens, rates.cache_write_1h),
        (usage.output_tokens, rates.output),
    )
    lines = [CostLine(tokens, rate) for tokens, rate in parts if tokens and rate is not None]
    return Cost(sum(line.femto_usd for line in lines), lines)
