"""The number of JSON values in a text, counted without decoding: never too few, and exact beyond what is
enough."""

import json
from typing import Any

import msgspec
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


SPELLINGS = (
    *("0", "-0", "12", "-12.50", "1e5", "1.5E-3", "9" * 30, "0." + "9" * 30, "true", "false", "null", "[1, 2]"),
    *('""', '"a b"', '"a\\"b"', '"\\u0041"', '"\u00e9"', '"\x7f"', '"' + "x" * 300 + '"', '{"a": {}}', "[]"),
    *("", "-", "--1", "+1", "01", "1.", ".5", "1 2", "0x1", "tru", "truex", '"a', '"a"b', '"a\nb"', '"\x00"'),
)


@given(st.lists(st.sampled_from(SPELLINGS), min_size=1, max_size=4), st.sampled_from(("", " ", "\n\t")))
def test_a_value_is_found_or_refused_as_the_decoder_does(spelled: list[str], blank: str) -> None:
    """However short and plain it is, and wherever it stands."""
    inside = ",".join(f'{blank}"k{at}"{blank}:{blank}{value}{blank}' for at, value in enumerate(spelled))
    text = f"{{{inside}}}".encode()
    try:
        expected = msgspec.json.decode(text, type=dict[str, msgspec.Raw])
    except (msgspec.DecodeError, UnicodeDecodeError):
        with pytest.raises(InvalidRequestError, match="not valid JSON"):
            members(text)
    else:
        assert {key: text[start:end] for key, start, end in members(text)} == {
            key: bytes(value) for key, value in expected.items()
        }
