"""The number of JSON values in a text, counted without decoding: never too few, and exact beyond what is
enough."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nexusflow_core.errors import RequestTooLargeError
from nexusflow_core.json_spans import check_values, count_values

TEXTS = st.text(alphabet='ab,[{}]"\\:', max_size=6)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=30,
)


def values(value: Any) -> int:
    """Values of decoded JSON, an empty container as two."""
    inside = value.values() if isinstance(value, dict) else value if isinstance(value, list) else None
    return 1 if inside is None else 1 + (sum(map(values, inside)) or 1)


@given(JSON)
def test_values_are_counted_as_the_decoder_makes_them(value: Any) -> None:
    """Commas and brackets inside of strings, keys among them, count nothing."""
    true = values(value)
    assert count_values(json.dumps(value).encode(), true - 1) == true


@given(JSON, st.integers(0, 40))
def test_a_bound_is_passed_exactly_by_more_values(value: Any, most: int) -> None:
    """Whichever way the text is counted."""
    text = json.dumps(value).encode()
    if values(value) > most:
        with pytest.raises(RequestTooLargeError, match=f"more than {most} JSON values"):
            check_values(text, most)
    else:
        check_values(text, most)


@given(st.binary(max_size=100))
def test_what_is_no_json_is_counted_all_the_same(text: bytes) -> None:
    """The decoder says what is wrong with it."""
    assert count_values(text, 3) >= 1
