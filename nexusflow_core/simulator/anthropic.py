"""Anthropic's Messages protocol: reads a request, refuses malformed ones, and renders the reply."""

from collections.abc import Iterator, Mapping
from itertools import islice, takewhile
from typing import Any

import msgspec
from msgspec import Struct

from nexusflow_core.caching import ANTHROPIC, Prediction
from nexusflow_core.counting import TokenSum, prefix_tokens
from nexusflow_core.errors import InvalidRequestError, NexusFlowError, UpstreamStatusError, error_body
from nexusflow_core.messages import MessagesRequest, Tool, blocks_of, request_of
from nexusflow_core.messages.events import error_event
from nexusflow_core.simulator.cache import CacheAt
from nexusflow_core.simulator.endpoint import Endpoint, Service, SimulatedResponse, decode_body, made_id
from nexusflow_core.simulator.reply import (
    Ask,
    Reply,
    Text,
    Thought,
    ToolCall,
    argument_slices,
    last_turn,
    reply,
    words,
)
from nexusflow_core.sse import encode_sse
from nexusflow_core.untyped import object_of
from nexusflow_core.upstream import Headers

__all__ = ["SERVICE", "count_tokens", "create_message"]

MAX_STOP_SEQUENCES = 1_000

_NOT_CALLED = ("web_search_", "web_fetch_", "code_execution_", "tool_search_tool_", "mcp_toolset", "advisor_")
"""Types of server tools and of sets of tools. The model never calls them by `tool_use`."""

_STOP_REASONS = {
    "end": "end_turn",
    "length": "max_tokens",
    "stop_sequence": "stop_sequence",
    "tool_calls": "tool_use",
}
_ONLY_AT_START = ("cache_creation", "service_tier", "inference_geo")

# A stream with a requested error breaks after three deltas, or before its first block ends.
_EVENTS_BEFORE_BREAK = 6

# Members that deltas fill, with their values at the start of a block.
_AT_FIRST: Mapping[str, dict[str, Any]] = {
    "text": {"text": ""},
    "thinking": {"thinking": "", "signature": ""},
    "tool_use": {"input": {}},
}


def _create_message(body: bytes, cache: CacheAt) -> SimulatedResponse:
    value, request = _read(body)
    replied = reply(_ask(value, request))
    replied.directives.check(stream=request.stream)
    answer = Answer(value, replied, cache.step(ANTHROPIC, value, prefix_tokens(value, TokenSum())), body)
    return SERVICE.stream(answer, body) if request.stream else SERVICE.json(message(answer), body)


def _count_tokens(body: bytes, _: CacheAt) -> SimulatedResponse:
    """Returns the count. Ignores a requested stream error."""
    value, request = _read(body, counting=True)
    reply(_ask(value, request)).directives.check(stream=True)
    return SERVICE.json({"input_tokens": prefix_tokens(value, TokenSum())[-1]}, body)


def _headers(body: bytes, error: NexusFlowError | None) -> Headers:
    headers = [
        (b"request-id", made_id("req_", body).encode()),
        (b"anthropic-organization-id", b"00000000-0000-4000-8000-000000000000"),
    ]
    if error is not None:
        retry = isinstance(error, UpstreamStatusError) and error.retryable
        headers.append((b"x-should-retry", b"true" if retry else b"false"))
    return headers


SERVICE = Service(
    credentials=(b"x-api-key", b"authorization"),
    no_credential=UpstreamStatusError(401, "authentication_error", "x-api-key header is required"),
    headers=_headers,
    error_json=lambda error, body: msgspec.Raw(error_body(error, made_id("req_", body))),
)
create_message = Endpoint(SERVICE, _create_message)
count_tokens = Endpoint(SERVICE, _count_tokens)


# The request


def _read(body: bytes, *, counting: bool = False) -> tuple[dict[str, Any], MessagesRequest]:
    """Returns a checked request. `counting`: max_tokens may be absent.

    Raises InvalidRequestError with Anthropic's text, or RequestTooLargeError.
    """
    value = decode_body(body)
    _check_content(value)
    request = request_of({"max_tokens": 1, **value} if counting else value)
    _check(request)
    return value, request


