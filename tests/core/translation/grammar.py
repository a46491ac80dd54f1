"""The grammar of a translated stream, checked on the bytes; written apart from the code that makes them."""

import json
from typing import Any

__all__ = ["checked"]

_TYPES = {
    "invalid_request_error",
    "authentication_error",
    "billing_error",
    "permission_error",
    "not_found_error",
    "conflict_error",
    "request_too_large",
    "rate_limit_error",
    "api_error",
    "timeout_error",
    "overloaded_error",
}
_DELTAS = {
    "text": {"text_delta", "citations_delta"},
    "tool_use": {"input_json_delta"},
    "server_tool_use": {"input_json_delta"},
    "web_search_tool_result": set(),
    "compaction": set(),
    "thinking": {"thinking_delta", "signature_delta"},
    "redacted_thinking": set(),
}
_STOPS = {"end_turn", "max_tokens", "stop_sequence", "tool_use", "refusal", "model_context_window_exceeded"}
_COUNTS = ("input_tokens", "cache_creation_input_tokens", "cache_read_input_tokens", "output_tokens")


def checked(stream: bytes, *, whole: bool = True) -> list[dict[str, Any]]:
    """The events of a stream, after every rule has held. `whole` False: it may be cut at the end of any event.

    message_start, (start(i) delta(i)* stop(i)){i = 0, 1, 2...}, message_delta, message_stop, or any prefix of
    that ended by one error.
    """
    events = [_framed(frame) for frame in _frames(stream)]
    assert events, "a stream has at least one event"
    assert events[0]["type"] == "message_start", events[0]
    _started(events[0])
    open_block: dict[str, Any] | None = None
    begun, signed, kinds = 0, False, ["message_start"]
    for event in events[1:]:
        kind = event["type"]
        assert kinds[-1] not in ("error", "message_stop"), f"{kind} after {kinds[-1]}"
        kinds.append(kind)
        if kind == "content_block_start":
            assert open_block is None, f"block {event['index']} opens inside another"
            assert event["index"] == begun, f"block {event['index']} is the {begun}th"
            assert "message_delta" not in kinds, "a block after message_delta"
            open_block, begun = event["content_block"], begun + 1
            _opened(open_block)
        elif kind == "content_block_delta":
            assert open_block is not None, "a delta outside every block"
            assert event["index"] == begun - 1
            assert event["delta"]["type"] in _DELTAS[open_block["type"]], f"{event['delta']} in {open_block}"
            assert not signed, "a delta behind the signature"
            signed = event["delta"]["type"] == "signature_delta"
            assert set(event) == {"type", "index", "delta"}
        elif kind == "content_block_stop":
            assert open_block is not None, "a stop without a block"
            assert signed is (open_block["type"] == "thinking"), "thinking is signed, just before its stop"
            signed = False
            assert event == {"type": kind, "index": begun - 1}
            open_block = None
        elif kind == "message_delta":
            assert open_block is None, "message_delta inside a block"
            assert kinds.count(kind) == 1, "a second message_delta"
            _ended(event)
        elif kind == "message_stop":
            assert event == {"type": kind}
            assert kinds[-2] == "message_delta", f"message_stop after {kinds[-2]}"
        elif kind == "error":
            assert set(event) == {"type", "error", "request_id"}
            assert set(event["error"]) == {"type", "message"}
            assert event["error"]["type"] in _TYPES
            assert event["error"]["message"]
        else:
            assert kind == "ping", f"an event that no client knows: {kind}"
    assert not whole or kinds[-1] in ("message_stop", "error"), f"the stream ends with {kinds[-1]}"
    return events


def _frames(stream: bytes) -> list[bytes]:
    assert stream.endswith(b"\n\n"), f"an unfinished event: {stream[-80:]!r}"
    return stream[:-2].split(b"\n\n")


def _framed(frame: bytes) -> dict[str, Any]:
    """Framing exactly `event: x\\ndata: {...}`."""
    name, data = frame.split(b"\n")
    assert name.startswith(b"event: "), frame
    assert data.startswith(b"data: {"), frame
    event: dict[str, Any] = json.loads(data[6:])
    assert event["type"] == name[7:].decode(), frame
    return event


def _started(event: dict[str, Any]) -> None:
    message = event["message"]
    assert message["id"].startswith("msg_")
    assert len(message["id"]) == 28
    fixed = {name: message[name] for name in ("type", "role", "content", "stop_reason", "stop_sequence")}
    assert fixed == {
        "type": "message",
        "role": "assistant",
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
    }
    _counted(message["usage"])


def _opened(block: dict[str, Any]) -> None:
    if block["type"] == "text":
        assert block == {"type": "text", "text": ""}
    elif block["type"] == "thinking":
        assert block == {"type": "thinking", "thinking": "", "signature": ""}
    elif block["type"] == "redacted_thinking":
        assert block["data"].startswith("nxf1.")
    elif block["type"] == "compaction":
        assert block["encrypted_content"].startswith("nxf1.")
    elif block["type"] == "web_search_tool_result":
        assert block["tool_use_id"].startswith("srvtoolu_")
    elif block["type"] == "server_tool_use":
        assert block["id"].startswith("srvtoolu_")
        assert block["input"] == {}
    else:
        assert block["type"] == "tool_use", block
        assert block["input"] == {}
        assert block["name"]
        assert block["id"].replace("_", "").replace("-", "").isalnum(), block["id"]


def _ended(event: dict[str, Any]) -> None:
    delta = event["delta"]
    assert delta["stop_reason"] in _STOPS
    assert (delta["stop_reason"] == "stop_sequence") == (delta["stop_sequence"] is not None)
    assert (delta["stop_reason"] == "refusal") == ("stop_details" in delta)
    _counted(event["usage"])


def _counted(usage: dict[str, Any]) -> None:
    """All four counts, always: langchain reads a missing one as 0 (translation.md section 6)."""
    for name in _COUNTS:
        assert type(usage[name]) is int, usage
        assert usage[name] >= 0, usage
