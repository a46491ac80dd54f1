"""Costs: `amounts` holds the types, `cost` the rules, `iterations` adds up several model calls."""

from nexusflow_core.costing.amounts import Cost, CostLine
from nexusflow_core.costing.cost import cost

__all__ = ["Cost", "CostLine", "cost"]
