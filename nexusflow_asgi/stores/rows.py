"""What every store that keeps windows and holds as rows has in common: its bounds, its errors, small sums."""

import random

from nexusflow_core.budgets import Balance, Refusal

__all__ = [
    "ARMED",
    "KEPT_SECONDS",
    "PAUSE",
    "SWEPT_AT_ONCE",
    "TRIES",
    "MissingWindowError",
    "RefusedError",
    "balance_before",
    "pause_after",
]

KEPT_SECONDS = 35 * 86400
"""Seconds that an ended window and a lost hold stay, for calls that end late and for whoever looks."""

SWEPT_AT_ONCE = 500

ARMED = "armed"
"""The unit of a row that keeps the start of an armed window."""

TRIES = 6
"""How often a step is tried that met a deadlock, a busy file or a lost connection."""

PAUSE = 0.01
"""Seconds, at most, before the second try. It doubles with each try."""


class MissingWindowError(Exception):
    """A window of a claim has no row yet."""


class RefusedError(Exception):
    """A claim does not fit. Raised to roll back the claims before it."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__()
        self.refusal = refusal


def pause_after(tried: int) -> float:
    """Returns the seconds to wait after so many failed tries. They differ, so that two calls part."""
    return random.uniform(0, PAUSE * 2**tried)  # noqa: S311 - only a pause


def balance_before(balance: Balance, used: int = 0, held: int = 0, rest: int = 0) -> Balance:
    """Returns the balance before a change."""
    return Balance(balance.used - used, balance.held - held, balance.rest - rest)
