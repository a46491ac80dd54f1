"""Dated prices of models, by vendor, and the grammar of model names."""

from nexusflow_core.prices.book import (
    BUILTIN_VENDORS,
    MAX_PROMPT,
    OUTPUT_BY_TOTAL,
    ModelPrices,
    PriceBook,
    Served,
)
from nexusflow_core.prices.folding import Terms
from nexusflow_core.prices.model_id import candidates
from nexusflow_core.prices.price import FEMTO_PER_USD, Price, UnitPrice, usd, usd_text
from nexusflow_core.prices.rows import read_prices

__all__ = [
    "BUILTIN_VENDORS",
    "FEMTO_PER_USD",
    "MAX_PROMPT",
    "OUTPUT_BY_TOTAL",
    "ModelPrices",
    "Price",
    "PriceBook",
    "Served",
    "Terms",
    "UnitPrice",
    "candidates",
    "read_prices",
    "usd",
    "usd_text",
]
