"""The vendor table: what a column is for, some row shows."""

import pytest

from nexusflow_core.dialects.openai_responses.vendors import GENERIC, VENDORS, Vendor, vendor_row
from tests.core.openai_responses.asking import sent


@pytest.mark.parametrize("column", [name for name in Vendor.__struct_fields__ if name != "uncertain"])
def test_every_column_has_a_row(column: str) -> None:
    """A column that no vendor deviates in would be dead code."""
    assert any(getattr(row, column) != getattr(Vendor(), column) for row in VENDORS.values())


@pytest.mark.parametrize("name", VENDORS)
def test_uncertain_columns_are_columns(name: str) -> None:
    """And such that the row says something in them."""
    row = VENDORS[name]
    assert [col for col in row.uncertain if getattr(row, col) == getattr(Vendor(), col)] == []


@pytest.mark.parametrize("name", VENDORS)
def test_what_a_vendor_refuses_is_never_sent(name: str) -> None:
    """Whatever the request asks for."""
    tools = [{"name": "f", "input_schema": {"type": "object"}}]
    choice = {"type": "auto", "disable_parallel_tool_use": True}
    body = sent(
        vendor=name, tools=tools, tool_choice=choice, stream=True, temperature=1, top_p=1, model="gpt-oss"
    )
    assert not VENDORS[name].refuses & body.keys()


def test_a_vendor_without_a_row() -> None:
    """It gets what OpenAI documents."""
    assert vendor_row("somebody") is vendor_row(None) is GENERIC
