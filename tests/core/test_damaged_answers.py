"""Answers with bytes flipped, cut out and put in, in any chunks: every decoder ends in an honest way.

The seeds are answers of our own, and recorded ones where there are any.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from functools import lru_cache
from itertools import islice, pairwise
from typing import Any
from unittest.mock import patch

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nexusflow_core import Exchange
from nexusflow_core.dialects import DIALECTS
from nexusflow_core.exchange import Close, Read
from tests import traffic
from tests.chaos.faults import SPEAKS, Dialect
from tests.core.test_exchange import exchange_of
from tests.core.translation import driving
from tests.core.translation.grammar import checked
from tests.core.translation.toy import SAID, TOY, toy_answer, toy_events

EDITS = st.lists(
    st.tuples(
        st.sampled_from(["flip", "cut", "insert", "repeat"]),
        st.floats(0, 1, exclude_max=True),
        st.integers(0, 255),
        st.integers(1, 40),
    ),
    max_size=6,
)
CUTS = st.lists(st.floats(0, 1), max_size=8)


_FOLDERS = {"openai-responses": "responses"}


@lru_cache
def seeds(dialect: Dialect, stream: bool) -> list[bytes]:
    spoken = SPEAKS[dialect]
    own = [b"".join(spoken.events) if stream else spoken.body]
    recorded = (
        exchange.body.encode()
        for exchange in traffic.exchanges(dialect, method="POST", within=_FOLDERS.get(dialect, "dev"))
        if exchange.body and len(exchange.body) < 9000
        if (exchange.body_is_sse, exchange.status) == (stream, 200)
    )
    return own * 10 + list(islice(recorded, 30))


def damaged(data: bytes, edits: Iterable[tuple[str, float, int, int]]) -> bytes:
    for kind, where, byte, size in edits:
        at = int(where * len(data))
        piece = data[at : at + size]
        match kind:
            case "flip" if piece:
                data = data[:at] + bytes([piece[0] ^ (byte or 1)]) + data[at + 1 :]
            case "cut":
                data = data[:at] + data[at + size :]
            case "insert":
                data = data[:at] + bytes([byte]) * size + data[at:]
            case _:
                data = data[:at] + piece + data[at:]
    return data


def pieces(data: bytes, cuts: Iterable[float]) -> list[bytes]:
    places = sorted({0, len(data), *(int(cut * len(data)) for cut in cuts)})
    return [data[a:b] for a, b in pairwise(places)]


def drive(x: Exchange, stream: bool, chunks: Iterable[bytes]) -> tuple[int, bytes]:
    """Status and body for the client."""
    kind = b"text/event-stream" if stream else b"application/json"
    x.start(0.0)
    out = x.receive_head(200, [(b"content-type", kind)], 0.0)
    for piece in chunks:
        if isinstance(x.order, Read):
            out += x.receive_data(piece, 0.0)
    if isinstance(x.order, Read):
        out += x.receive_eof(0.0)
    assert isinstance(x.order, Close)
    assert x.response_head is not None
    return x.response_head.status, out


@pytest.mark.parametrize("stream", [False, True], ids=["sync", "stream"])
@pytest.mark.parametrize("dialect", ["openai-chat", "openai-responses"])
@given(number=st.integers(0, 1000), edits=EDITS, cuts=CUTS)
@settings(deadline=None, max_examples=300)
def test_a_damaged_answer_is_translated_or_refused(
    dialect: Dialect, stream: bool, number: int, edits: Any, cuts: Any
) -> None:
    """A message, or a stream that obeys the grammar to its end, or an error; and a record that agrees."""
    found = seeds(dialect, stream)
    translated_or_refused(dialect, stream, pieces(damaged(found[number % len(found)], edits), cuts))


@pytest.mark.parametrize("stream", [False, True], ids=["sync", "stream"])
@given(edits=EDITS, cuts=CUTS)
@settings(deadline=None, max_examples=300)
def test_a_damaged_answer_of_the_toy(stream: bool, edits: Any, cuts: Any) -> None:
    """What holds for a dialect of the table holds for any that is built on translation/."""
    seed = b"".join(b"data: " + event + b"\n\n" for event in toy_events(SAID)) if stream else toy_answer(SAID)
    with patch.dict(DIALECTS, {"toy": TOY}):
        translated_or_refused("toy", stream, pieces(damaged(seed, edits), cuts))


def translated_or_refused(dialect: str, stream: bool, chunks: list[bytes]) -> None:
    x = driving.exchange_of(driving.asking(stream=stream), dialect=dialect)
    status, body = drive(x, stream, chunks)
    record = x.record(0.0)
    if status != 200:
        assert set(json.loads(body)) == {"type", "error", "request_id"}
        assert record.ending == "error"
    elif stream:
        last = checked(body)[-1]["type"]
        assert last in ("message_stop", "error")
        assert (record.ending == "complete") == (last == "message_stop")
    else:
        assert json.loads(body)["type"] == "message"
        assert record.ending == "complete"


@pytest.mark.parametrize("stream", [False, True], ids=["sync", "stream"])
@given(number=st.integers(0, 1000), edits=EDITS, cuts=CUTS)
@settings(deadline=None, max_examples=300)
def test_a_damaged_answer_is_relayed_or_refused(stream: bool, number: int, edits: Any, cuts: Any) -> None:
    """The bytes as they came, with at most one error event of ours behind them; or an error in their place."""
    found = seeds("anthropic", stream)
    seed = found[number % len(found)]
    x, came = exchange_of(), damaged(seed, edits)
    status, body = drive(x, stream, pieces(came, cuts))
    record = x.record(0.0)
    if status != 200:
        assert set(json.loads(body)) == {"type", "error", "request_id"}
        assert record.ending == "error"
    else:
        assert body.startswith(came)
        added = body[len(came) :]
        assert not added or (stream and added.lstrip(b"\n").startswith(b"event: error\n"))
        assert not added or record.ending == "error"
