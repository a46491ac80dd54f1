"""Reconciliation: our costs beside a provider's bill, by day, model and kind of token.

Theory of operation. A cell has our cost, the bill, and the cost of the provider's own usage report at our
prices, if there is one. The difference between bill and ours is split by rules, in their order. What no rule
explains is stated as it is: a discount, a price that we do not know, or a defect.
"""

import enum
import re
from collections.abc import Iterable, Mapping
from datetime import date
from typing import Final, TypeAlias

from msgspec import Struct, field

from nexusflow_core.errors import UnknownModelError
from nexusflow_core.logs.bills import Bill, Charge
from nexusflow_core.logs.entry import Entry
from nexusflow_core.logs.pricing import Priced
from nexusflow_core.prices import PriceBook

__all__ = ["Cell", "Reconciliation", "Rule"]


class Rule(enum.Enum):
    """Why a bill may differ from our cost. The value is the rule in words."""

    PRIORITY = "priority tier: the cost report leaves it out"
    BATCH = "batches: they do not pass the gateway"
    ELSEWHERE = "calls that did not pass here"
    MISSING = "calls that the provider's usage report does not have"
    TERMS = "the same tokens at other terms: region, speed or tier"
    SERVER_TOOLS = "server tools: searches and code runs that the answers did not report"
    ROUNDING = "rounding of the bill's amounts"


_TERMS: Final = re.compile("[+>]")  # a row's terms stand behind its id: `claude-opus-5+us`
_PRIORITY: Final = ("priority", "priority_on_demand")
_SERVER_TOOLS: Final = ("web_search", "code_execution", "session_usage")

Key: TypeAlias = tuple[date, str | None, str | None]
"""Day, model and kind. Model and kind are None where the bill does not tell them apart."""


class _Sum(Struct):
    tokens: int = 0
    femto_usd: int = 0

    def add(self, tokens: int, femto_usd: int) -> None:
        self.tokens += tokens
        self.femto_usd += femto_usd


class Cell(Struct, frozen=True):
    """One day, model and kind. Amounts are femto-dollars. What is explained, and the rest, add up to the
    difference.

    `reported_tokens` are those of the provider's usage report; None without one.
    """

    day: date
    model: str | None
    kind: str | None
    tokens: int
    reported_tokens: int | None
    ours_femto_usd: int
    billed_femto_usd: int
    explained: Mapping[Rule, int]
    unexplained_femto_usd: int


class _Parts(Struct):
    """What is known of a cell: ours and the usage report's by tier, and the charges."""

    ours: dict[str, _Sum] = field(default_factory=dict[str, _Sum])
    used: dict[str, _Sum] = field(default_factory=dict[str, _Sum])
    billed: int = 0
    billed_batch: int = 0
    rounding: int = 0


