"""How each Chat Completions vendor deviates: one row a vendor, one column a deviation."""

from nexusflow_core.dialects.openai_chat.vendors.columns import Prefill, Thinking, Vendor
from nexusflow_core.dialects.openai_chat.vendors.rows import GENERIC, VENDORS, vendor_row

__all__ = ["GENERIC", "VENDORS", "Prefill", "Thinking", "Vendor", "vendor_row"]
