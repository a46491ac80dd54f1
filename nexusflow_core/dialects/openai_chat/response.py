"""Translates a whole Chat Completions answer to a Message."""

from typing import Any

from nexusflow_core.dialects.openai_chat.reasoning import Words, other_parts, read_words
from nexusflow_core.dialects.openai_chat.schema import Choice, Chunk, ToolCall
from nexusflow_core.dialects.openai_chat.stream import ChatUsage
from nexusflow_core.dialects.openai_chat.tool_calls import distinct_calls
from nexusflow_core.dialects.openai_chat.vendors import ChatRequestFacts
from nexusflow_core.errors import AnswerUnusableError, UpstreamError
from nexusflow_core.translation.answer import Answer
from nexusflow_core.translation.arguments import NO_OBJECT, read_arguments, readable_prefix
from nexusflow_core.translation.held import utf8_length
from nexusflow_core.translation.ids import ToolNames
from nexusflow_core.translation.stop_reason import CUT_SHORT, Stopped, ending_of
from nexusflow_core.translation.stops import StopFinder
from nexusflow_core.untyped import is_zero

__all__ = ["the_choice", "translate_answer"]


def translate_answer(answer: Chunk, facts: ChatRequestFacts) -> Answer:
    """Returns the Message of an answer.

    Raises UpstreamError for an answer without choices, and for a failure that the vendor reports. In an answer
    that was not cut, tool arguments must be a JSON object.
    """
    choice = the_choice(answer)
    message = choice.whole()
    words = read_words(message, facts.vendor)
    stops = StopFinder(facts.stop_here, facts.echo)
    text = stops.feed(words.text) + stops.flush()
    refusal = words.refusal if stops.found is None else ""
    text += refusal
    calls = distinct_calls(message) if stops.found is None else []
    calls = calls[:1] if facts.one_call else calls
    ending = ending_of(
        Stopped(
            finish=choice.finish_reason,
            native=choice.native_finish_reason,
            text=choice.stop_string(),
            refusal=refusal,
            calls=bool(calls),
            found=stops.found,
        ),
        facts.stops,
    )
    if isinstance(ending, UpstreamError):
        raise ending
    noticed = [*message.unplaced()]
    noticed += other_parts(message.content)
    noticed += ["citations"] if not is_zero(answer.citations) else []
    noticed += ["finish_reason"] if ending.guessed else []
    uses = _tool_uses(calls, facts, noticed, cut=ending.stop_reason in CUT_SHORT)
    content = _thinking(words, facts)
    content += [{"type": "text", "text": text}] if text.strip() else []
    content += _with_details(uses, words, facts)
    tap = ChatUsage(facts)
    tap.take(answer)
    return Answer(
        content=content,
        ending=ending,
        usage=tap.usage(_output_bytes(words.thinking + text, calls)),
        estimated=tap.estimated,
        billing=tap.billing(),
        noticed=noticed,
    )


def the_choice(answer: Chunk) -> Choice:
    """Returns the only choice of a whole answer. Raises AnswerUnusableError if there is none."""
    choice = next((choice for choice in answer.choices or () if not choice.index), None)
    if choice is None:
        raise AnswerUnusableError("the upstream's answer has no choices")
    return choice


def _thinking(words: Words, facts: ChatRequestFacts) -> list[dict[str, Any]]:
    if not words.thinking.strip():
        return []
    if words.details:
        signature = facts.mark("details", words.details)
    else:
        signature = facts.mark("hidden", words.thinking) if facts.hide_thinking else facts.mark("text")
    shown = "" if facts.hide_thinking else words.thinking
    return [{"type": "thinking", "thinking": shown, "signature": signature}]


def _with_details(uses: list[dict[str, Any]], words: Words, facts: ChatRequestFacts) -> list[dict[str, Any]]:
    """Returns the calls, after a block with the details if there is no thinking block for them."""
    if not words.details or words.thinking.strip():
        return uses
    return [{"type": "redacted_thinking", "data": facts.mark("details", words.details)}, *uses]


def _tool_uses(
    calls: list[ToolCall], facts: ChatRequestFacts, noticed: list[str], *, cut: bool
) -> list[dict[str, Any]]:
    made: list[dict[str, Any]] = []
    ids: set[str] = set()
    for number, call in enumerate(calls):
        own = call.given_id()
        id = facts.tool_id(own if own not in ids else None, number)
        ids.add(own or "")
        if (signature := call.thought_signature()) is not None:
            made.append({"type": "redacted_thinking", "data": facts.mark("signatures", {id: signature})})
        made.append(_tool_use(call, id, facts.names, noticed, cut=cut))
    return made


def _tool_use(call: ToolCall, id: str, names: ToolNames, noticed: list[str], *, cut: bool) -> dict[str, Any]:
    function = call.called()
    if function is None or not function.name:
        raise AnswerUnusableError("the upstream's answer has a tool call without a name")
    return {
        "type": "tool_use",
        "id": id,
        "name": names.shown(function.name),
        "input": _input(function.text(), noticed, cut=cut),
    }


def _input(arguments: str, noticed: list[str], *, cut: bool) -> dict[str, Any]:
    """Returns the arguments as an object. Of cut arguments it returns the readable part."""
    if (found := read_arguments(arguments)) is not None:
        return found
    if not cut:
        raise AnswerUnusableError(NO_OBJECT)
    noticed.append("tool_calls.arguments")
    return readable_prefix(arguments)


def _output_bytes(text: str, calls: list[ToolCall]) -> int:
    arguments = [function.text() for call in calls if (function := call.called()) is not None]
    return utf8_length(text) + sum(map(utf8_length, arguments))
