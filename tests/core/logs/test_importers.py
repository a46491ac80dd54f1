"""Telling formats apart, and lines that are no entry of any."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nexusflow_core.logs import IMPORTERS, Entry, Skipped, read_line, read_log
from nexusflow_core.usage.others import READERS

RECORD = b'{"schema":1,"request_id":"r","started_at":"2026-11-22T12:00:00Z","usage":null,"model":"m"}'
USAGE = b'{"usage":{"output_tokens":1},"model":"m","at":"2026-11-22"}'

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
names = """schema request_id usage model at timestamp started_at wire batch key session stop_reason attempts
    metadata stream usage_source cost_usd cost_flags response_model principal""".split()
members = st.dictionaries(st.sampled_from(names), values)

MORE = """attributes amount cost created created_at currency data end_time group id input_tokens key info
    last_token_usage line_item output_tokens payload provider_name response role scopeSpans spans spend message
    starting_at start_time startTimeUnixNano tokens total_token_usage type value native_tokens_prompt
    object""".split()
FORMS = [form.members for importer in IMPORTERS.values() for form in importer.forms]
words = st.sampled_from(
    ["token_count", "event_msg", "2026-11-22", "chat.completion", "assistant", "-1", "1e999"]
)
scalars = st.none() | st.booleans() | st.integers() | st.floats() | words
deep = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(MORE), inner, max_size=3),
    max_leaves=10,
)


def test_lines_are_told_apart_by_their_members() -> None:
    """A call log line has `usage` and `model` too; what it alone has decides."""
    record, usage = read_line(RECORD), read_line(USAGE)
    assert isinstance(record, Entry)
    assert isinstance(usage, Entry)
    assert record.usage is None
    assert usage.usage is not None
    assert b'"usage"' in RECORD


def test_a_named_format_is_not_doubted() -> None:
    """With `source` each line is read as that, or skipped."""
    assert isinstance(read_line(RECORD, "call-log"), Entry)
    assert isinstance(read_line(USAGE, "usage"), Entry)
    assert isinstance(read_line(USAGE, "call-log"), Skipped)
    assert isinstance(read_line(RECORD, "usage"), Skipped)


@pytest.mark.parametrize(
    ("line", "says"),
    [
        (b"", "truncated"),
        (b"nonsense", "malformed"),
        (b"[]", "array"),
        (b"{}", f"matches no known format: {', '.join(IMPORTERS)}"),
        (USAGE[:-1], "truncated"),
        (USAGE + b"{}", "malformed"),
        (b"\xff\xfe", "malformed"),
        (b"[" * 10**6, "array"),
        (b'{"usage":' * 10**5, "nested too deep"),
        (b'{"schema":{"schema":1},"request_id":"r"}', "$.schema"),
    ],
)
def test_a_line_of_no_format(line: bytes, says: str) -> None:
    """Skipped with a reason."""
    read = read_line(line)
    assert isinstance(read, Skipped)
    assert says in read.reason


@given(line=st.binary(max_size=200), source=st.sampled_from([None, *IMPORTERS]))
def test_no_bytes_raise(line: bytes, source: str | None) -> None:
    """Whatever is in a line, it is an entry or has a reason, in one short printable line."""
    read = read_line(line, source)
    if isinstance(read, Skipped):
        assert read.reason.isprintable()
        assert 0 < len(read.reason) <= 200


@given(members=members, source=st.sampled_from([None, *IMPORTERS]))
def test_no_members_raise(members: dict[str, object], source: str | None) -> None:
    """The right names with any values."""
    assert isinstance(read_line(json.dumps(members).encode(), source), Entry | Skipped)


@given(data=st.data(), form=st.sampled_from(FORMS))
def test_no_value_of_any_form_raises(data: st.DataObject, form: frozenset[str]) -> None:
    """The members that tell a form, with any values, and others beside them."""
    others = {name: deep for name in ("usage", "timestamp") if name not in form}
    value = data.draw(st.fixed_dictionaries(dict.fromkeys(sorted(form), deep), optional=others))
    line = json.dumps(value, allow_nan=False).encode() if _finite(value) else repr(value).encode()
    assert all(isinstance(row, Entry | Skipped) for _, row in read_log([(1, line)]))


def _finite(value: object) -> bool:
    try:
        json.dumps(value, allow_nan=False)
    except ValueError:
        return False
    return True


@given(usage=values, wire=st.sampled_from(sorted(READERS)))
def test_no_usage_raises(usage: object, wire: str) -> None:
    """Any value as the usage object of any form."""
    line = {"usage": usage, "model": "claude-opus-4-7", "at": "2026-11-22", "wire": wire}
    assert isinstance(read_line(json.dumps(line).encode()), Entry | Skipped)


def test_a_reason_cannot_break_a_terminal() -> None:
    """What a line holds is repeated only in printable characters."""
    read = read_line(b'{"usage":{},"model":"m","at":"\\u001b[2J\\nx"}')
    assert isinstance(read, Skipped)
    assert read.reason.isprintable()
    assert "\x1b" not in read.reason
    assert "\n" not in read.reason
