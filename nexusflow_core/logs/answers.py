"""Reader of whole answers: Anthropic's messages, OpenAI's completions and responses, and results of batches.

The member `object` tells OpenAI's two forms apart, and `type` names Anthropic's. Sources: the API references of
both, and of their batch APIs.
"""

from datetime import datetime
from typing import Any

import msgspec
from msgspec import Raw, Struct
from msgspec.structs import replace

from nexusflow_core.logs.entry import CountedElsewhereError, Entry, NotAnEntryError, unix_moment
from nexusflow_core.logs.usage_lines import model_runs
from nexusflow_core.untyped import object_of
from nexusflow_core.usage import Usage

__all__ = ["read_answer", "read_anthropic_batch", "read_openai_batch"]

_CHAT = ("chat.completion", "text_completion", "chat.completion.chunk", "list")
_NULL = b"null"


class _Answer(Struct):
    id: str | None = None
    object: str | None = None
    type: str | None = None
    model: str | None = None
    created: int | float | None = None
    created_at: int | float | None = None
    usage: dict[str, Any] | None = None
    stop_reason: str | None = None
    service_tier: str | None = None
    tool_usage: dict[str, Any] | None = None


class _Result(Struct):
    type: str
    message: Raw = Raw(_NULL)


class _AnthropicLine(Struct):
    custom_id: str
    result: _Result


class _Response(Struct):
    status_code: int | None = None
    request_id: str | None = None
    body: Raw = Raw(_NULL)


class _OpenAILine(Struct):
    custom_id: str
    response: _Response | None = None


_answer = msgspec.json.Decoder(_Answer)
_anthropic_line = msgspec.json.Decoder(_AnthropicLine)
_openai_line = msgspec.json.Decoder(_OpenAILine)


def read_answer(value: bytes, at: datetime | None = None) -> Entry:
    """Returns the entry of one answer. Anthropic's have no time, so they get `at`.

    Raises NotAnEntryError, InvalidUsageError or msgspec's errors.
    """
    parsed = _answer.decode(value)
    if parsed.usage is None:
        raise NotAnEntryError("the answer has no usage")
    if not parsed.model:
        raise NotAnEntryError("the answer has no model")
    return Entry(
        models=(parsed.model,),
        at=_moment(parsed, at),
        id=parsed.id,
        usage=_usage(parsed, parsed.usage),
        vendor="anthropic" if parsed.type == "message" else None,
        stop_reason=parsed.stop_reason if parsed.type == "message" else None,
        model_runs=model_runs(object_of(parsed.usage.get("server_tool_use")))
        if parsed.type == "message"
        else 1,
    )


def read_anthropic_batch(value: bytes, at: datetime | None = None) -> Entry:
    """Returns the entry of a line of a Message Batch's results. Results have no time, so they get `at`.

    Only results that succeeded are billed. Raises CountedElsewhereError for the others.
    """
    parsed = _anthropic_line.decode(value)
    if parsed.result.type != "succeeded":
        raise CountedElsewhereError(f"the result is {parsed.result.type}: it is not billed")
    return replace(read_answer(bytes(parsed.result.message), at), batch=True)


def read_openai_batch(value: bytes, at: datetime | None = None) -> Entry:
    """Returns the entry of a line of a batch's output. Raises CountedElsewhereError for failed requests."""
    parsed = _openai_line.decode(value)
    if parsed.response is None or (parsed.response.status_code or 200) >= 400:
        raise CountedElsewhereError("the request failed: it is not billed")
    return replace(read_answer(bytes(parsed.response.body), at), batch=True)


def _moment(parsed: _Answer, default: datetime | None) -> datetime:
    created = parsed.created if parsed.created is not None else parsed.created_at
    if created is not None:
        return unix_moment(created)
    if default is None:
        raise NotAnEntryError("no time: an answer of this form has none, so give one with --at")
    return default


def _usage(parsed: _Answer, usage: dict[str, Any]) -> Usage:
    if parsed.type == "message":
        return Usage.from_wire(usage, "anthropic")
    tier = {} if parsed.service_tier is None else {"service_tier": parsed.service_tier}
    if parsed.object == "response":
        searches = {} if parsed.tool_usage is None else {"tool_usage": parsed.tool_usage}
        return Usage.from_wire({**usage, **tier, **searches}, "openai-responses")
    if parsed.object in _CHAT:
        return Usage.from_wire({**usage, **tier}, "openrouter" if "cost" in usage else "openai-chat")
    raise NotAnEntryError(f"an answer of an unknown kind: {str(parsed.object or parsed.type)[:40]!r}")
