"""A whole Chat Completions answer as a Message."""

import re
from typing import Any

import msgspec
from msgspec import Struct

from nexusflow_core.dialects.openai_chat.asked import Asked
from nexusflow_core.dialects.openai_chat.counts import UsageTap
from nexusflow_core.dialects.openai_chat.decoding import decode_leniently
from nexusflow_core.dialects.openai_chat.ending import ending, unknown_finish
from nexusflow_core.dialects.openai_chat.names import ToolNames
from nexusflow_core.dialects.openai_chat.reasoning import Words, read_words
from nexusflow_core.dialects.openai_chat.schema import (
    Choice,
    Chunk,
    Delta,
    ToolCall,
    utf8_length,
)
from nexusflow_core.dialects.openai_chat.stops import StopFinder
from nexusflow_core.errors import UpstreamError, UpstreamProtocolError
from nexusflow_core.untyped import MALFORMED, is_object
from nexusflow_core.usage import Billing

__all__ = ["Translated", "the_choice", "translate_answer"]

_CUT = frozenset({"max_tokens", "model_context_window_exceeded", "refusal"})
"""Stop reasons of answers that end in the middle of whatever they were saying."""

_MARKS = re.compile(r'\\.|["{}\[\],]', re.S)
_LONGEST_ESCAPE = 12  # two halves of a surrogate pair: \ud83d\ude00


class Translated(Struct):
    """The parts of a Message, whether its usage is an estimate, and what had no place in it."""

    content: list[dict[str, Any]]
    stop_reason: str
    stop_sequence: str | None
    stop_details: dict[str, Any] | None
    usage: dict[str, Any]
    estimated: bool
    billing: Billing | None
    noticed: list[str]


def translate_answer(answer: Chunk, asked: Asked) -> Translated:
    """Raises UpstreamError for an answer without choices, or one that its vendor calls a failure, or whose
    tool arguments are no JSON object though it was not cut."""
    choice = the_choice(answer)
    message = choice.message or choice.delta or Delta()
    said = read_words(message, asked.vendor)
    stops = StopFinder(asked.stop_here, asked.echo)
    text = stops.feed(said.text) + stops.flush()
    refusal = message.refusal or "" if stops.found is None else ""
    text += refusal
    calls = list(message.tool_calls or ())
    if message.function_call is not None:
        calls.append(ToolCall(function=message.function_call))
    calls = [] if stops.found is not None else calls[:1] if asked.one_call else calls
    how = ending(
        choice.finish_reason,
        native=choice.native_finish_reason,
        stop_text=choice.stop_string(),
        refusal=refusal,
        calls=bool(calls),
        found=stops.found,
    )
    if isinstance(how, UpstreamError):
        raise how
    noticed = [*message.unplaced()]
    noticed += ["citations"] if answer.citations else []
    noticed += ["finish_reason"] if unknown_finish(choice.finish_reason) else []
    uses = _tool_uses(calls, asked, noticed, cut=how.stop_reason in _CUT)
    content = _thinking(said, asked)
    content += [{"type": "text", "text": text}] if text.strip() else []
    content += _with_details(uses, said, asked)
    tap = UsageTap(asked)
    tap.take(answer)
    return Translated(
        content=content,
        stop_reason=how.stop_reason,
        stop_sequence=how.stop_sequence,
        stop_details=how.stop_details,
        usage=tap.usage(_bytes_said(said.thinking + text, calls)),
        estimated=tap.estimated,
        billing=tap.billing(),
        noticed=noticed,
    )


def the_choice(answer: Chunk) -> Choice:
    """The choice that a whole answer is: one was asked for. Raises UpstreamProtocolError for none."""
    choice = next((choice for choice in answer.choices or () if not choice.index), None)
    if choice is None:
        raise UpstreamProtocolError("the upstream's answer has no choices")
    return choice