def _check_content(body: dict[str, Any]) -> None:
    """Raises InvalidRequestError for messages without content, and for text blocks without text."""
    messages = blocks_of(body.get("messages"))
    for i, message in enumerate(messages):
        content = message.get("content")
        if content in ("", []) and not (i == len(messages) - 1 and message.get("role") == "assistant"):
            raise InvalidRequestError(
                f"messages.{i}: all messages must have non-empty content except for the optional final "
                "assistant message"
            )
        for j, block in enumerate(blocks_of(content)):
            if block.get("type") == "text" and "text" not in block:
                raise InvalidRequestError(f"messages.{i}.content.{j}.text.text: Field required")


def _check(request: MessagesRequest) -> None:
    if not request.model:
        raise InvalidRequestError("model: String should have at least 1 character")
    if request.max_tokens < 0:
        raise InvalidRequestError("max_tokens: Input should be greater than or equal to 0")
    if not all(sequence.strip() for sequence in request.stop_sequences):
        raise InvalidRequestError("stop_sequences: each stop sequence must contain non-whitespace")
    choice = request.tool_choice
    if choice is not None and choice.type in ("any", "tool"):
        if not request.tools:
            raise InvalidRequestError("tool_choice: may only be specified while providing tools")
        if choice.type == "tool" and all(tool.name != choice.name for tool in request.tools):
            raise InvalidRequestError(f"Tool '{choice.name}' not found in provided tools")


def _ask(body: dict[str, Any], request: MessagesRequest) -> Ask:
    text, results = last_turn(body)
    choice = request.tool_choice
    kind = "auto" if choice is None else choice.type
    return Ask(
        text=text,
        tool_results=results,
        tools={tool.name: tool.input_schema for tool in request.tools if _is_called(tool)},
        must_call=kind in ("any", "tool"),
        only_tool=choice.name if choice is not None and kind == "tool" else None,
        may_call=kind != "none",
        parallel_calls=choice is None or choice.disable_parallel_tool_use is not True,
        answer_schema=_answer_schema(body),
        think=object_of(body.get("thinking")).get("type") in ("enabled", "adaptive"),
        max_tokens=request.max_tokens,
        stop_sequences=tuple(dict.fromkeys(request.stop_sequences))[:MAX_STOP_SEQUENCES],
    )


def _is_called(tool: Tool) -> bool:
    return tool.type == "custom" or (bool(tool.name) and not tool.type.startswith(_NOT_CALLED))


def _answer_schema(body: dict[str, Any]) -> dict[str, Any] | None:
    """Returns the schema of `output_config.format`, or of `output_format`, its older name."""
    form = object_of(object_of(body.get("output_config")).get("format")) or object_of(body.get("output_format"))
    if form.get("type") != "json_schema":
        return None
    if not isinstance(form.get("schema"), dict):
        raise InvalidRequestError("output_config.format.schema: Field required")
    return object_of(form.get("schema"))


# The answer


class Answer(Struct, frozen=True):
    """A request, its reply, and the tokens of its prompt. `body`: the request's bytes, to make ids.

    Iterating it yields the stream, one event at a time.
    """

    request: dict[str, Any]
    reply: Reply
    prompt: Prediction
    body: bytes

    def __iter__(self) -> Iterator[bytes]:
        """Yields one chunk per event. Breaks off if the directives request it."""
        directives, stream = self.reply.directives, events(self)
        if directives.failure is not None or directives.truncate:
            stream = islice(takewhile(_is_open, stream), _EVENTS_BEFORE_BREAK)
        yield from map(_encoded, stream)
        if directives.failure is not None:
            yield error_event(directives.failure, made_id("req_", self.body))


def message(answer: Answer) -> dict[str, Any]:
    """Returns the whole Message, for a request without `stream`."""
    return _message(answer, _blocks(answer), _ending(answer.reply), _usage(answer))


