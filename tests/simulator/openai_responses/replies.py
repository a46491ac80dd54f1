"""What the simulated model answers over Responses, with thoughts and words between its calls on demand."""

from __future__ import annotations

from collections.abc import Iterator

from msgspec.structs import replace

from nexusflow_core.simulator.openai_responses import ResponsesRequest
from nexusflow_core.simulator.reply import Part, Reply, Text, Thought, ToolCall, reply

__all__ = ["reply_to"]

_BETWEEN = "simulate thoughts between"


def reply_to(request: ResponsesRequest) -> Reply:
    """The product's reply; with the directive, each call has a thought, a word and a thought before it."""
    ask = request.ask()
    plain = reply(ask)
    if _BETWEEN not in ask.text:
        return plain
    return replace(plain, parts=tuple(_interrupted(plain.parts)))


def _interrupted(parts: tuple[Part, ...]) -> Iterator[Part]:
    for number, part in enumerate(parts):
        if isinstance(part, ToolCall):
            yield from (Text(f"Call {number} is next."), Thought(f"Is call {number} right? Yes."))
        yield part
