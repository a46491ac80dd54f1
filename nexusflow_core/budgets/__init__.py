"""Budgets: caps on what a scope may use in a window, held before a call and settled after it."""

from nexusflow_core.budgets.amounts import Unit, shown
from nexusflow_core.budgets.budget import Budget, Budgets, Crossing
from nexusflow_core.budgets.caps import MAX_SCOPE, MAX_SCOPES, Cap, Scope, wrong_scopes
from nexusflow_core.budgets.expected import Means, Quantities, Sending, actual
from nexusflow_core.budgets.holds import (
    Balance,
    Charge,
    Claim,
    Hold,
    Refusal,
    RefusalCause,
    Settled,
    decide,
)
from nexusflow_core.budgets.refusals import refused, unasked, unpriced
from nexusflow_core.budgets.windows import Meter, Period, Window

__all__ = [
    "MAX_SCOPE",
    "MAX_SCOPES",
    "Balance",
    "Budget",
    "Budgets",
    "Cap",
    "Charge",
    "Claim",
    "Crossing",
    "Hold",
    "Means",
    "Meter",
    "Period",
    "Quantities",
    "Refusal",
    "RefusalCause",
    "Scope",
    "Sending",
    "Settled",
    "Unit",
    "Window",
    "actual",
    "decide",
    "refused",
    "shown",
    "unasked",
    "unpriced",
    "wrong_scopes",
]
