"""OpenAI's models on Chat Completions: how to ask for thinking, and which models take tools.

The first matching pattern counts. `checked` is the month in which the facts were read.
"""

from typing import Final

from nexusflow_core.translation.thinking import Thinking, ladder

__all__ = ["OPENAI"]

_NONE: Final = {"reasoning_effort": "none"}
_ALL: Final = ladder("low medium high xhigh max")
_TO_XHIGH: Final = ladder("low medium high xhigh")
_THREE: Final = ladder("low medium high")
_CHECKED: Final = "2026-11"

OPENAI: Final = (
    # Always think, so that nothing makes them take tools here.
    Thinking(
        models=r"gpt-6-astra|gpt-6\.1-sol", by_default=True, efforts=_ALL, with_tools="never", checked=_CHECKED
    ),
    Thinking(models=r"gpt-6\.2-(?:astra|sol)", by_default=True, efforts=_ALL, checked=_CHECKED),
    # Take tools here only without thinking.
    Thinking(
        models=r"gpt-6-(?:sol|luna)|gpt-6\.1-terra|gpt-5\.6",
        by_default=True,
        efforts=_ALL,
        off=_NONE,
        with_tools="off",
        checked=_CHECKED,
    ),
    Thinking(models=r"gpt-[6-9]", by_default=True, efforts=_ALL, off=_NONE),
    # Fixed in part or as a whole.
    Thinking(
        models=r"gpt-5\.[245]-pro", by_default=True, efforts=ladder("medium high xhigh"), checked=_CHECKED
    ),
    Thinking(models=r"gpt-5-pro", by_default=True, efforts=ladder("high"), checked=_CHECKED),
    Thinking(models=r"gpt-5\.[123]-chat", by_default=True, efforts=ladder("medium"), checked=_CHECKED),
    Thinking(models=r"gpt-5\.5", by_default=True, efforts=_TO_XHIGH, off=_NONE, checked=_CHECKED),
    Thinking(models=r"gpt-5\.[2-9]", efforts=_TO_XHIGH, off=_NONE, checked=_CHECKED),
    Thinking(models=r"gpt-5\.1", efforts=_THREE, off=_NONE, checked=_CHECKED),
    Thinking(
        models=r"gpt-5(?!-chat)",
        by_default=True,
        efforts=_THREE,
        off={"reasoning_effort": "minimal"},
        checked=_CHECKED,
    ),
    Thinking(models=r"o\d", by_default=True, efforts=_THREE, checked=_CHECKED),
)
