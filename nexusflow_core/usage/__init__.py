"""Token usage: as vendors send it, merged over a stream, and split into buckets that do not overlap."""

from nexusflow_core.usage.anthropic import read_metered
from nexusflow_core.usage.billing import EXPLICIT_CACHE, Billing, read_bill
from nexusflow_core.usage.buckets import Iteration, Usage, Wire, exact
from nexusflow_core.usage.merge import (
    MAX_USAGE_BYTES,
    MAX_USAGE_MEMBERS,
    WireUsage,
    add_members,
    merge_usage,
    read_wire_usage,
)
from nexusflow_core.usage.others import READERS

__all__ = [
    "EXPLICIT_CACHE",
    "MAX_USAGE_BYTES",
    "MAX_USAGE_MEMBERS",
    "READERS",
    "Billing",
    "Iteration",
    "Usage",
    "Wire",
    "WireUsage",
    "add_members",
    "exact",
    "merge_usage",
    "read_bill",
    "read_metered",
    "read_wire_usage",
]
