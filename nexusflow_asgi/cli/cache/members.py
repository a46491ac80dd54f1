"""The report as JSON: exact amounts, every conversation, and the listed misses."""

from typing import Any

from nexusflow_asgi.cli.cache.findings import Findings
from nexusflow_asgi.cli.table import exact
from nexusflow_core.caching import Costly, Sums

__all__ = ["members"]

_COUNTS = (
    "requests",
    "read",
    "write_5m",
    "write_1h",
    "uncached",
    "misses",
    "lost",
    "unpriced",
    "estimated",
)
_AMOUNTS = ("saved", "extra", "wasted")


def members(found: Findings) -> dict[str, Any]:
    """Returns the report as plain values. Amounts are dollars as exact decimal text; None if unknown."""
    ledger = found.ledger
    return {
        "total": _sums(ledger.total),
        "sessions": {name: _sums(sums) for name, sums in ledger.conversations.items()},
        "breakpoints": {name: _sums(sums) for name, sums in ledger.breakpoints.items()},
        "reasons": {name: _sums(sums) for name, sums in ledger.reasons.items()},
        "misses": [_miss(it) for it in found.costly],
        "policies": [
            {
                "policy": it.policy.value,
                "requests": it.requests,
                "estimated": it.estimated,
                "read": it.read,
                "write_5m": it.write_5m,
                "write_1h": it.write_1h,
                "uncached": it.uncached,
                "prompts_usd": _usd(it.femto_usd),
            }
            for it in found.outcomes
        ],
        "advice": [
            {"what": it.what, "why": it.why, "saves_usd": _usd(it.femto_usd), "sample": it.sample}
            for it in found.advice
        ],
        "gaps": {
            "count": found.gaps.count,
            "below_5m": str(found.gaps.short),
            "below_1h": str(found.gaps.long),
        },
        "disagreements": found.conversations.disagreements,
        "skipped_lines": found.skipped,
        "prices_as_of": None if found.book.as_of is None else str(found.book.as_of),
    }


def _sums(sums: Sums) -> dict[str, Any]:
    unknown = sums.unpriced == sums.requests
    return {
        **{name: getattr(sums, name) for name in _COUNTS},
        **{f"{name}_usd": None if unknown else exact(getattr(sums, name)) for name in _AMOUNTS},
    }


def _miss(it: Costly) -> dict[str, Any]:
    return {
        "session": it.conversation,
        "request": it.number,
        "at": it.at.isoformat(),
        "model": it.model,
        "miss": str(it.miss),
        "sentence": it.miss.sentence(),
        "lost": it.lost,
        "wasted_usd": _usd(it.femto_usd),
    }


def _usd(femto_usd: int | None) -> str | None:
    return None if femto_usd is None else exact(femto_usd)
