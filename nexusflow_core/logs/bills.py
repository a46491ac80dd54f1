"""A provider's bill: the charges in Anthropic's cost report, or in OpenAI's, by day, model and kind."""

from collections.abc import Iterable, Mapping
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any, Final, Literal, TypeAlias

import msgspec
from msgspec import Raw, Struct, field

from nexusflow_core.errors import InvalidUsageError
from nexusflow_core.logs.entry import NotAnEntryError, read_moment, unix_moment
from nexusflow_core.logs.openai_reports import read_cost_row
from nexusflow_core.untyped import MALFORMED
from nexusflow_core.usage import Usage

__all__ = ["Bill", "Charge", "Vendor", "read_charges"]

Vendor: TypeAlias = Literal["anthropic", "openai"]

_FEMTO_PER_CENT, _FEMTO_PER_USD = 10**13, 10**15
_MAX_DAYS = 400

_KINDS: Final[Mapping[str, str]] = {
    "uncached_input_tokens": "input",
    "cache_read_input_tokens": "cache_read",
    "cache_creation.ephemeral_5m_input_tokens": "cache_write_5m",
    "cache_creation.ephemeral_1h_input_tokens": "cache_write_1h",
    "output_tokens": "output",
    "input": "input",
    "cached input": "cache_read",
    "cache write": "cache_write_5m",
    "cached write": "cache_write_5m",
    "output": "output",
}
"""Our kinds by the vendors' names. Others keep their name: `web_search`, `code_execution`, ..."""


class Charge(Struct, frozen=True):
    """One amount of a bill. None: the report was not grouped by that.

    `rounding` is the most that the amount was rounded by: half of its last digit.
    """

    day: date
    femto_usd: int
    model: str | None = None
    kind: str | None = None
    tier: str | None = None
    rounding: int = 0


class Bill(Struct):
    """The charges of a vendor, and the days that its report covers."""

    vendor: Vendor
    days: set[date] = field(default_factory=set[date])
    charges: list[Charge] = field(default_factory=list[Charge])

    @property
    def by_model(self) -> bool:
        """True if the report is grouped by model and kind."""
        return any(charge.kind is not None for charge in self.charges)


class _Bucket(Struct):
    results: list[Raw]
    starting_at: str | None = None
    ending_at: str | None = None
    start_time: int | None = None
    end_time: int | None = None


class _Page(Struct):
    data: list[_Bucket]


class _AnthropicRow(Struct):
    amount: str
    model: str | None = None
    cost_type: str | None = None
    token_type: str | None = None
    service_tier: str | None = None


class _Amount(Struct):
    value: Decimal | None = None


class _OpenAIRow(Struct):
    amount: _Amount | None = None


_page = msgspec.json.Decoder(_Page)
_bucket = msgspec.json.Decoder(_Bucket)
_anthropic_row = msgspec.json.Decoder(_AnthropicRow)
_openai_row = msgspec.json.Decoder(_OpenAIRow)
_members = msgspec.json.Decoder(dict[str, Raw])


def read_charges(values: Iterable[bytes], vendor: Vendor) -> Bill:
    """Returns the bill in the pages, or buckets, of a cost report. Raises NotAnEntryError if one is no such."""
    bill = Bill(vendor)
    try:
        for value in values:
            buckets = _page.decode(value).data if "data" in _members.decode(value) else [_bucket.decode(value)]
            for bucket in buckets:
                _add(bill, bucket)
    except (*MALFORMED, InvalidUsageError, ArithmeticError) as error:
        raise NotAnEntryError(f"no cost report of {vendor}: {error}") from None
    if not bill.days:
        raise NotAnEntryError(f"no cost report of {vendor}: it has no time buckets")
    return bill


def _add(bill: Bill, bucket: _Bucket) -> None:
    start, end = _times(bucket)
    day, days = start.date(), max((end - start).days, 1)
    if days > _MAX_DAYS:
        raise NotAnEntryError(f"a bucket of {days} days: download the report by day")
    bill.days |= {day + timedelta(days=number) for number in range(days)}
    read = _anthropic if bill.vendor == "anthropic" else _openai
    bill.charges += [read(bytes(row), day) for row in bucket.results]


def _times(bucket: _Bucket) -> tuple[datetime, datetime]:
    if bucket.starting_at is not None:
        start = read_moment(bucket.starting_at)
        return start, start if bucket.ending_at is None else read_moment(bucket.ending_at)
    if bucket.start_time is not None:
        start = unix_moment(bucket.start_time)
        return start, start if bucket.end_time is None else unix_moment(bucket.end_time)
    raise NotAnEntryError("a bucket has neither `starting_at` nor `start_time`")


def _anthropic(row: bytes, day: date) -> Charge:
    found = _anthropic_row.decode(row)
    usage = Usage.from_wire(row, "anthropic-cost-report")
    other = found.cost_type if found.cost_type not in (None, "tokens") else None
    kind = _KINDS.get(found.token_type or "", found.token_type) or other
    rounding = _half_of_the_last_digit(Decimal(found.amount), _FEMTO_PER_CENT)
    amount = usage.reported_femto_usd or 0
    return Charge(day, amount, None if other else found.model, kind, found.service_tier, rounding)


def _openai(row: bytes, day: date) -> Charge:
    cost = read_cost_row(row)
    amount = _openai_row.decode(row).amount
    rounding = _half_of_the_last_digit(amount.value or Decimal(0) if amount else Decimal(0), _FEMTO_PER_USD)
    if cost.charged_for is None:  # a line item without a comma is no kind of token
        return Charge(day, cost.femto_usd, None, None if cost.model == "(all models)" else cost.model)
    kind = _KINDS.get(cost.charged_for, cost.charged_for)
    return Charge(day, cost.femto_usd, cost.model, kind, None, rounding)


def _half_of_the_last_digit(amount: Decimal, unit: int) -> int:
    exponent: Any = amount.as_tuple().exponent
    return int(Decimal(unit).scaleb(exponent) / 2) if isinstance(exponent, int) else 0
