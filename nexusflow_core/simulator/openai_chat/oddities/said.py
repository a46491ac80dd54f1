"""Oddities of what is said: they change a whole turn, before it is streamed or written out."""

from __future__ import annotations

from collections.abc import Callable

from msgspec.structs import replace

from nexusflow_core.simulator.jsonvalue import BadJson, Json, decode_json
from nexusflow_core.simulator.openai_chat.answer import Call, Turn
from nexusflow_core.simulator.tokens import text_tokens

_REFUSAL = "I'm sorry, but I can't assist with that request."
_AFTERTHOUGHT = "I have asked the tools."


def think_tags(turn: Turn) -> Turn:
    """Reasoning becomes the beginning of the text, and is not counted apart."""
    if not turn.reasoning:
        return turn
    text = f"<think>\n{turn.reasoning}\n</think>\n\n{turn.text}"
    return replace(turn, reasoning="", text=text, reasoning_tokens=0)


def text_after_call(turn: Turn) -> Turn:
    """Its tokens come on top, also of a limit."""
    if not turn.calls:
        return turn
    tokens = turn.completion_tokens + text_tokens(_AFTERTHOUGHT)
    return replace(turn, afterthought=_AFTERTHOUGHT, completion_tokens=tokens)


def refusal(turn: Turn) -> Turn:
    """Neither text nor calls; the model's reasons are not told."""
    return _instead(turn, refusal=_REFUSAL, finish="stop")


def content_filter(turn: Turn) -> Turn:
    """Half of the text, and no call."""
    return _instead(turn, text=turn.text[: len(turn.text) // 2], finish="content_filter")


def empty_answer(turn: Turn) -> Turn:
    """Nothing but a proper end."""
    return _instead(turn, finish="stop")


def _instead(turn: Turn, *, text: str = "", refusal: str = "", finish: str) -> Turn:
    tokens = turn.reasoning_tokens + text_tokens(text) + text_tokens(refusal)
    return replace(turn, text=text, refusal=refusal, calls=(), finish=finish, completion_tokens=tokens)


def _each_call(change: Callable[[Call, int], Call]) -> Callable[[Turn], Turn]:
    return lambda turn: replace(turn, calls=tuple(change(call, nth) for nth, call in enumerate(turn.calls)))


def _broken(call: Call, nth: int) -> Call:
    whole = call.arguments
    return replace(call, arguments=whole[: (len(whole) + 1) // 2]) if isinstance(whole, str) else call


def _as_value(call: Call, nth: int) -> Call:
    return replace(call, arguments=_value(call.arguments))


def _value(arguments: Json) -> Json:
    """What the text says; the text itself where another oddity broke it."""
    try:
        return decode_json(arguments.encode()) if isinstance(arguments, str) else arguments
    except BadJson:
        return arguments


empty_arguments = _each_call(lambda call, nth: replace(call, arguments=""))
null_arguments = _each_call(lambda call, nth: replace(call, arguments="null"))
broken_arguments = _each_call(_broken)
object_arguments = _each_call(_as_value)
same_id = _each_call(lambda call, nth: replace(call, id="call_same"))
kimi_ids = _each_call(lambda call, nth: replace(call, id=f"functions.{call.name}:{nth}"))
mistral_ids = _each_call(lambda call, nth: replace(call, id=call.id[-9:]))


def finish_stop(turn: Turn) -> Turn:
    """`stop`, though there are calls."""
    return replace(turn, finish="stop") if turn.calls else turn


def finish_calls(turn: Turn) -> Turn:
    """`tool_calls`, though there are none."""
    return replace(turn, finish="tool_calls") if turn.finish == "stop" else turn


def finish_eos(turn: Turn) -> Turn:
    """A word that OpenAI does not know."""
    return replace(turn, finish="eos") if turn.finish == "stop" else turn
