"""What the cache doctor costs: an agent's relayed conversation with dense answers, with and without it."""

import json
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from itertools import count

from benchmarks.measure import Case, Effort, table
from benchmarks.report import Table
from benchmarks.samples import AGENT_REQUEST, DELTAS, END, MODEL, RELAY_CONFIG, START, WORDS, event_data
from nexusflow_core import Call, Gateway, Principal, decode_config

__all__ = ["BODIES", "TURNS", "answer", "conversation", "doctors"]

TURNS = 12
_TOKENS, _A_TURN = 48_000, 900
_AT = datetime(2026, 11, 20, 12, tzinfo=UTC)
_SESSION = [(b"x-claude-code-session-id", b"00000000-0000-4000-8000-000000000000")]


def doctors(effort: Effort) -> Table:
    """Returns the table."""
    cases = [
        Case(name, TURNS - 1, _timed(conversation(doctor=doctor)))
        for name, doctor in (("without the doctor", False), ("[cache] doctor = true", True))
    ]
    title = (
        f"relayed call of an agent's conversation, from {len(AGENT_REQUEST):,} bytes, {len(DELTAS)} deltas each"
    )
    return table(title, "call", cases, effort)


def _timed(begin: Callable[[], Iterator[object]]) -> Callable[[int], int]:
    """Times all calls of a conversation but the first, in which there is nothing to go on from."""

    def timed(count: int) -> int:
        taken = 0
        for _ in range(count):
            calls = begin()
            next(calls)
            before = time.process_time_ns()
            for _ in calls:
                pass
            taken += time.process_time_ns() - before
        return taken

    return timed


def conversation(*, doctor: bool) -> Callable[[], Iterator[object]]:
    """Returns what begins a new caller's conversation. Each step is a call, whose usage it yields."""
    gateway = Gateway(decode_config(RELAY_CONFIG + (b"[cache]\ndoctor = true\n" if doctor else b"")))
    turns = [(body, answer(number)) for number, body in enumerate(BODIES)]
    callers = count()

    def begin() -> Iterator[object]:
        caller = Principal(f"caller-{next(callers)}")
        for number, (body, answer) in enumerate(turns):
            at = _AT + timedelta(seconds=20 * number)
            call = Call(
                endpoint="messages",
                request_id="req_1",
                started_at=at,
                headers=_SESSION,
                body=body,
                principal=caller,
            ).look(10**8)
            exchange = gateway.open(call, started=0.0)
            exchange.start(0.0)
            exchange.receive_head(200, [(b"content-type", b"text/event-stream")], 0.1)
            for event in answer:
                exchange.receive_data(event, 0.2)
            exchange.receive_eof(0.2)
            yield exchange.record(0.2).usage

    return begin


def _bodies() -> Iterator[bytes]:
    """The requests of a growing conversation. The breakpoint stands on the last message of each."""
    request = json.loads(AGENT_REQUEST)
    messages, mark = request["messages"], request["messages"][-1]["content"].pop()["cache_control"]
    text = " ".join(WORDS * 2)
    for number in range(TURNS):
        messages[-1]["content"][-1]["cache_control"] = mark
        yield json.dumps({**request, "model": MODEL}, ensure_ascii=False, separators=(",", ":")).encode()
        del messages[-1]["content"][-1]["cache_control"]
        id = f"toolu_more{number:020}"
        call = {"type": "tool_use", "id": id, "name": "tool_1", "input": {"path": f"src/more/{number}.py"}}
        result = {"type": "tool_result", "tool_use_id": id, "content": (text + "\n") * 10}
        messages += [
            {"role": "assistant", "content": [{"type": "text", "text": text}, call]},
            {"role": "user", "content": [result]},
        ]


def answer(number: int) -> list[bytes]:
    """The events of an answer that read from the cache all that the one before has left there."""
    start = json.loads(event_data(START[0]))
    read = _TOKENS + _A_TURN * (number - 1) if number else 0
    written = _A_TURN if number else _TOKENS
    start["message"]["usage"] = {
        "input_tokens": 4,
        "cache_read_input_tokens": read,
        "cache_creation_input_tokens": written,
        "output_tokens": 1,
    }
    last = {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 517}}
    events = [("message_start", start), ("message_delta", last)]
    first, end = (f"event: {name}\ndata: {json.dumps(data)}\n\n".encode() for name, data in events)
    return [first, *START[1:], *DELTAS, END[0], end, END[2]]


BODIES = list(_bodies())
"""The requests of a conversation."""