class Reconciliation:
    """Compares a bill with our calls. Only the days that the bill covers count, and the bill's vendor.

    Add our calls with `add`, and the rows of the provider's usage report with `add_usage`. `prices` gives the
    names of models.
    """

    def __init__(self, bill: Bill, prices: PriceBook) -> None:
        self.left_out = 0
        """Calls of other vendors, and of days that the bill does not cover."""
        self.unpriced = 0
        """Calls without a known price: they are in no amount."""
        self._bill, self._prices = bill, prices
        self._cells: dict[Key, _Parts] = {}
        self._has_usage = False
        for charge in bill.charges:
            self._charge(charge)

    def add(self, entry: Entry, priced: Priced) -> None:
        """Adds one of our calls."""
        if not self._counts(entry, priced):
            self.left_out += 1
            return
        self.unpriced += bool(priced.why)
        for key, tier, tokens, femto in self._lines(entry, priced):
            self._parts(key).ours.setdefault(tier, _Sum()).add(tokens, femto)

    def add_usage(self, entry: Entry, priced: Priced) -> None:
        """Adds a row of the provider's usage report."""
        self._has_usage = True
        if entry.at.date() in self._bill.days:
            for key, tier, tokens, femto in self._lines(entry, priced):
                self._parts(key).used.setdefault(tier, _Sum()).add(tokens, femto)

    def cells(self) -> list[Cell]:
        """Returns the cells, by day and model."""
        keys = sorted(self._cells, key=lambda key: (key[0], key[1] or "~", key[2] or "~"))
        return [self._cell(key, self._cells[key]) for key in keys]

    def _charge(self, charge: Charge) -> None:
        parts = self._parts((charge.day, self._name(charge.model), charge.kind))
        parts.billed += charge.femto_usd
        parts.billed_batch += charge.femto_usd if charge.tier == "batch" else 0
        parts.rounding += charge.rounding

    def _counts(self, entry: Entry, priced: Priced) -> bool:
        vendor = entry.vendor
        if vendor is None and priced.cost is not None and priced.cost.lines:
            vendor = priced.cost.lines[0].row.partition("/")[0]
        return entry.at.date() in self._bill.days and vendor == self._bill.vendor

    def _lines(self, entry: Entry, priced: Priced) -> Iterable[tuple[Key, str, int, int]]:
        """Yields key, tier, tokens and amount of each line of a cost."""
        usage, day = entry.usage, entry.at.date()
        tier = (usage.service_tier if usage is not None else None) or "standard"
        tier = "batch" if entry.batch or tier == "batch" else tier
        if tier != "batch":  # only Anthropic's bill leaves the priority tier out
            tier = "priority" if tier in _PRIORITY and self._bill.vendor == "anthropic" else "standard"
        for line in priced.cost.lines if priced.cost is not None else ():
            kind = line.bucket
            model = (
                None if kind in _SERVER_TOOLS else _TERMS.split(line.row.partition("/")[2])[0] or priced.model
            )
            key = (day, model, kind) if self._bill.by_model else (day, None, None)
            yield key, tier, line.tokens, line.femto_usd

    def _parts(self, key: Key) -> _Parts:
        return self._cells.setdefault(key, _Parts())

    def _name(self, model: str | None) -> str | None:
        """Returns the model's price row, so that its dated names are one."""
        try:
            return None if model is None else self._prices.find(model, self._bill.vendor).row.id
        except UnknownModelError:
            return model

    def _cell(self, key: Key, parts: _Parts) -> Cell:
        ours = sum(part.femto_usd for part in parts.ours.values())
        explained = {rule: femto for rule, femto in self._explained(key, parts).items() if femto}
        rest = parts.billed - ours - sum(explained.values())
        if rest and abs(rest) <= parts.rounding:
            explained[Rule.ROUNDING], rest = rest, 0
        return Cell(
            *key,
            tokens=sum(part.tokens for part in parts.ours.values()),
            reported_tokens=sum(part.tokens for part in parts.used.values()) if self._has_usage else None,
            ours_femto_usd=ours,
            billed_femto_usd=parts.billed,
            explained=explained,
            unexplained_femto_usd=rest,
        )

    def _explained(self, key: Key, parts: _Parts) -> dict[Rule, int]:
        """Returns the parts of the difference that a rule explains."""
        ours, used = parts.ours, parts.used
        none = _Sum()
        found = {Rule.PRIORITY: -ours.get("priority", none).femto_usd}
        standard, batch = ours.get("standard", none), ours.get("batch", none)
        if self._has_usage and key[2] not in _SERVER_TOOLS:
            reported = used.get("standard", none)
            found[Rule.BATCH] = used.get("batch", none).femto_usd - batch.femto_usd
            found[_why(standard.tokens, reported.tokens)] = reported.femto_usd - standard.femto_usd
            return found
        if key[2] in _SERVER_TOOLS:
            found[Rule.SERVER_TOOLS] = max(parts.billed - standard.femto_usd - batch.femto_usd, 0)
            return found
        found[Rule.BATCH] = parts.billed_batch - batch.femto_usd if parts.billed_batch else 0
        if not ours:
            found[Rule.ELSEWHERE] = parts.billed - parts.billed_batch
        return found


def _why(ours: int, reported: int) -> Rule:
    """Returns the rule behind a difference of tokens."""
    return Rule.TERMS if ours == reported else Rule.ELSEWHERE if ours < reported else Rule.MISSING
