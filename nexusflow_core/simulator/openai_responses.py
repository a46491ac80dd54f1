"""OpenAI's Responses protocol: reads what changes the answer in a request, and renders the reply."""

import hashlib
import re
from collections.abc import Iterator
from itertools import groupby
from typing import Any

import msgspec
from msgspec import Struct

from nexusflow_core.errors import InvalidRequestError, NexusFlowError
from nexusflow_core.simulator.cache import CacheAt
from nexusflow_core.simulator.endpoint import Endpoint, Service, SimulatedResponse, decode_body, made_id
from nexusflow_core.simulator.openai_prompt import (
    CREATED,
    CREDENTIALS,
    NO_CREDENTIAL,
    PromptTokens,
    answer_schema,
    base_model,
    blocks_of_parts,
    openai_prompt,
    prompt_tokens,
    prompt_total,
)
from nexusflow_core.simulator.reply import (
    Ask,
    Part,
    Reply,
    Text,
    Thought,
    argument_slices,
    last_turn,
    reply,
    words,
)
from nexusflow_core.sse import encode_sse
from nexusflow_core.untyped import list_of, object_of

__all__ = ["SERVICE", "ResponsesRequest", "answered", "ask_of", "count_input_tokens", "create_response"]
__all__ += ["is_made", "kind_of", "read_responses", "sealed"]

Item = dict[str, Any]
Event = dict[str, Any]

MIN_OUTPUT_TOKENS = 16

_REASONS = re.compile(r"o\d|gpt-5(?!-chat|\.[1-4](?!-pro|-chat))|gpt-[6-9]")
"""Models that reason unless the effort is `none`. Others reason only with an effort."""

_PHASED = re.compile(r"gpt-5\.3-codex|gpt-5\.[4-9]|gpt-[6-9]")
_SENTENCE_END = re.compile(r"(?<=\.) ")

_LIMITS = {"rate_limit_error": "rate_limit_exceeded", "billing_error": "insufficient_quota"}
"""Codes by error type. The real service sends these errors inside a stream, before the first item."""

# A stream with any other requested error breaks after this many deltas, or before its first item ends.
_DELTAS_BEFORE_BREAK = 3


def _create_response(body: bytes, cache: CacheAt) -> SimulatedResponse:
    request = read_responses(body)
    return answered(request, reply(ask_of(request)), body, cache)


def answered(request: "ResponsesRequest", replied: Reply, body: bytes, cache: CacheAt) -> SimulatedResponse:
    """Returns the response to a request with this reply. `body` makes the ids. Updates the cache."""
    replied.directives.check(stream=request.stream is True)
    scope = request.prompt_cache_key, request.reasoning, request.text
    tokens = prompt_tokens(request.model, request.prompt(), cache, *scope)
    answer = Answer(request, replied, tokens, body)
    return SERVICE.stream(answer, body) if request.stream else SERVICE.json(answer.response(), body)


def _count_input_tokens(body: bytes, _: CacheAt) -> SimulatedResponse:
    request = read_responses(body)
    reply(ask_of(request)).directives.check(stream=True)
    return SERVICE.json(
        {"object": "response.input_tokens", "input_tokens": prompt_total(request.prompt())}, body
    )


def _error_of(error: NexusFlowError) -> dict[str, Any]:
    """Returns the `error` object of an error response, or of an event."""
    code = _LIMITS.get(error.type, "server_error" if error.status >= 500 else None)
    details = {"param": None, "code": code, **(error.details or {})}
    return {"type": error.type, "message": error.message, **details}


SERVICE = Service(
    credentials=CREDENTIALS,
    no_credential=NO_CREDENTIAL,
    headers=lambda body, error: [(b"x-request-id", made_id("req_", body).encode())],
    error_json=lambda error, body: {"error": _error_of(error)},
)
create_response = Endpoint(SERVICE, _create_response)
count_input_tokens = Endpoint(SERVICE, _count_input_tokens)


# The request


class ResponsesRequest(Struct, frozen=True):
    """The fields that an answer depends on."""

    model: str
    input: str | list[Item]
    instructions: str | None = None
    tools: list[dict[str, Any]] | None = None
    tool_choice: str | dict[str, Any] | None = None
    parallel_tool_calls: bool | None = None
    max_output_tokens: int | None = None
    stream: bool | None = None
    include: list[str] | None = None
    reasoning: dict[str, Any] | None = None
    text: dict[str, Any] | None = None
    prompt_cache_key: Any = None
    prompt_cache_options: dict[str, Any] | None = None

    @property
    def items(self) -> list[Item]:
        """The input as items, after the instructions."""
        input = [{"role": "user", "content": self.input}] if isinstance(self.input, str) else self.input
        return [{"role": "developer", "content": self.instructions}, *input] if self.instructions else input

    @property
    def functions(self) -> list[dict[str, Any]]:
        """The functions. The model never calls other tools."""
        return [tool for tool in self.tools or () if tool.get("type") == "function"]

    def prompt(self) -> dict[str, Any]:
        """Returns the prompt in Messages' form. The items of one answer are one message."""
        options = object_of(self.prompt_cache_options)
        messages: list[dict[str, Any]] = []
        for made, items in groupby(self.items, is_made):
            group = [*items]
            own = (_message(item, options.get("ttl")) for item in group)
            messages += [_answer_message(group)] if made else own
        functions = [{"type": "function", "function": function} for function in self.functions]
        return openai_prompt(functions, messages, options)


