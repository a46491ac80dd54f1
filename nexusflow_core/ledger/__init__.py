"""The ledger: one row per finished call, and sums by day, scope and model."""

from nexusflow_core.ledger.lines import line_of
from nexusflow_core.ledger.rows import LedgerRow, row_of
from nexusflow_core.ledger.spending import EVERYTHING, SUMS, Spend, day_of, spends_of

__all__ = ["EVERYTHING", "SUMS", "LedgerRow", "Spend", "day_of", "line_of", "row_of", "spends_of"]
