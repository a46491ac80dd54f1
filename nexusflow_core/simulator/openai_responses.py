"""OpenAI's Responses protocol: reads what changes the answer in a request, and renders the reply."""

import re
from collections.abc import Iterator
from typing import Any

import msgspec
from msgspec import Struct

from nexusflow_core.errors import InvalidRequestError, NexusFlowError
from nexusflow_core.simulator.cache import CacheAt
from nexusflow_core.simulator.endpoint import Endpoint, made_id, read_as
from nexusflow_core.simulator.openai_prompt import (
    CREATED,
    PromptTokens,
    answer_schema,
    base_model,
    blocks_of_parts,
    error_object,
    offered,
    openai_prompt,
    openai_service,
    prompt_tokens,
    prompt_total,
)
from nexusflow_core.simulator.reply import (
    DELTAS_BEFORE_BREAK,
    Ask,
    Part,
    Reply,
    Text,
    Thought,
    last_turn,
    pieces,
    reply,
)
from nexusflow_core.sse import encode_sse
from nexusflow_core.untyped import list_of, object_of

__all__ = ["Answer", "Item", "ResponsesRequest", "answer_to", "count_input_tokens", "create_response"]
__all__ += ["read_responses"]

Item = dict[str, Any]
Event = dict[str, Any]

MIN_OUTPUT_TOKENS = 16

_REASONS = re.compile(r"o\d|gpt-5(?!-chat|\.[1-4](?!-pro|-chat))|gpt-[6-9]")
"""Models that reason unless the effort is `none`. Others reason only with an effort."""

_PHASED = re.compile(r"gpt-5\.3-codex|gpt-5\.[4-9]|gpt-[6-9]")
_SENTENCE_END = re.compile(r"(?<=\.) ")

_LIMITS = {"rate_limit_error": "rate_limit_exceeded", "billing_error": "insufficient_quota"}
"""Codes by error type. The real service sends these errors inside a stream, before the first item."""


def _create_response(body: bytes, cache: CacheAt) -> Any:
    request = read_responses(body)
    answer = answer_to(request, reply(request.ask()), body, cache)
    return answer if request.stream else answer.whole()


def _count_input_tokens(body: bytes, _: CacheAt) -> Any:
    """Returns the count. Ignores a requested stream error."""
    request = read_responses(body)
    reply(msgspec.structs.replace(request.ask(), stream=True))
    return {"object": "response.input_tokens", "input_tokens": prompt_total(request.prompt())}


def _error_of(error: NexusFlowError) -> dict[str, Any]:
    return error_object(error, _LIMITS.get(error.type, "server_error" if error.status >= 500 else None))


_SERVICE = openai_service(lambda error, body: {"error": _error_of(error)})
create_response = Endpoint(_SERVICE, _create_response)
count_input_tokens = Endpoint(_SERVICE, _count_input_tokens)


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
        """Returns the prompt in Messages' form."""
        options = object_of(self.prompt_cache_options)
        messages = [_message(item, options.get("ttl")) for item in self.items]
        functions = [{"type": "function", "function": function} for function in self.functions]
        return openai_prompt(functions, messages, options)

    def ask(self) -> Ask:
        """Returns the request in the form that all protocols share."""
        text, results = last_turn(self.prompt())
        choice, form = object_of(self.tool_choice), object_of(object_of(self.text).get("format"))
        effort, forced = object_of(self.reasoning).get("effort"), choice.get("name")
        return Ask(
            text=text,
            tool_results=results,
            tools=offered(self.functions, map(object_of, list_of(choice.get("tools")))),
            must_call="required" in (self.tool_choice, choice.get("mode")) or isinstance(forced, str),
            only_tool=forced if isinstance(forced, str) else None,
            may_call=self.tool_choice != "none",
            parallel_calls=self.parallel_tool_calls is not False,
            answer_schema=answer_schema(form.get("type"), form.get("schema")),
            think=effort != "none" if effort else _REASONS.match(base_model(self.model)) is not None,
            max_tokens=self.max_output_tokens,
            stream=self.stream is True,
        )


def read_responses(body: bytes) -> ResponsesRequest:
    """Returns the request. Raises InvalidRequestError or RequestTooLargeError."""
    request = read_as(body, ResponsesRequest)
    most = request.max_output_tokens
    if most is not None and most < MIN_OUTPUT_TOKENS:
        bound = f"Expected a value >= {MIN_OUTPUT_TOKENS}, but got {most} instead."
        details = {"param": "max_output_tokens", "code": "integer_below_min_value"}
        message = f"Invalid 'max_output_tokens': integer below minimum value. {bound}"
        raise InvalidRequestError(message, details=details)
    return request


def _message(item: Item, lifetime: Any) -> dict[str, Any]:
    """Returns an item as a message. One without a type is a message."""
    blocks = blocks_of_parts(item.get("output", item.get("content")), lifetime)
    match item.get("type") or "message":
        case "message":
            return {"role": str(item.get("role")), "content": blocks}
        case "function_call_output":
            return {"role": "user", "content": [{"type": "tool_result", "content": blocks}]}
        case "function_call":
            call = {"type": "tool_use", "name": item.get("name"), "input": item.get("arguments")}
            return {"role": "assistant", "content": [call]}
        case _:
            return {"role": "assistant", "content": [item]}


# The answer