def read_responses(body: bytes) -> ResponsesRequest:
    """Returns the request. Raises InvalidRequestError or RequestTooLargeError."""
    try:
        request = msgspec.convert(decode_body(body), ResponsesRequest)
    except msgspec.ValidationError as error:
        raise InvalidRequestError(str(error)) from None
    most = request.max_output_tokens
    if most is not None and most < MIN_OUTPUT_TOKENS:
        bound = f"Expected a value >= {MIN_OUTPUT_TOKENS}, but got {most} instead."
        details = {"param": "max_output_tokens", "code": "integer_below_min_value"}
        message = f"Invalid 'max_output_tokens': integer below minimum value. {bound}"
        raise InvalidRequestError(message, details=details)
    return request


def ask_of(request: ResponsesRequest) -> Ask:
    """Returns the request in the form that all protocols share."""
    text, results = last_turn(request.prompt())
    choice, form = object_of(request.tool_choice), object_of(object_of(request.text).get("format"))
    allowed = {object_of(tool).get("name") for tool in list_of(choice.get("tools"))}
    effort = object_of(request.reasoning).get("effort")
    forced = choice.get("name")
    return Ask(
        text=text,
        tool_results=results,
        tools={
            name: tool.get("parameters")
            for tool in request.functions
            if isinstance(name := tool.get("name"), str) and (not allowed or name in allowed)
        },
        must_call="required" in (request.tool_choice, choice.get("mode")) or isinstance(forced, str),
        only_tool=forced if isinstance(forced, str) else None,
        may_call=request.tool_choice != "none",
        parallel_calls=request.parallel_tool_calls is not False,
        answer_schema=answer_schema(form.get("type"), form.get("schema")),
        think=effort != "none" if effort else _REASONS.match(base_model(request.model)) is not None,
        max_tokens=request.max_output_tokens,
    )


def kind_of(item: Item) -> str:
    """Returns the type of an item. Messages may omit it."""
    return str(item.get("type") or "message")


def is_made(item: Item) -> bool:
    """Returns True for an item that a model made in an earlier turn."""
    kind = kind_of(item)
    return item.get("role") == "assistant" or kind == "reasoning" or kind.endswith("_call")


def _message(item: Item, lifetime: Any) -> dict[str, Any]:
    blocks = blocks_of_parts(item.get("output", item.get("content")), lifetime)
    if kind_of(item) == "function_call_output":
        return {"role": "user", "content": [{"type": "tool_result", "content": blocks}]}
    return {"role": str(item.get("role")), "content": blocks}


def _answer_message(items: list[Item]) -> dict[str, Any]:
    """Returns the items of one answer as one message. Reasoning comes first, and calls come last."""
    others = [item for item in items if kind_of(item) not in ("function_call", "message")]
    texts = [block for item in items for block in blocks_of_parts(item.get("content"))]
    calls = [
        {"type": "tool_use", "name": item.get("name"), "input": item.get("arguments")}
        for item in items
        if kind_of(item) == "function_call"
    ]
    return {"role": "assistant", "content": [*others, *texts, *calls]}


# The answer


