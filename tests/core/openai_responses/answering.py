"""A call whose Responses upstream answers with these events, or with this body."""

import json
from collections.abc import Sequence
from typing import Any

from nexusflow_core.routing import TargetOptions
from tests.core.translation.driving import Driven, asking, drive, exchange_of

__all__ = [
    "DIALECT",
    "added",
    "answered",
    "completed",
    "created",
    "done",
    "event",
    "item",
    "message",
    "sse",
    "streamed",
]

DIALECT = "openai-responses"
USAGE = {"input_tokens": 10, "output_tokens": 5, "total_tokens": 15}


def event(type: str, **members: Any) -> dict[str, Any]:
    return {"type": f"response.{type}", **members}


def created() -> list[dict[str, Any]]:
    response = {"id": "resp_1", "object": "response", "status": "in_progress", "model": "m-1", "output": []}
    return [event("created", response=response), event("in_progress", response=response)]


def item(type: str, **members: Any) -> dict[str, Any]:
    return {"type": type, "id": f"{type}_1", **members}


def message(*texts: str, **members: Any) -> dict[str, Any]:
    parts = [{"type": "output_text", "text": text, "annotations": []} for text in texts]
    return item("message", role="assistant", content=parts, **members)


def call(name: str = "get_time", arguments: str = "{}", call_id: str = "call_1") -> dict[str, Any]:
    return item("function_call", name=name, arguments=arguments, call_id=call_id)


def added(index: int, it: dict[str, Any]) -> dict[str, Any]:
    return event("output_item.added", output_index=index, item=it)


def done(index: int, it: dict[str, Any]) -> dict[str, Any]:
    return event("output_item.done", output_index=index, item=it)


def text(index: int, *pieces: str) -> list[dict[str, Any]]:
    return [event("output_text.delta", output_index=index, content_index=0, delta=piece) for piece in pieces]


def response(*items: dict[str, Any], status: str = "completed", **members: Any) -> dict[str, Any]:
    made = {"object": "response", "status": status, "model": "m-1", "output": list(items), "usage": USAGE}
    return {**made, **members}


def completed(*items: dict[str, Any], **members: Any) -> dict[str, Any]:
    whole = response(*items, **members)
    return event(whole["status"], response=whole)


def sse(events: Sequence[dict[str, Any]]) -> bytes:
    return b"".join(
        b"event: %b\ndata: %b\n\n" % (one["type"].encode(), json.dumps(one).encode()) for one in events
    )


def streamed(
    events: Sequence[dict[str, Any]] | bytes,
    *,
    size: int = 10**9,
    vendor: str | None = "openai",
    options: TargetOptions | None = None,
    **members: Any,
) -> Driven:
    """A streaming call. `size`: the upstream's bytes come in pieces of this many."""
    data = events if isinstance(events, bytes) else sse(events)
    pieces = [data[at : at + size] for at in range(0, len(data), size)]
    exchange = exchange_of(asking(stream=True, **members), dialect=DIALECT, vendor=vendor, options=options)
    return drive(exchange, pieces, status=200, headers=[(b"content-type", b"text/event-stream")])


def answered(
    body: dict[str, Any] | bytes,
    *,
    status: int = 200,
    stream: bool = False,
    vendor: str | None = "openai",
    options: TargetOptions | None = None,
    **members: Any,
) -> Driven:
    """A call whose upstream answers with a body."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    exchange = exchange_of(asking(stream=stream, **members), dialect=DIALECT, vendor=vendor, options=options)
    return drive(exchange, [data], status=status, headers=[(b"content-type", b"application/json")])
