"""The vendor table: one row for each Chat Completions vendor, one column for each deviation."""

from nexusflow_core.dialects.openai_chat.vendors.columns import (
    ChatRequestFacts,
    ChatTranslation,
    Prefill,
    Vendor,
)
from nexusflow_core.dialects.openai_chat.vendors.rows import GENERIC, VENDORS, vendor_row

__all__ = ["GENERIC", "VENDORS", "ChatRequestFacts", "ChatTranslation", "Prefill", "Vendor", "vendor_row"]
