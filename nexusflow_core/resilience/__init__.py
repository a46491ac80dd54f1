"""Decides after a failure before the first byte: the same target again, the next one, or give up.

Pure: `now` is an argument, in seconds of one clock.
"""

from nexusflow_core.resilience.circuits import Circuit, CircuitMemory, Circuits, Health
from nexusflow_core.resilience.failures import Counts, Failure, Reason, failure_of, stated_wait
from nexusflow_core.resilience.plan import Plan, Step

__all__ = [
    "Circuit",
    "CircuitMemory",
    "Circuits",
    "Counts",
    "Failure",
    "Health",
    "Plan",
    "Reason",
    "Step",
    "failure_of",
    "stated_wait",
]
