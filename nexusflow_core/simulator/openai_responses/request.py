"""Reads a Responses request, and checks items of earlier turns, with OpenAI's error texts.

`chat_of` converts it to a Chat Completions request, since both have the same answer. Returned reasoning has a
checksum.
"""

import hashlib
import re
from itertools import groupby, pairwise
from typing import Any

import msgspec
from msgspec import Struct

from nexusflow_core.errors import InvalidRequestError
from nexusflow_core.simulator.endpoint import decode_body
from nexusflow_core.simulator.openai_chat.request import ChatRequest, Message
from nexusflow_core.untyped import is_list, object_of

__all__ = [
    "Item",
    "ResponsesRequest",
    "chat_of",
    "check_history",
    "is_made",
    "is_sealed",
    "kind_of",
    "parts_of",
    "read_responses",
    "refused",
    "sealed",
]

Item = dict[str, Any]

MIN_OUTPUT_TOKENS = 16

_REASONS = re.compile(r"o\d|gpt-5(?!-chat|\.[1-4](?!-pro|-chat))|gpt-[6-9]")
"""Models that reason unless the effort is `none`. Others reason only with an effort."""

_PART_TYPES = {"input_text": "text", "output_text": "text", "input_image": "image_url", "input_file": "file"}


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
    prompt_cache_options: dict[str, Any] | None = None

    @property
    def items(self) -> list[Item]:
        """The input as items, after the instructions."""
        input = [{"role": "user", "content": self.input}] if isinstance(self.input, str) else self.input
        return [{"role": "developer", "content": self.instructions}, *input] if self.instructions else input

    @property
    def base_model(self) -> str:
        """The model's name in lower case, without the vendor's prefix."""
        return self.model.lower().rpartition("/")[2]

    @property
    def summarizes(self) -> bool:
        """True if the answer shows a summary of the reasoning."""
        return bool(object_of(self.reasoning).get("summary"))


def read_responses(body: bytes) -> ResponsesRequest:
    """Returns the request. Raises InvalidRequestError or RequestTooLargeError."""
    try:
        request = msgspec.convert(decode_body(body), ResponsesRequest)
    except msgspec.ValidationError as error:
        raise InvalidRequestError(str(error)) from None
    most = request.max_output_tokens
    if most is not None and most < MIN_OUTPUT_TOKENS:
        bound = f"Expected a value >= {MIN_OUTPUT_TOKENS}, but got {most} instead."
        message = f"Invalid 'max_output_tokens': integer below minimum value. {bound}"
        raise refused(message, "max_output_tokens", "integer_below_min_value")
    return request


def refused(message: str, param: str = "input", code: str | None = None) -> InvalidRequestError:
    """Returns an error in OpenAI's form. `param` is the field at fault."""
    return InvalidRequestError(message, details={"param": param, "code": code})


def chat_of(request: ResponsesRequest) -> ChatRequest:
    """Returns the same request in the form of Chat Completions."""
    effort = object_of(request.reasoning).get("effort")
    choice, form = request.tool_choice, object_of(object_of(request.text).get("format"))
    if not isinstance(choice, str):
        named = object_of(choice)
        allowed = {"mode": named.get("mode"), "tools": _functions(named.get("tools"))}
        choice = {"function": named, "allowed_tools": allowed if named.get("tools") else None}
    return ChatRequest(
        model=request.model,
        messages=[
            message
            for made, items in groupby(request.items, is_made)
            for message in ([_answered(list(items))] if made else map(_asked, items))
        ],
        tools=_functions(request.tools),
        tool_choice=choice,
        parallel_tool_calls=request.parallel_tool_calls,
        max_completion_tokens=request.max_output_tokens,
        response_format={"type": form.get("type"), "json_schema": form},
        reasoning_effort=str(effort or ("medium" if _REASONS.match(request.base_model) else "none")),
    )


def kind_of(item: Item) -> str:
    """Returns the type of an item. Messages may omit it."""
    return str(item.get("type") or "message")


def is_made(item: Item) -> bool:
    """Returns True for an item that a model made in an earlier turn."""
    kind = kind_of(item)
    return item.get("role") == "assistant" or kind == "reasoning" or kind.endswith("_call")


def parts_of(item: Item) -> list[dict[str, Any]]:
    """Returns the content of a message, or the output of a call, as parts."""
    content = item.get("output", item.get("content"))
    if isinstance(content, str):
        return [{"type": "input_text", "text": content}]
    return [object_of(part) for part in content] if is_list(content) else []


def _asked(item: Item) -> Message:
    role = "tool" if kind_of(item) == "function_call_output" else str(item.get("role"))
    return Message(role, [_part(part) for part in parts_of(item)])


def _answered(items: list[Item]) -> Message:
    """Returns the items of one answer as one message. Reasoning becomes a part of it."""
    calls = [{"function": item} for item in items if kind_of(item) == "function_call"]
    others = [item for item in items if kind_of(item) not in ("function_call", "message")]
    said = [_part(part) for item in items for part in parts_of(item)]
    return Message("assistant", [*others, *said], calls)


def _part(part: dict[str, Any]) -> dict[str, Any]:
    kind = str(part.get("type"))
    return {**part, "type": _PART_TYPES.get(kind, kind)}


def _functions(tools: Any) -> list[dict[str, Any]]:
    """Returns the functions in the form of Chat Completions. The model never calls other tools."""
    found = [object_of(tool) for tool in tools] if is_list(tools) else []
    return [{"type": "function", "function": tool} for tool in found if tool.get("type") == "function"]


def check_history(items: list[Item]) -> None:
    """Raises InvalidRequestError for unpaired calls and outputs, and for lost or changed reasoning."""
    waiting: set[Any] = set()
    called: set[Any] = set()
    for item, follower in pairwise([*items, {}]):
        kind, call = kind_of(item), str(item.get("call_id"))
        if kind == "function_call":
            called.add(call)
            waiting.add(call)
        elif kind == "function_call_output":
            if call not in called:
                raise refused(f"No tool call found for function call output with call_id {call}.")
            waiting.discard(call)
        elif kind == "reasoning":
            _check_reasoning(item, follower)
        elif kind == "item_reference":  # the simulator stores nothing
            raise refused(f"Item with id '{item.get('id')}' not found.")
    if waiting:
        raise refused(f"No tool output found for function call {min(waiting)}.")


def sealed(content: str) -> str:
    """Returns content with its checksum. A pure function cannot remember its answers."""
    return f"{content}.{hashlib.sha256(content.encode()).hexdigest()[:24]}"


def is_sealed(content: Any) -> bool:
    """Returns True if the content has the checksum of `sealed`."""
    return isinstance(content, str) and content == sealed(content.rpartition(".")[0])


def _check_reasoning(item: Item, follower: Item) -> None:
    if not is_made(follower):
        name = f"Item '{item.get('id', 'rs_')}' of type 'reasoning'"
        raise refused(f"{name} was provided without its required following item.")
    if item.get("encrypted_content") is not None and not is_sealed(item["encrypted_content"]):
        message = "The encrypted content could not be verified."
        raise refused(message, code="invalid_encrypted_content")
