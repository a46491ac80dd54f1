"""The errors of caps, in Anthropic's words."""

from collections.abc import Sequence
from datetime import UTC, datetime

from nexusflow_core.budgets.amounts import shown
from nexusflow_core.budgets.budget import Budget
from nexusflow_core.budgets.caps import Scope
from nexusflow_core.budgets.holds import Refusal, RefusalCause
from nexusflow_core.budgets.windows import Window
from nexusflow_core.errors import CapReachedError, OverloadedError

__all__ = ["refused", "unasked", "unpriced"]

_HELD_SECONDS = 5
"""Seconds until a client should try again if running calls hold the rest of a cap."""

_CALENDAR = {"hour": "this hour", "day": "today", "week": "this week", "month": "this month"}


def refused(refusal: Refusal, now: datetime) -> CapReachedError:
    """Returns the error of a call that a cap refuses: which scope, which window, how much, until when."""
    claim, balance = refusal.claim, refusal.balance
    window, limit = claim.window, claim.limit or 0
    used = f"{shown(balance.used, window.unit)} of {shown(limit, window.unit)}"
    place = f"{_scope(window.scope)} {_span(window)}"
    if refusal.cause is RefusalCause.HELD:
        message = (
            f"The budget of {place} is {used} used, and running calls may need the rest. "
            "Try again when they have ended."
        )
        headers = {"retry-after": str(_HELD_SECONDS), "x-should-retry": "true"}
        return CapReachedError(message, headers=headers)
    headers = {"x-should-retry": "false"}
    message = f"The budget of {place} is used up: {used}."
    if window.ends_at is None:
        return CapReachedError(f"{message} Start a new session.", headers=headers)
    ends = datetime.fromtimestamp(window.ends_at, UTC)
    headers["retry-after"] = str(max(1, window.ends_at - int(now.timestamp())))
    return CapReachedError(f"{message} It returns at {ends:%Y-%m-%d %H:%M:%S} UTC.", headers=headers)


def unpriced(budgets: Sequence[Budget], model: str) -> CapReachedError:
    """Returns the error of a call whose price is unknown, under a cap in USD that refuses such calls."""
    scope = next(_scope(budget.meter.scope) for budget in budgets if budget.refuses_unpriced)
    return CapReachedError(
        f"The price of {model[:200]} is unknown, and {scope} has a budget in USD. The operator can add a price "
        'file, or set unpriced = "assume RATE" or "free" on the cap.',
        headers={"x-should-retry": "false"},
    )


def unasked() -> OverloadedError:
    """Returns the error of a call whose caps cannot be checked, because the store does not answer."""
    return OverloadedError(
        "budgets cannot be checked: their store does not answer", headers={"retry-after": "5"}
    )


def _scope(scope: Scope) -> str:
    return f"all of {scope.removeprefix('pool:')}" if scope.startswith("pool:") else scope


def _span(window: Window) -> str:
    if window.ends_at is None:
        return "for this session"
    return _CALENDAR.get(window.period) or f"for {window.period} seconds"
