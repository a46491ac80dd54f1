"""Deviations of Responses vendors: one row per vendor, one column per deviation."""

from nexusflow_core.dialects.openai_responses.vendors.columns import Vendor
from nexusflow_core.dialects.openai_responses.vendors.rows import GENERIC, VENDORS, vendor_row

__all__ = ["GENERIC", "VENDORS", "Vendor", "vendor_row"]
