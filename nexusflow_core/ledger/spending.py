"""Spend: what calls of a scope and a model add up to on a day, kept beside the rows so that pages are fast."""

from collections.abc import Iterable

from msgspec import Struct

from nexusflow_core.budgets.amounts import FEMTO_PER_NANO
from nexusflow_core.ledger.rows import LedgerRow

__all__ = ["EVERYTHING", "SUMS", "Spend", "day_of", "spends_of"]

EVERYTHING = ""
"""The scope that every call counts for."""

_DAY = 86400


class Spend(Struct, kw_only=True, gc=False):
    """What the calls of a scope and a model add up to on a UTC day. `day`: its first second since 1970."""

    day: int
    scope: str
    model: str
    calls: int = 0
    errors: int = 0
    refused: int = 0
    unpriced: int = 0
    input_tokens: int = 0
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0
    output_tokens: int = 0
    cost_nano: int = 0
    cost_rest: int = 0
    saved_nano: int = 0
    saved_rest: int = 0
    extra_nano: int = 0
    extra_rest: int = 0

    @property
    def cost_femto(self) -> int:
        """The exact cost, in femto-dollars."""
        return self.cost_nano * FEMTO_PER_NANO + self.cost_rest

    @property
    def saved_femto(self) -> int:
        """Savings of cache reads, in femto-dollars."""
        return self.saved_nano * FEMTO_PER_NANO + self.saved_rest

    @property
    def extra_femto(self) -> int:
        """Extra cost of cache writes, in femto-dollars."""
        return self.extra_nano * FEMTO_PER_NANO + self.extra_rest

    def add(self, other: "Spend") -> None:
        """Adds the numbers of another one."""
        for name in SUMS:
            setattr(self, name, getattr(self, name) + getattr(other, name))


SUMS = tuple(name for name in Spend.__struct_fields__ if name not in ("day", "scope", "model"))


def spends_of(rows: Iterable[LedgerRow]) -> list[Spend]:
    """Returns what these calls add to each day, scope and model, in an order that avoids deadlocks."""
    found: dict[tuple[int, str, str], Spend] = {}
    for row in rows:
        one = _spend(row)
        for scope in (EVERYTHING, *(row.scopes.split("\n") if row.scopes else ())):
            key = (one.day, scope, one.model)
            if key not in found:
                found[key] = Spend(day=one.day, scope=scope, model=one.model)
            found[key].add(one)
    return [found[key] for key in sorted(found)]


def day_of(at: int) -> int:
    """Returns the first second of the UTC day of a time in seconds."""
    return at - at % _DAY


def _spend(row: LedgerRow) -> Spend:
    """Returns one call as a sum. A call without usage has no model: its client may have invented the name."""
    model = (row.response_model or row.upstream_model or row.model) if row.input_tokens is not None else ""
    return Spend(
        day=day_of(row.started_ms // 1000),
        scope=EVERYTHING,
        model=model,
        calls=1,
        errors=row.ending in ("error", "lost"),
        refused=row.ending == "refused",
        unpriced=row.input_tokens is not None and row.cost_nano is None,
        input_tokens=row.input_tokens or 0,
        cache_read_tokens=row.cache_read_tokens or 0,
        cache_write_tokens=(row.cache_write_5m_tokens or 0) + (row.cache_write_1h_tokens or 0),
        output_tokens=row.output_tokens or 0,
        cost_nano=row.cost_nano or 0,
        cost_rest=row.cost_rest or 0,
        saved_nano=row.saved_nano or 0,
        saved_rest=row.saved_rest or 0,
        extra_nano=row.extra_nano or 0,
        extra_rest=row.extra_rest or 0,
    )
