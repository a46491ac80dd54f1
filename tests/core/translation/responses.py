"""An answer that is written as a Chat Completions message, said in the Responses API."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

__all__ = ["responses_answer", "responses_events"]

USAGE = {"input_tokens": 10, "output_tokens": 5, "total_tokens": 15}


def responses_answer(message: Mapping[str, Any]) -> bytes:
    """As a whole."""
    return json.dumps(_response("completed", output=_output(message), usage=USAGE)).encode()


def responses_events(message: Mapping[str, Any]) -> list[bytes]:
    """As a stream, in pieces; the first event that says something is the third."""
    events = [{"type": f"response.{name}", "response": _response("in_progress")} for name in _BEGINS]
    for index, item in enumerate(_output(message)):
        events += [{**event, "output_index": index, "item_id": item["id"]} for event in _said(item)]
    end = _response("completed", output=_output(message), usage=USAGE)
    events.append({"type": "response.completed", "response": end})
    return [json.dumps({**event, "sequence_number": n}).encode() for n, event in enumerate(events)]


_BEGINS = ("created", "in_progress")


def _response(status: str, **members: Any) -> dict[str, Any]:
    return {"id": "resp_1", "object": "response", "status": status, "model": "m", "output": [], **members}


def _output(message: Mapping[str, Any]) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = []
    if thought := message.get("reasoning_content"):
        summary = [{"type": "summary_text", "text": thought}]
        items.append({"type": "reasoning", "summary": summary, "encrypted_content": "gAAA"})
    if text := message.get("content"):
        part = {"type": "output_text", "text": text, "annotations": []}
        items.append({"type": "message", "role": "assistant", "content": [part]})
    for call in message.get("tool_calls") or ():
        items.append({"type": "function_call", "call_id": call["id"], **call["function"]})
    return [{**item, "id": f"item_{at}", "status": "completed"} for at, item in enumerate(items)]


def _said(item: dict[str, Any]) -> Iterator[dict[str, Any]]:
    shell = {
        "reasoning": {"summary": [], "encrypted_content": "another"},
        "message": {"content": []},
        "function_call": {"arguments": ""},
    }
    yield {"type": "response.output_item.added", "item": {**item, **shell[item["type"]]}}
    if item["type"] == "reasoning":
        name, text, where = "reasoning_summary_text", item["summary"][0]["text"], {"summary_index": 0}
    elif item["type"] == "message":
        name, text, where = "output_text", item["content"][0]["text"], {"content_index": 0}
    else:
        name, text, where = "function_call_arguments", item["arguments"], {}
    for piece in (text[:4], text[4:]):
        yield {"type": f"response.{name}.delta", "delta": piece, **where}
    yield {"type": "response.output_item.done", "item": item}
