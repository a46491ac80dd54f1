"""Costs: `amounts` holds the types, `cost` the rules, `iterations` adds up several model calls.

`batch` prices tables of many rows, `rates` makes a table of prices, `sums` prices counts that are sums.
"""

from nexusflow_core.costing.amounts import Cost, CostLine
from nexusflow_core.costing.batch import cost_batch
from nexusflow_core.costing.cost import cost
from nexusflow_core.costing.rates import rates_table
from nexusflow_core.costing.sums import cost_of_sum

__all__ = ["Cost", "CostLine", "cost", "cost_batch", "cost_of_sum", "rates_table"]
