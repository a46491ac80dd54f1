"""JSON values split from a text, over any cut of its bytes."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nexusflow_core.logs import JSONSplitter, Skipped, has_rows
from tests.cuts import cut, cuts

leaves = st.none() | st.booleans() | st.integers() | st.text(st.sampled_from('a"\\{}[],\n\u2028é'), max_size=6)
values = st.recursive(
    leaves, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3)
)
objects = st.dictionaries(st.text(max_size=3), values, max_size=3)


def split(*chunks: bytes, max_value: int = 10_000) -> list[tuple[int, bytes | Skipped]]:
    splitter = JSONSplitter(max_value)
    found = [it for chunk in chunks for it in splitter.feed(chunk)]
    return found + list(splitter.flush())


def decoded(found: list[tuple[int, bytes | Skipped]]) -> list[Any]:
    return [json.loads(value) for _, value in found if isinstance(value, bytes)]


@given(
    rows=st.lists(objects, max_size=4),
    indent=st.sampled_from([None, 0, 2]),
    array=st.booleans(),
    places=cuts(),
)
def test_any_cut_gives_the_same_values(
    rows: list[dict[str, Any]], indent: int | None, array: bool, places: list[int]
) -> None:
    """An array, or values one after another, pretty or not: each value once, whole, in order."""
    texts = [json.dumps(row, indent=indent, ensure_ascii=False) for row in rows]
    text = (json.dumps(rows, indent=indent, ensure_ascii=False) if array else "\n".join(texts)).encode()
    whole = split(text)
    assert decoded(whole) == rows
    assert split(*cut(text, places)) == whole


odd = st.text(st.sampled_from('{}[]",:\\1 \n'), max_size=40).map(str.encode)


@given(text=st.binary(max_size=60) | odd, places=cuts())
def test_no_bytes_raise(text: bytes, places: list[int]) -> None:
    """Whatever the text is, any cut of it gives the same values, and none of them is invented."""
    whole = split(text)
    assert split(*cut(text, places)) == whole
    assert all(isinstance(value, bytes) and value in text for _, value in whole)


def test_values_have_their_lines() -> None:
    """Each has the line on which it begins; a value that was cut short is given as it is."""
    text = b'\n[\n {"a": 1},\n {\n  "b": 2\n }\n]\n{"c'
    assert [(line, value) for line, value in split(text)] == [
        (3, b'{"a": 1}'),
        (4, b'{\n  "b": 2\n }'),
        (8, b'{"c'),
    ]


@pytest.mark.parametrize("size", [1, 7, 64, 10_000])
@pytest.mark.parametrize(
    "filler", [b'"%s"' % (b"x" * 900), b'"%s"' % (b'\\"\\\\' * 300), b"[%s1]" % (b"1," * 500)]
)
def test_a_value_that_is_too_long(filler: bytes, size: int) -> None:
    """It is reported, its bytes are dropped as they come, and the next value is read."""
    text = b'[{"a": %s}, {"b": 2}]' % filler
    splitter, held = JSONSplitter(200), 0
    found: list[tuple[int, bytes | Skipped]] = []
    for start in range(0, len(text), size):
        found += splitter.feed(text[start : start + size])
        held = max(held, len(splitter._buffer))
    found += splitter.flush()
    assert decoded(found) == [{"b": 2}] or (size > len(text) and decoded(found)[-1] == {"b": 2})
    assert held <= 200 + size
    if size <= len(text):
        assert [value.lost for _, value in found if isinstance(value, Skipped)] == [True]


HEADS = [b'{"data": [', b'{"object":"page","has_more":false,"data":[', b'{"resourceSpans" : [\n']


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("size", [3, 50, 333])
def test_a_large_page_is_split_into_its_rows(head: bytes, size: int) -> None:
    """A small one stays whole. What stands behind the rows is left out; the next value is read."""
    rows = [{"row": number, "in": {"deep": [1, {"x": "]"}]}} for number in range(100)]
    text = head + json.dumps(rows).encode()[1:-1] + b'], "next": {"a": {"b": [1, 2]}}}\n{"c": 3}'
    found = split(*(text[at : at + size] for at in range(0, len(text), size)), max_value=400)
    assert decoded(found) == [*rows, {"c": 3}]
    assert decoded(split(text)) == [json.loads(text.split(b'\n{"c')[0]), {"c": 3}]
    assert has_rows(head)


def test_other_objects_are_not_split() -> None:
    """An object whose rows have another name is too long as a whole."""
    text = b'{"usage": 1, "rows": [%s1]}' % (b"1," * 500)
    assert not has_rows(text)
    ((_, value),) = split(*(text[at : at + 50] for at in range(0, len(text), 50)), max_value=200)
    assert isinstance(value, Skipped)