def _thinking(said: Words, asked: Asked) -> list[dict[str, Any]]:
    if not said.thinking.strip():
        return []
    if said.details:
        signature = asked.mark("details", said.details)
    else:
        signature = asked.mark("hidden", said.thinking) if asked.hide_thinking else asked.mark("text")
    shown = "" if asked.hide_thinking else said.thinking
    return [{"type": "thinking", "thinking": shown, "signature": signature}]


def _with_details(uses: list[dict[str, Any]], said: Words, asked: Asked) -> list[dict[str, Any]]:
    """The calls, behind the details that found no thinking block to go with."""
    if not said.details or said.thinking.strip():
        return uses
    return [{"type": "redacted_thinking", "data": asked.mark("details", said.details)}, *uses]


def _tool_uses(calls: list[ToolCall], asked: Asked, noticed: list[str], *, cut: bool) -> list[dict[str, Any]]:
    made: list[dict[str, Any]] = []
    ids: set[str] = set()
    for number, call in enumerate(calls):
        given = call.id if call.id and call.id not in ids else None
        id = asked.tool_id(given, number)
        ids.add(call.id or "")
        if (signature := call.thought_signature()) is not None:
            made.append({"type": "redacted_thinking", "data": asked.mark("signatures", {id: signature})})
        made.append(_tool_use(call, id, asked.names, noticed, cut=cut))
    return made


def _tool_use(call: ToolCall, id: str, names: ToolNames, noticed: list[str], *, cut: bool) -> dict[str, Any]:
    if call.function is None or not call.function.name:
        raise UpstreamProtocolError("the upstream's answer has a tool call without a name")
    return {
        "type": "tool_use",
        "id": id,
        "name": names.shown(call.function.name),
        "input": _input(call.function.text(), noticed, cut=cut),
    }


def _input(arguments: str, noticed: list[str], *, cut: bool) -> dict[str, Any]:
    """The arguments as an object; of arguments that were cut, as far as they can be read."""
    if arguments.strip() in ("", "null"):
        return {}
    try:
        return msgspec.json.decode(arguments.encode(), type=dict[str, Any])
    except MALFORMED:
        pass
    if (found := _leniently(arguments)) is not None:
        return found
    if not cut:
        raise UpstreamProtocolError("the upstream's answer has tool arguments that are no JSON object")
    noticed.append("tool_calls.arguments")
    return _readable_prefix(arguments)


def _leniently(arguments: str) -> dict[str, Any] | None:
    try:
        value = decode_leniently(arguments.encode())
    except msgspec.DecodeError:
        return None
    return value if is_object(value) else None


def _readable_prefix(arguments: str) -> dict[str, Any]:
    """The longest beginning that can be read, closed; {} where there is none. A string counts as far as it
    goes, a number that was cut does not: half of it says something else."""
    closing: list[str] = []
    whole, in_string = 0, False  # where the last member ends that is sure to be whole
    for found in _MARKS.finditer(arguments):
        mark = found[0]
        if mark == '"':
            in_string = not in_string
        elif in_string or mark[0] == "\\":
            continue
        elif mark in "{[":
            closing.append("}" if mark == "{" else "]")
            whole = found.end()
        elif mark == ",":
            whole = found.start()
        elif closing:
            closing.pop()
            whole = found.end()
    end = "".join(reversed(closing))
    tries = [arguments[:whole] + end]
    if in_string:  # without the escape sequence that it was perhaps cut in
        tries[:0] = [arguments[: len(arguments) - cut] + '"' + end for cut in range(_LONGEST_ESCAPE)]
    elif not arguments[-1:].isdigit():
        tries[:0] = [arguments + end]
    for text in tries:
        try:
            return msgspec.json.decode(text.encode(), type=dict[str, Any])
        except MALFORMED:
            continue
    return {}


def _bytes_said(text: str, calls: list[ToolCall]) -> int:
    arguments = [call.function.text() for call in calls if call.function is not None]
    return utf8_length(text) + sum(map(utf8_length, arguments))
