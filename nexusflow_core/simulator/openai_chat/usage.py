"""The size of a prompt in tokens, its cached prefix, and the counts of an answer."""

from typing import Any

import msgspec
from msgspec import Struct

from nexusflow_core.counting import IMAGE_TOKENS, MESSAGE_TOKENS, PAGE_TOKENS, text_tokens
from nexusflow_core.simulator.openai_chat.request import ChatRequest, Message
from nexusflow_core.untyped import object_of

__all__ = ["CACHED_AT_LEAST", "CACHED_BY", "PromptTokens", "prompt_tokens", "usage_of"]

CACHED_AT_LEAST = 1_024
CACHED_BY = 128
"""In tokens. OpenAI caches prefixes from CACHED_AT_LEAST on, and extends them in steps of CACHED_BY."""

_FLAT_TOKENS = {"image_url": IMAGE_TOKENS, **dict.fromkeys(("input_audio", "file", "video_url"), PAGE_TOKENS)}


class PromptTokens(Struct, frozen=True):
    """Tokens of a prompt. `cached` is a part of `total`."""

    total: int
    cached: int


def prompt_tokens(request: ChatRequest) -> PromptTokens:
    """Returns the tokens of the prompt. The prefix before the last answer was sent before, so it is cached."""
    tools = sum(_json_tokens(tool) for tool in request.tools or ())
    sizes = [_message_tokens(message) for message in request.messages]
    turns = [i for i, message in enumerate(request.messages[:-1]) if message.role == "assistant"]
    earlier = tools + sum(sizes[: turns[-1]]) if turns else 0
    cached = earlier // CACHED_BY * CACHED_BY if earlier >= CACHED_AT_LEAST else 0
    return PromptTokens(tools + sum(sizes), cached)


def usage_of(prompt: PromptTokens, completion: int, reasoning: int) -> dict[str, Any]:
    """Returns the counts with all of OpenAI's details."""
    predicted = {"accepted_prediction_tokens": 0, "rejected_prediction_tokens": 0}
    return {
        "prompt_tokens": prompt.total,
        "completion_tokens": completion,
        "total_tokens": prompt.total + completion,
        "prompt_tokens_details": {"cached_tokens": prompt.cached, "audio_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": reasoning, "audio_tokens": 0, **predicted},
    }


def _message_tokens(message: Message) -> int:
    functions = [object_of(call.get("function")) for call in message.tool_calls or ()]
    called = sum(
        text_tokens(str(function.get(key, ""))) for function in functions for key in ("name", "arguments")
    )
    return MESSAGE_TOKENS + called + sum(map(_part_tokens, message.parts))


def _part_tokens(part: dict[str, Any]) -> int:
    kind, text = part.get("type"), part.get("text")
    if kind == "text" and isinstance(text, str):
        return text_tokens(text)
    return _FLAT_TOKENS.get(str(kind)) or _json_tokens(part)


def _json_tokens(value: Any) -> int:
    return text_tokens(msgspec.json.encode(value).decode())
