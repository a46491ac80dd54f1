"""What a stream holds back is bounded: beyond it one error ends the stream; what has gone out is not kept."""

import json
import tracemalloc
from itertools import chain, repeat
from typing import Any

import pytest

from nexusflow_core.exchange import Read
from tests.core.translation.driving import asking, chunks, exchange_of, sse, streamed
from tests.core.translation.grammar import checked

BOUND = 16 * 1024 * 1024
PIECE = 100_000


def delta(**members: Any) -> bytes:
    return sse(chunks(members, finish=None), done=False)


def call(arguments: str | None = None, index: int = 0, **members: Any) -> dict[str, Any]:
    function = {"arguments": arguments, **members}
    return {"tool_calls": [{"index": index, "function": function}]}


OPEN = delta(**call('{"a":', name="add"))
"""A call whose arguments are not whole."""

HIDDEN = {"thinking": {"type": "adaptive", "display": "omitted"}}
HELD: list[tuple[str, bytes, bytes, str | None, dict[str, Any]]] = [
    ("text behind a call", OPEN, delta(content="x" * PIECE), None, {}),
    ("thinking behind a call", OPEN, delta(reasoning_content="x" * PIECE), None, {}),
    ("text and thinking in turn", OPEN, delta(content="x" * PIECE, reasoning_content="y"), None, {}),
    ("a call behind a call", OPEN, delta(**call("x" * PIECE, 1, name="add")), None, {}),
    ("a call without a name", b"", delta(**call("x" * PIECE)), None, {}),
    ("a name", delta(**call(name="y")), delta(**call(name="x" * PIECE)), None, {}),
    ("blank text", b"", delta(content=" " * PIECE), "openai", {}),
    ("blank text before a tag", b"", delta(content=" " * PIECE), "together", {}),
    ("a refusal", b"", delta(refusal="x" * PIECE), None, {}),
    ("hidden thinking", b"", delta(reasoning_content="x" * PIECE), "deepseek", HIDDEN),
    (
        "details",
        b"",
        delta(reasoning_details=[{"type": "reasoning.text", "text": "x" * PIECE, "index": 0}]),
        "openrouter",
        {},
    ),
    (
        "encrypted details",
        b"",
        delta(reasoning_details=[{"type": "reasoning.encrypted", "data": {"x": ["x" * PIECE]}}]),
        "openrouter",
        {},
    ),
]


@pytest.mark.parametrize(
    ("first", "again", "vendor", "members"), [case[1:] for case in HELD], ids=[case[0] for case in HELD]
)
def test_what_cannot_go_out_is_bounded(
    first: bytes, again: bytes, vendor: str | None, members: dict[str, Any]
) -> None:
    """As much as a whole answer may have; then one error, and the upstream is let go."""
    exchange = exchange_of(asking(stream=True, **members), vendor=vendor)
    exchange.start(0.0)
    exchange.receive_head(200, [(b"content-type", b"text/event-stream")], 0.0)
    out, taken = bytearray(), 0
    for piece in chain([first], repeat(again, 2 * BOUND // PIECE)):
        if not isinstance(exchange.order, Read):
            break
        taken += len(piece)
        out += exchange.receive_data(piece, 0.0)
    assert not isinstance(exchange.order, Read)
    assert BOUND * 0.9 < taken < BOUND * 1.1
    events = checked(bytes(out))
    assert [event["type"] for event in events].count("error") == 1
    assert events[-1]["error"]["type"] == "api_error"
    assert exchange.record(0.0).ending == "error"


def test_calls_without_number_are_bounded() -> None:
    """Those beyond the most that are passed on must be known, too, so that nothing of them reaches another."""
    exchange = exchange_of(asking(stream=True))
    exchange.start(0.0)
    exchange.receive_head(200, [(b"content-type", b"text/event-stream")], 0.0)
    out, number = bytearray(), 0
    while isinstance(exchange.order, Read) and number < BOUND // 500:
        many = [call("{}", number + n, name="add")["tool_calls"][0] for n in range(500)]
        out += exchange.receive_data(delta(tool_calls=many), 0.0)
        number += 500
    assert not isinstance(exchange.order, Read)
    events = checked(bytes(out))
    assert events[-1]["type"] == "error"
    assert [event["type"] for event in events].count("content_block_start") <= 256


def test_less_than_that_goes_out_at_the_end() -> None:
    """Nothing of it is lost, nor twice there."""
    many = BOUND * 9 // 10 // PIECE
    end = sse(chunks(call("1}")), done=True)
    driven = streamed([OPEN, *[delta(content="x" * PIECE)] * many, end])
    assert checked(driven.body)[-1]["type"] == "message_stop"
    assert driven.body.count(b"x") - driven.body.count(b"max") >= many * PIECE


def test_arguments_that_go_out_are_not_kept() -> None:
    """However long they grow, their call stays open and can be told to be whole."""
    exchange = exchange_of(asking(stream=True))
    exchange.start(0.0)
    exchange.receive_head(200, [(b"content-type", b"text/event-stream")], 0.0)
    exchange.receive_data(delta(**call('{"a":"', name="add")), 0.0)
    piece, sent = delta(**call("x" * PIECE)), 0
    tracemalloc.start()
    try:
        for _ in range(3 * BOUND // PIECE):
            sent += len(exchange.receive_data(piece, 0.0))
        held = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    assert sent > 3 * BOUND * 0.99
    assert held < 2 * PIECE
    out = exchange.receive_data(delta(**call('"}')) + delta(content="So."), 0.0)
    assert json.dumps({"type": "text_delta", "text": "So."}, separators=(",", ":")).encode() in out
