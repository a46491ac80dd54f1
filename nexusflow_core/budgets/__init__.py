"""Budgets: caps on what a scope may use in a window, held before a call and settled after it."""

from nexusflow_core.budgets.amounts import Unit
from nexusflow_core.budgets.caps import MAX_SCOPE, MAX_SCOPES, Cap, Scope
from nexusflow_core.budgets.holds import Balance, Charge, Claim, Hold, Refusal, RefusalCause, decide
from nexusflow_core.budgets.windows import Meter, Period, Window

__all__ = [
    "MAX_SCOPE",
    "MAX_SCOPES",
    "Balance",
    "Cap",
    "Charge",
    "Claim",
    "Hold",
    "Meter",
    "Period",
    "Refusal",
    "RefusalCause",
    "Scope",
    "Unit",
    "Window",
    "decide",
]