def events(answer: Answer) -> Iterator[dict[str, Any]]:
    """Yields the same answer as the events of a complete stream."""
    usage = _usage(answer)
    start_usage = {**usage, "output_tokens": min(1, answer.reply.output_tokens)}
    start_usage.pop("output_tokens_details", None)
    unknown = dict.fromkeys(_ending(answer.reply))
    yield {"type": "message_start", "message": _message(answer, [], unknown, start_usage)}
    for index, block in enumerate(_blocks(answer)):
        empty = {**block, **_AT_FIRST[block["type"]]}
        yield {"type": "content_block_start", "index": index, "content_block": empty}
        if index == 0:
            yield {"type": "ping"}
        for kind, member, piece in _deltas(block):
            yield {"type": "content_block_delta", "index": index, "delta": {"type": kind, member: piece}}
        yield {"type": "content_block_stop", "index": index}
    # The real service repeats only the counts here, without the cache split and the region.
    counts = {name: count for name, count in usage.items() if name not in _ONLY_AT_START}
    yield {"type": "message_delta", "delta": _ending(answer.reply), "usage": counts}
    yield {"type": "message_stop"}


def _is_open(event: dict[str, Any]) -> bool:
    return event["type"] not in ("content_block_stop", "message_delta")


def _encoded(event: dict[str, Any]) -> bytes:
    if event["type"] == "ping":
        return encode_sse(b'{"type": "ping"}', "ping")  # the service writes only this event with a blank
    return encode_sse(msgspec.json.encode(event), event["type"])


def _blocks(answer: Answer) -> list[dict[str, Any]]:
    shown = object_of(answer.request.get("thinking")).get("display") != "omitted"
    blocks: list[dict[str, Any]] = []
    for part in answer.reply.parts:
        match part:
            case Text(text):
                blocks.append({"type": "text", "text": text})
            case Thought(text):
                signature = made_id("simulated-", answer.body)
                blocks.append({"type": "thinking", "thinking": text if shown else "", "signature": signature})
            case ToolCall(name, arguments):
                calls = sum(block["type"] == "tool_use" for block in blocks)
                named = {"id": made_id("toolu_", answer.body, calls), "name": name}
                blocks.append({"type": "tool_use", **named, "input": arguments})
    return blocks


def _deltas(block: dict[str, Any]) -> Iterator[tuple[str, str, str]]:
    """Yields type, member and piece of each delta of a block."""
    match block["type"]:
        case "text":
            yield from (("text_delta", "text", word) for word in words(block["text"]))
        case "thinking":
            yield from (("thinking_delta", "thinking", word) for word in words(block["thinking"]))
            yield "signature_delta", "signature", block["signature"]
        case _:
            arguments = msgspec.json.encode(block["input"]).decode()
            pieces = ("", *argument_slices(arguments))
            yield from (("input_json_delta", "partial_json", piece) for piece in pieces)


def _message(
    answer: Answer, content: list[Any], ending: dict[str, Any], usage: dict[str, Any]
) -> dict[str, Any]:
    named = {"model": answer.request["model"], "id": made_id("msg_", answer.body)}
    return {**named, "type": "message", "role": "assistant", "content": content, **ending, "usage": usage}


def _ending(reply: Reply) -> dict[str, Any]:
    stop = _STOP_REASONS[reply.stop]
    return {"stop_reason": stop, "stop_sequence": reply.stop_sequence, "stop_details": None}


def _usage(answer: Answer) -> dict[str, Any]:
    prompt, reply, geo = answer.prompt, answer.reply, answer.request.get("inference_geo")
    usage: dict[str, Any] = {
        "input_tokens": prompt.uncached.best,
        "cache_creation_input_tokens": prompt.write_5m.best + prompt.write_1h.best,
        "cache_read_input_tokens": prompt.read.best,
        "cache_creation": {
            "ephemeral_5m_input_tokens": prompt.write_5m.best,
            "ephemeral_1h_input_tokens": prompt.write_1h.best,
        },
        "output_tokens": reply.output_tokens,
        "service_tier": "standard",
        "inference_geo": geo if isinstance(geo, str) else "global",
    }
    if reply.thinking_tokens:
        usage["output_tokens_details"] = {"thinking_tokens": reply.thinking_tokens}
    return usage
