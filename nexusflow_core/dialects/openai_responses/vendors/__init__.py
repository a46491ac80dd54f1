"""Deviations of Responses vendors: one row per vendor, one column per deviation."""

from nexusflow_core.dialects.openai_responses.vendors.columns import (
    WRAPPERS,
    ResponsesRequestFacts,
    ResponsesTranslation,
    Vendor,
)
from nexusflow_core.dialects.openai_responses.vendors.rows import GENERIC, VENDORS, vendor_row

__all__ = [
    "GENERIC",
    "VENDORS",
    "WRAPPERS",
    "ResponsesRequestFacts",
    "ResponsesTranslation",
    "Vendor",
    "vendor_row",
]
