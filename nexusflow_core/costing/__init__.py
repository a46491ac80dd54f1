"""Costs: `amounts` holds the types, `cost` the rules, `iterations` adds up several model calls.

`batch` prices tables of many rows, `rates` makes a table of prices, `sums` prices counts that are sums. Pricing
single calls needs none of them, so they are not imported here.
"""

from nexusflow_core.costing.amounts import Cost, CostLine
from nexusflow_core.costing.cost import cost

__all__ = ["Cost", "CostLine", "cost"]
