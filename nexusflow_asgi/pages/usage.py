"""The numbers of the spend page: what was spent by day, scope and model, the caps, and recent refusals."""

from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from msgspec import Struct

from nexusflow_asgi.stores import CapStore
from nexusflow_asgi.stores.key_store import KeyStore
from nexusflow_asgi.stores.protocol import LedgerPage, LedgerStore, OpenWindow
from nexusflow_core.budgets import Cap
from nexusflow_core.budgets.amounts import FEMTO_PER_NANO, shown
from nexusflow_core.keys import scope_of_key
from nexusflow_core.ledger import EVERYTHING, LedgerRow, Spend, day_of

__all__ = ["Asked", "Limits", "usage_of"]

_DAY = 86400
_REFUSALS = 20
_WINDOWS = 200
_FEMTO_PER_USD = 10**15
_KEY = scope_of_key("")


class Asked(Struct, frozen=True):
    """What a reader asks for: a scope ("" for everything), and the number of days up to today."""

    scope: str = EVERYTHING
    days: int = 30


class Limits(Struct, frozen=True):
    """Where windows are kept, and where their limits stand: in the configuration, or in the caller's key."""

    store: CapStore | None
    configured: Sequence[Cap] = ()
    keys: KeyStore | None = None


async def usage_of(asked: Asked, ledger: LedgerStore, limits: Limits, *, now: int) -> dict[str, Any]:
    """Returns the numbers as JSON has them. Amounts are exact decimal text in USD, days are `2026-11-22`."""
    until = day_of(now) + _DAY
    since = until - asked.days * _DAY
    spends = await ledger.spending(since=since, until=until, scope=asked.scope)
    scopes = await ledger.spending(since=since, until=until, scope=None) if not asked.scope else []
    page = LedgerPage(since=since * 1000, ending="refused", scope=asked.scope or None, limit=_REFUSALS)
    refused = await ledger.rows(page)
    caps = await _caps(limits, asked.scope or None, now)
    days = [since + number * _DAY for number in range(asked.days)]
    by_day = _grouped(spends, lambda spend: _date(spend.day))
    empty = Spend(day=0, scope="", model="")
    return {
        "scope": asked.scope or None,
        "since": _date(since),
        "until": _date(until - _DAY),
        "as_of": datetime.fromtimestamp(now, UTC).isoformat().replace("+00:00", "Z"),
        "total": _members(_sum(spends)),
        "days": [{"day": _date(day), **_members(by_day.get(_date(day), empty))} for day in days],
        "models": _by_cost("model", _grouped(spends, lambda spend: spend.model)),
        "scopes": _by_cost("scope", _grouped(scopes, lambda spend: spend.scope)),
        "caps": caps,
        "refusals": [_refusal(row) for row in refused],
    }


def _grouped(spends: Iterable[Spend], name: Callable[[Spend], str]) -> dict[str, Spend]:
    found: dict[str, Spend] = {}
    for spend in spends:
        found.setdefault(name(spend), Spend(day=0, scope="", model="")).add(spend)
    return found


def _sum(spends: Iterable[Spend]) -> Spend:
    return next(iter(_grouped(spends, lambda _: "").values()), Spend(day=0, scope="", model=""))


def _by_cost(member: str, groups: dict[str, Spend]) -> list[dict[str, Any]]:
    """Returns the groups, the dearest first. A call without usage has no model."""
    ordered = sorted(groups.items(), key=lambda item: (-item[1].cost_femto, item[0]))
    return [{member: name or None, **_members(spend)} for name, spend in ordered]


def _members(spend: Spend) -> dict[str, Any]:
    return {
        "calls": spend.calls,
        "errors": spend.errors,
        "refused": spend.refused,
        "unpriced": spend.unpriced,
        "input_tokens": spend.input_tokens,
        "cache_read_tokens": spend.cache_read_tokens,
        "cache_write_tokens": spend.cache_write_tokens,
        "output_tokens": spend.output_tokens,
        "cost_usd": _usd(spend.cost_femto),
        "cache_saved_usd": _usd(spend.saved_femto),
        "cache_write_extra_usd": _usd(spend.extra_femto),
    }


async def _caps(limits: Limits, scope: str | None, now: int) -> list[dict[str, Any]]:
    if limits.store is None:
        return []
    windows = await limits.store.windows(now=now, scope=scope, limit=_WINDOWS)
    known = list(limits.configured)
    if limits.keys is not None:
        for own in sorted({one.window.scope for one in windows if one.window.scope.startswith(_KEY)}):
            key = await limits.keys.find(own.removeprefix(_KEY))
            known += key.caps if key is not None else ()
    return [_cap(one, known) for one in windows]


def _cap(open_window: OpenWindow, configured: Sequence[Cap]) -> dict[str, Any]:
    """Returns a window with its limit; None for a limit that only the host's authentication knows."""
    window, balance = open_window.window, open_window.balance
    cap = min(
        (cap for cap in configured if _counts_on(cap, open_window)), key=lambda cap: cap.limit, default=None
    )
    limit = None if cap is None else cap.limit
    used, held = max(balance.used, 0), max(balance.held, 0)
    of = "limit unknown" if limit is None else f"of {shown(limit, window.unit)}"
    return {
        "scope": window.scope,
        "unit": window.unit,
        "window": window.period,
        "ends_at": None if window.ends_at is None else _moment(window.ends_at),
        "hard": None if cap is None else cap.hard,
        "used": _amount(balance.used, window.unit, balance.rest),
        "held": _amount(balance.held, window.unit),
        "limit": None if limit is None else _amount(limit, window.unit),
        "used_share": None if not limit else round(used / limit, 4),
        "held_share": None if not limit else round(held / limit, 4),
        "text": f"{shown(used, window.unit)} {of}",
    }


def _counts_on(cap: Cap, open_window: OpenWindow) -> bool:
    window = open_window.window
    if cap.unit != window.unit or str(cap.window) != window.period:
        return False
    return window.scope == f"pool:{cap.scope}" if cap.per == "pool" else cap.matches(window.scope)


def _amount(amount: int, unit: str, rest: int = 0) -> str:
    return _usd(amount * FEMTO_PER_NANO + rest) if unit == "usd" else str(amount)


def _refusal(row: LedgerRow) -> dict[str, Any]:
    return {
        "at": _moment(row.started_ms // 1000),
        "caller": row.principal,
        "model": row.model or None,
        "status": row.status,
        "type": row.error_type,
        "code": row.error_code,
        "request_id": row.request_id,
    }


def _usd(femto: int) -> str:
    """Returns exact decimal text."""
    sign, size = ("-", -femto) if femto < 0 else ("", femto)
    whole, part = divmod(size, _FEMTO_PER_USD)
    return f"{sign}{whole}" + (f".{part:015d}".rstrip("0") if part else "")


def _date(at: int) -> str:
    return (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=at)).strftime("%Y-%m-%d")


def _moment(at: int) -> str:
    return (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=at)).strftime("%Y-%m-%dT%H:%M:%SZ")
