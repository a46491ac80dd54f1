"""Anthropic's Messages protocol: reads a request, refuses malformed ones, and renders the reply."""

from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from nexusflow_core.caching import ANTHROPIC, Prediction
from nexusflow_core.counting import TokenSum, prefix_tokens
from nexusflow_core.errors import InvalidRequestError, NexusFlowError, UpstreamStatusError, error_body
from nexusflow_core.exchange.orders import PING
from nexusflow_core.messages import MessagesRequest, Tool, ToolChoice, blocks_of, events, request_of
from nexusflow_core.simulator.cache import CacheAt
from nexusflow_core.simulator.endpoint import Endpoint, Service, decode_body, made_id
from nexusflow_core.simulator.reply import (
    DELTAS_BEFORE_BREAK,
    Ask,
    Reply,
    Text,
    Thought,
    ToolCall,
    last_turn,
    pieces,
    reply,
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

_AT_FIRST: Mapping[str, dict[str, Any]] = {
    "text": {"text": ""},
    "thinking": {"thinking": "", "signature": ""},
    "tool_use": {"input": {}},
}
"""Members that deltas fill, with their values at the start of a block."""


def _create_message(body: bytes, cache: CacheAt) -> Any:
    value, request = _read(body)
    replied = reply(_ask(value, request))
    answer = Answer(value, replied, cache.step(ANTHROPIC, value, prefix_tokens(value, TokenSum())), body)
    return answer if request.stream else answer.whole()


def _count_tokens(body: bytes, _: CacheAt) -> Any:
    """Returns the count. Ignores a requested stream error, and a missing `max_tokens`."""
    value, request = _read(body, max_tokens=1)
    reply(replace(_ask(value, request), stream=True))
    return {"input_tokens": prefix_tokens(value, TokenSum())[-1]}


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


def _read(body: bytes, **assumed: Any) -> tuple[dict[str, Any], MessagesRequest]:
    """Returns a checked request. `assumed`: members that it may lack.

    Raises InvalidRequestError with Anthropic's text, or RequestTooLargeError.
    """
    value = decode_body(body)
    _check_content(value)
    request = request_of({**assumed, **value})
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
    choice = request.tool_choice or ToolChoice("auto")
    return Ask(
        text=text,
        tool_results=results,
        tools={tool.name: tool.input_schema for tool in request.tools if _is_called(tool)},
        must_call=choice.type in ("any", "tool"),
        only_tool=choice.name if choice.type == "tool" else None,
        may_call=choice.type != "none",
        parallel_calls=choice.disable_parallel_tool_use is not True,
        answer_schema=_answer_schema(body),
        think=object_of(body.get("thinking")).get("type") in ("enabled", "adaptive"),
        max_tokens=request.max_tokens,
        stop_sequences=tuple(dict.fromkeys(request.stop_sequences))[:MAX_STOP_SEQUENCES],
        stream=request.stream,
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
    """A request, its reply, and the tokens of its prompt. Iterating it yields the stream. `body` makes ids."""

    request: dict[str, Any]
    reply: Reply
    prompt: Prediction
    body: bytes

    def whole(self) -> Any:
        """Returns the whole Message, for a request without `stream`."""
        ending, usage = self._ending(), self._usage()
        return msgspec.Raw(events.message_body(**self._named(), content=self._blocks(), **ending, usage=usage))

    def __iter__(self) -> Iterator[bytes]:
        usage, broken = self._usage(), self.reply.breaks_off
        begun = {name: count for name, count in usage.items() if name != "output_tokens_details"}
        begun["output_tokens"] = min(1, self.reply.output_tokens)
        yield events.message_start(**self._named(), usage=begun)
        for index, block in enumerate(self._blocks()):
            yield events.block_start(index, {**block, **_AT_FIRST[block["type"]]})
            if index == 0:
                yield PING
            yield from islice(_deltas(index, block), DELTAS_BEFORE_BREAK if broken else None)
            if broken:
                break
            yield events.block_stop(index)
        if self.reply.failure is not None:
            yield events.error_event(self.reply.failure, made_id("req_", self.body))
        if broken:
            return
        # The real service repeats only the counts here, without the cache split and the region.
        counts = {name: count for name, count in usage.items() if name not in _ONLY_AT_START}
        event = {"type": "message_delta", "delta": self._ending(), "usage": counts}
        yield encode_sse(msgspec.json.encode(event), "message_delta")
        yield events.message_stop()

    def _named(self) -> dict[str, Any]:
        return {"id": made_id("msg_", self.body), "model": self.request["model"]}

    def _blocks(self) -> list[dict[str, Any]]:
        shown = object_of(self.request.get("thinking")).get("display") != "omitted"
        blocks: list[dict[str, Any]] = []
        for part in self.reply.parts:
            match part:
                case Text(text):
                    blocks.append({"type": "text", "text": text})
                case Thought(text):
                    signature = made_id("simulated-", self.body)
                    blocks.append(
                        {"type": "thinking", "thinking": text if shown else "", "signature": signature}
                    )
                case ToolCall(name, arguments):
                    calls = sum(block["type"] == "tool_use" for block in blocks)
                    named = {"id": made_id("toolu_", self.body, calls), "name": name}
                    blocks.append({"type": "tool_use", **named, "input": arguments})
        return blocks

    def _ending(self) -> dict[str, Any]:
        stop = _STOP_REASONS[self.reply.stop]
        return {"stop_reason": stop, "stop_sequence": self.reply.stop_sequence, "stop_details": None}

    def _usage(self) -> dict[str, Any]:
        prompt, reply, geo = self.prompt, self.reply, self.request.get("inference_geo")
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


def _deltas(index: int, block: dict[str, Any]) -> Iterator[bytes]:
    match block["type"]:
        case "text":
            yield from (events.text_delta(index, piece) for piece in pieces(block["text"]))
        case "thinking":
            yield from (events.thinking_delta(index, piece) for piece in pieces(block["thinking"]))
            yield events.signature_delta(index, block["signature"])
        case _:
            arguments = msgspec.json.encode(block["input"]).decode()
            yield from (events.input_json_delta(index, piece) for piece in ("", *pieces(arguments)))
