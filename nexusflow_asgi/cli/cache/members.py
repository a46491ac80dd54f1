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
        "misses": [_miss(costly) for costly in found.costly],
        "policies": [
            {
                "policy": outcome.policy.value,
                "requests": outcome.requests,
                "estimated": outcome.estimated,
                "read": outcome.read,
                "write_5m": outcome.write_5m,
                "write_1h": outcome.write_1h,
                "uncached": outcome.uncached,
                "prompts_usd": _usd(outcome.femto_usd),
            }
            for outcome in found.outcomes
        ],
        "advice": [
            {
                "what": advice.what,
                "why": advice.why,
                "saves_usd": _usd(advice.femto_usd),
                "sample": advice.sample,
            }
            for advice in found.advice
        ],
        "gaps": {
            "count": found.gaps.count,
            "below_5m": str(found.gaps.short),
            "below_1h": str(found.gaps.long),
        },
        "not_replayed": dict(sorted(found.conversations.not_replayed.items())),
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


def _miss(costly: Costly) -> dict[str, Any]:
    return {
        "session": costly.conversation,
        "request": costly.number,
        "at": costly.at.isoformat(),
        "model": costly.model,
        "miss": str(costly.miss),
        "sentence": costly.miss.sentence(),
        "lost": costly.lost,
        "wasted_usd": _usd(costly.femto_usd),
    }


def _usd(femto_usd: int | None) -> str | None:
    return None if femto_usd is None else exact(femto_usd)