class Answer(Struct, frozen=True):
    """The parts of one answer. Iterating it yields the stream, one event at a time. `body` makes the ids."""

    request: ResponsesRequest
    reply: Reply
    prompt: PromptTokens
    body: bytes

    def response(self) -> dict[str, Any]:
        """Returns the whole response, for a request without `stream`."""
        cut = self.reply.stop == "length"
        return self._response(
            "incomplete" if cut else "completed",
            output=self.items(),
            usage=self._usage(),
            incomplete_details={"reason": "max_output_tokens"} if cut else None,
        )

    def items(self) -> list[Item]:
        """Returns the finished items of the output."""
        items: list[Item] = []
        for nth, part in reversed([*enumerate(self.reply.parts)]):
            items.insert(0, self._item(part, nth, items[0] if items else {}))
        if items and self.reply.stop == "length":
            items[-1]["status"] = "incomplete"
        return items

    def __iter__(self) -> Iterator[bytes]:
        """Yields the stream."""
        for number, event in enumerate(self._events()):
            yield encode_sse(msgspec.json.encode({**event, "sequence_number": number}), event["type"])

    def _events(self) -> Iterator[Event]:
        for state in ("created", "in_progress"):
            yield {"type": f"response.{state}", "response": self._response("in_progress")}
        failure, truncate = self.reply.directives.failure, self.reply.directives.truncate
        if failure is None and not truncate:
            yield from self._item_events()
            whole = self.response()
            yield {"type": f"response.{whole['status']}", "response": whole}
            return
        if failure is None or failure.type not in _LIMITS:
            yield from _beginning(self._item_events())
        if failure is not None:
            error = _error_of(failure)
            yield {"type": "error", "error": error}
            short = {"code": error["code"], "message": error["message"]}
            yield {"type": "response.failed", "response": self._response("failed", error=short)}

    def _item_events(self) -> Iterator[Event]:
        for index, item in enumerate(self.items()):
            at = {"output_index": index}
            yield {"type": "response.output_item.added", **at, "item": _begun(item)}
            yield from ({**event, "item_id": item["id"], **at} for event in _inner_events(item))
            yield {"type": "response.output_item.done", **at, "item": item}

    def _response(self, status: str, **members: Any) -> dict[str, Any]:
        named = {"id": made_id("resp_", self.body), "object": "response", "created_at": CREATED}
        unknown = dict.fromkeys(("error", "incomplete_details", "usage"))
        more: Item = {"model": self.request.model, "output": [], "service_tier": "default", "store": False}
        return {**named, "status": status, **unknown, **more, **members}

    def _item(self, part: Part, nth: int, follower: Item) -> Item:
        if isinstance(part, Thought):
            return self._reasoning(part.text, made_id("rs_", self.body, nth), follower)
        if isinstance(part, Text):
            item = {"id": made_id("msg_", self.body, nth), "type": "message", "status": "completed"}
            text: Item = {"type": "output_text", "text": part.text, "annotations": [], "logprobs": []}
            if _PHASED.match(base_model(self.request.model)):
                item["phase"] = "final_answer" if part is self.reply.parts[-1] else "commentary"
            return {**item, "role": "assistant", "content": [text]}
        item = {"id": made_id("fc_", self.body, nth), "type": "function_call", "status": "completed"}
        called = {"call_id": made_id("call_", self.body, nth), "name": part.name}
        return {**item, **called, "arguments": part.arguments}

    def _reasoning(self, thought: str, id: str, follower: Item) -> Item:
        """Returns a reasoning item. Its encrypted content names the summary's hash and the next item."""
        texts = _SENTENCE_END.split(thought) if object_of(self.request.reasoning).get("summary") else []
        item = {"id": id, "type": "reasoning", "summary": [{"type": "summary_text", "text": t} for t in texts]}
        if "reasoning.encrypted_content" in (self.request.include or ()):
            summary = hashlib.sha256("\n".join(texts).encode()).hexdigest()
            led_to = follower.get("call_id") or follower.get("type")
            item["encrypted_content"] = sealed(f"simulated.{id}.{summary}.{led_to}")
        return item

    def _usage(self) -> dict[str, Any]:
        """Returns the counts with all of OpenAI's details."""
        return {
            "input_tokens": self.prompt.total,
            "input_tokens_details": self.prompt.details(),
            "output_tokens": self.reply.output_tokens,
            "output_tokens_details": {"reasoning_tokens": self.reply.thinking_tokens},
            "total_tokens": self.prompt.total + self.reply.output_tokens,
        }


def sealed(content: str) -> str:
    """Returns content with its checksum. A pure function cannot remember its answers."""
    return f"{content}.{hashlib.sha256(content.encode()).hexdigest()[:24]}"


def _begun(item: Item) -> Item:
    """Returns an item in its first event: empty, with other encrypted content than the last event."""
    empty: Item = {"content": [], "summary": [], "arguments": "", "status": "in_progress"}
    empty["encrypted_content"] = sealed("simulated")
    return {name: empty.get(name, value) for name, value in item.items()}


def _inner_events(item: Item) -> Iterator[Event]:
    """Yields the events between the first and the last event of an item."""
    if item["type"] == "function_call":
        kind, arguments = "response.function_call_arguments", item["arguments"]
        for piece in argument_slices(arguments):
            yield {"type": f"{kind}.delta", "delta": piece}
        yield {"type": f"{kind}.done", "arguments": arguments}
    for index, part in enumerate(item.get("summary", ())):
        at = {"summary_index": index}
        yield from _part_events("response.reasoning_summary_part", "response.reasoning_summary_text", part, at)
    for index, part in enumerate(item.get("content", ())):
        at = {"content_index": index}
        yield from _part_events("response.content_part", "response.output_text", part, at)


def _part_events(holder: str, kind: str, part: dict[str, Any], at: dict[str, int]) -> Iterator[Event]:
    yield {"type": f"{holder}.added", **at, "part": {**part, "text": ""}}
    for word in words(part["text"]):
        yield {"type": f"{kind}.delta", **at, "delta": word}
    yield {"type": f"{kind}.done", **at, "text": part["text"]}
    yield {"type": f"{holder}.done", **at, "part": part}


def _beginning(events: Iterator[Event]) -> Iterator[Event]:
    deltas = 0
    for event in events:
        if deltas == _DELTAS_BEFORE_BREAK or event["type"] == "response.output_item.done":
            return
        yield event
        deltas += event["type"].endswith(".delta")
