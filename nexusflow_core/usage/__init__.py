"""Token usage: as vendors send it, merged over a stream, and in buckets that do not overlap."""

from nexusflow_core.usage.billing import EXPLICIT_CACHE, Billing, read_bill
from nexusflow_core.usage.buckets import Iteration, Usage, Wire, exact
from nexusflow_core.usage.merge import WireUsage, merge_usage
from nexusflow_core.usage.wires import READERS

__all__ = [
    "EXPLICIT_CACHE",
    "READERS",
    "Billing",
    "Iteration",
    "Usage",
    "Wire",
    "WireUsage",
    "exact",
    "merge_usage",
    "read_bill",
]
