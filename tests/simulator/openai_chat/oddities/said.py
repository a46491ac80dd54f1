"""Oddities of what is said: they change a whole turn, before it is streamed or written out."""

from __future__ import annotations

from collections.abc import Callable

from msgspec.structs import replace

from nexusflow_core.counting import text_tokens
from nexusflow_core.simulator.openai_chat import Answer, Call

_REFUSAL = "I'm sorry, but I can't assist with that request."
_AFTERTHOUGHT = "I have asked the tools."


def think_tags(turn: Answer) -> Answer:
    """Reasoning becomes the beginning of the text, and is not counted apart."""
    if not turn.reasoning:
        return turn
    text = f"<think>\n{turn.reasoning}\n</think>\n\n{turn.text}"
    return replace(turn, reasoning="", text=text, reasoning_tokens=0)


def text_after_call(turn: Answer) -> Answer:
    """Its tokens come on top, also of a limit."""
    if not turn.calls:
        return turn
    tokens = turn.completion_tokens + text_tokens(_AFTERTHOUGHT)
    return replace(turn, text=_AFTERTHOUGHT, completion_tokens=tokens)


def refusal(turn: Answer) -> Answer:
    """Neither text nor calls; the model's reasons are not told."""
    return _instead(turn, text=_REFUSAL, finish="stop")


def content_filter(turn: Answer) -> Answer:
    """Half of the text, and no call."""
    return _instead(turn, text=turn.text[: len(turn.text) // 2], finish="content_filter")


def empty_answer(turn: Answer) -> Answer:
    """Nothing but a proper end."""
    return _instead(turn, finish="stop")


def _instead(turn: Answer, *, text: str = "", finish: str) -> Answer:
    tokens = turn.reasoning_tokens + text_tokens(text)
    return replace(turn, text=text, calls=(), finish=finish, completion_tokens=tokens)


def _each_call(change: Callable[[Call, int], Call]) -> Callable[[Answer], Answer]:
    return lambda turn: replace(turn, calls=tuple(change(call, nth) for nth, call in enumerate(turn.calls)))


def _broken(call: Call, nth: int) -> Call:
    return replace(call, arguments=call.arguments[: (len(call.arguments) + 1) // 2])


empty_arguments = _each_call(lambda call, nth: replace(call, arguments=""))
null_arguments = _each_call(lambda call, nth: replace(call, arguments="null"))
broken_arguments = _each_call(_broken)
same_id = _each_call(lambda call, nth: replace(call, id="call_same"))
kimi_ids = _each_call(lambda call, nth: replace(call, id=f"functions.{call.name}:{nth}"))
mistral_ids = _each_call(lambda call, nth: replace(call, id=call.id[-9:]))


def finish_stop(turn: Answer) -> Answer:
    """`stop`, though there are calls."""
    return replace(turn, finish="stop") if turn.calls else turn


def finish_calls(turn: Answer) -> Answer:
    """`tool_calls`, though there are none."""
    return replace(turn, finish="tool_calls") if turn.finish == "stop" else turn


def finish_eos(turn: Answer) -> Answer:
    """A word that OpenAI does not know."""
    return replace(turn, finish="eos") if turn.finish == "stop" else turn
