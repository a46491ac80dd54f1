"""The number of JSON values in a text, counted without decoding: never too few, and exact beyond what is
enough."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nexusflow_core.errors import InvalidRequestError, RequestTooLargeError
from nexusflow_core.json_spans import check_values, count_values, members

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


BLANKS = st.text(alphabet=" \t\r\n", max_size=2)


@given(st.lists(st.tuples(TEXTS, JSON, BLANKS, BLANKS), max_size=6), BLANKS)
def test_members_are_those_of_the_object(pairs: list[tuple[str, Any, str, str]], around: str) -> None:
    """In order, repeated keys too, each value at its place."""
    parts = [
        f"{left}{json.dumps(key)}{right}:{left}{json.dumps(value)}{right}" for key, value, left, right in pairs
    ]
    text = f"{around}{{{','.join(parts) or around}}}{around}".encode()
    found = [(key, json.loads(text[start:end])) for key, start, end in members(text)]
    assert found == [(key, value) for key, value, _, _ in pairs]


@given(JSON, st.data())
def test_a_damaged_object_has_no_members(value: Any, data: st.DataObject) -> None:
    """A text that no JSON reader takes is refused, wherever it is cut or changed."""
    text = json.dumps({"one": value, "two": 2})
    at = data.draw(st.integers(0, len(text)))
    damaged = text[:at] + data.draw(st.sampled_from(["", ",", "}", '"', ":", "]", "x"])) + text[at + 1 :]
    try:
        expected = json.loads(damaged, object_pairs_hook=lambda pairs: [key for key, _ in pairs])
    except ValueError:
        with pytest.raises(InvalidRequestError):
            members(damaged.encode())
    else:
        assert [key for key, _, _ in members(damaged.encode())] == expected
