"""What OpenAI's models take on the Responses API, as the reference lists it (2026-11)."""

from __future__ import annotations

import re
from typing import Any, TypeAlias

__all__ = ["Fields", "efforts_of", "has_phases", "is_default_off", "keeps_open_schemas", "takes_breakpoints"]

Fields: TypeAlias = dict[str, Any]

_EFFORTS = [
    (r"gpt-6-astra|gpt-6\.1-sol", "low medium high xhigh max"),
    (r"gpt-6-(?:sol|luna)|gpt-6\.1-terra|gpt-5\.6", "none low medium high xhigh max"),
    (r"gpt-5\.[245]-pro", "medium high xhigh"),
    (r"gpt-5\.[123]-chat-latest", "medium"),
    (r"gpt-5\.[2345]", "none low medium high xhigh"),
    (r"gpt-5\.1", "none low medium high"),
    (r"gpt-5-pro", "high"),
    (r"gpt-5-chat-latest|gpt-4|gpt-3", ""),
    (r"gpt-5", "minimal low medium high"),
    (r"o[134]", "low medium high"),
]


def efforts_of(model: str) -> list[str]:
    """The words that `reasoning.effort` takes; none for a model that takes no `reasoning`."""
    fitting = (words for pattern, words in _EFFORTS if re.match(pattern, model))
    return next(fitting, "").split()


def is_default_off(model: str) -> bool:
    """Whether it reasons only when it is asked to."""
    return re.match(r"gpt-5\.[1-4](?!-pro|-chat)", model) is not None


def takes_breakpoints(model: str) -> bool:
    """Whether it takes `prompt_cache_breakpoint`."""
    return re.match(r"gpt-5\.6|gpt-6", model) is not None


def has_phases(model: str) -> bool:
    """Whether its messages have a phase."""
    return re.match(r"gpt-5\.3-codex|gpt-5\.[456]|gpt-6", model) is not None


def keeps_open_schemas(model: str) -> bool:
    """Whether a tool's schema may have `anyOf` and its like at the top."""
    return re.match(r"gpt-4|gpt-3\.5|o[134]", model) is None
