"""Budgets of calls: held before the upstream is called, renewed while it answers, settled at the end."""

from nexusflow_asgi.budgets.call_budgets import CallBudgets, OnThreshold

__all__ = ["CallBudgets", "OnThreshold"]