class Answer(Struct, frozen=True):
    """The parts of one answer. Iterating it yields the stream, one event at a time. `body` makes the ids."""

    request: ResponsesRequest
    reply: Reply
    prompt: PromptTokens
    body: bytes

    def whole(self) -> dict[str, Any]:
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
        items = [self._item(part, nth) for nth, part in enumerate(self.reply.parts)]
        if items and self.reply.stop == "length":
            items[-1]["status"] = "incomplete"
        return items

    def __iter__(self) -> Iterator[bytes]:
        for number, event in enumerate(self._events()):
            yield encode_sse(msgspec.json.encode({**event, "sequence_number": number}), event["type"])

    def _events(self) -> Iterator[Event]:
        for state in ("created", "in_progress"):
            yield {"type": f"response.{state}", "response": self._response("in_progress")}
        failure = self.reply.failure
        if not self.reply.breaks_off:
            yield from self._item_events()
            whole = self.whole()
            yield {"type": f"response.{whole['status']}", "response": whole}
        elif failure is None or failure.type not in _LIMITS:
            yield from _beginning(self._item_events())
        if failure is not None:
            error = _error_of(failure)
            yield {"type": "error", "error": error}
            short = {"code": error["code"], "message": error["message"]}
            yield {"type": "response.failed", "response": self._response("failed", error=short)}

    def _item_events(self) -> Iterator[Event]:
        for index, item in enumerate(self.items()):
            at = {"output_index": index}
            yield {"type": "response.output_item.added", **at, "item": {**item, **_begun(item)}}
            yield from ({**event, "item_id": item["id"], **at} for event in _inner_events(item))
            yield {"type": "response.output_item.done", **at, "item": item}

    def _response(self, status: str, **members: Any) -> dict[str, Any]:
        named = {"id": made_id("resp_", self.body), "object": "response", "created_at": CREATED}
        unknown = dict.fromkeys(("error", "incomplete_details", "usage"))
        more: Item = {"model": self.request.model, "output": [], "service_tier": "default", "store": False}
        return {**named, "status": status, **unknown, **more, **members}

    def _item(self, part: Part, nth: int) -> Item:
        if isinstance(part, Thought):
            summarized = object_of(self.request.reasoning).get("summary")
            texts = _SENTENCE_END.split(part.text) if summarized else []
            item: Item = {"id": made_id("rs_", self.body, nth), "type": "reasoning"}
            item["summary"] = [{"type": "summary_text", "text": text} for text in texts]
            if "reasoning.encrypted_content" in (self.request.include or ()):
                item["encrypted_content"] = made_id("simulated-", self.body, nth)
            return item
        if isinstance(part, Text):
            item = {"id": made_id("msg_", self.body, nth), "type": "message", "status": "completed"}
            text: Item = {"type": "output_text", "text": part.text, "annotations": [], "logprobs": []}
            if _PHASED.match(base_model(self.request.model)):
                item["phase"] = "final_answer" if part is self.reply.parts[-1] else "commentary"
            return {**item, "role": "assistant", "content": [text]}
        item = {"id": made_id("fc_", self.body, nth), "type": "function_call", "status": "completed"}
        called = {"call_id": made_id("call_", self.body, nth), "name": part.name}
        return {**item, **called, "arguments": part.arguments}

    def _usage(self) -> dict[str, Any]:
        """Returns the counts with all of OpenAI's details."""
        return {
            "input_tokens": self.prompt.total,
            "input_tokens_details": self.prompt.details(),
            "output_tokens": self.reply.output_tokens,
            "output_tokens_details": {"reasoning_tokens": self.reply.thinking_tokens},
            "total_tokens": self.prompt.total + self.reply.output_tokens,
        }


def answer_to(request: ResponsesRequest, reply: Reply, body: bytes, cache: CacheAt) -> Answer:
    """Returns the reply in this protocol's form. `body` makes the ids. The cache remembers the request."""
    scope = request.prompt_cache_key, request.reasoning, request.text
    return Answer(request, reply, prompt_tokens(request.model, request.prompt(), cache, *scope), body)


def _begun(item: Item) -> Item:
    """Returns the members that an item has in its first event: empty, with other encrypted content."""
    empty: Item = {"content": [], "summary": [], "arguments": "", "status": "in_progress"}
    empty["encrypted_content"] = "simulated-beginning"
    return {name: value for name, value in empty.items() if name in item}


def _inner_events(item: Item) -> Iterator[Event]:
    """Yields the events between the first and the last event of an item."""
    if item["type"] == "function_call":
        kind, arguments = "response.function_call_arguments", item["arguments"]
        yield from ({"type": f"{kind}.delta", "delta": piece} for piece in pieces(arguments))
        yield {"type": f"{kind}.done", "arguments": arguments}
    for holder, kind, place, member in _TEXTS:
        for index, part in enumerate(item.get(member, ())):
            at = {place: index}
            yield {"type": f"{holder}.added", **at, "part": {**part, "text": ""}}
            yield from ({"type": f"{kind}.delta", **at, "delta": piece} for piece in pieces(part["text"]))
            yield {"type": f"{kind}.done", **at, "text": part["text"]}
            yield {"type": f"{holder}.done", **at, "part": part}


_TEXTS = (
    ("response.reasoning_summary_part", "response.reasoning_summary_text", "summary_index", "summary"),
    ("response.content_part", "response.output_text", "content_index", "content"),
)
"""Events of a part and of its text, the member with its number, and the item's member with the parts."""


def _beginning(events: Iterator[Event]) -> Iterator[Event]:
    deltas = 0
    for event in events:
        if deltas == DELTAS_BEFORE_BREAK or event["type"] == "response.output_item.done":
            return
        yield event
        deltas += event["type"].endswith(".delta")
