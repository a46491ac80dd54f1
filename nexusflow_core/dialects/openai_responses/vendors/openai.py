"""Reasoning efforts of OpenAI's models on the Responses API. The first matching pattern counts.

`checked` is the month in which the facts were read.
"""

from typing import Any, Final

from nexusflow_core.translation.thinking import Thinking, ladder

__all__ = ["OPENAI", "THREE", "reasons"]

_CHECKED: Final = "2026-11"
_ALL: Final = "low medium high xhigh max"
_TO_XHIGH: Final = "low medium high xhigh"
THREE: Final = "low medium high"


def reasons(
    models: str, efforts: str, *, off: str | None = None, default: str | None = "", checked: str = _CHECKED
) -> Thinking:
    """Returns a row. `off`: the effort that disables reasoning.

    `default`: the effort to request if the model does not reason by default; "" if it does.
    """
    return Thinking(
        models=models,
        on=_effort(default) if default else {},
        off=_effort(off) if off else None,
        by_default=not default,
        efforts=ladder(efforts) if efforts else {},
        effort_at=("reasoning", "effort"),
        checked=checked,
    )


def _effort(word: str) -> dict[str, Any]:
    return {"reasoning": {"effort": word}}


OPENAI: Final = (
    reasons(r"gpt-6-astra|gpt-6\.1-sol", _ALL),
    reasons(r"gpt-6\.2-(?:astra|sol)", _ALL, checked=""),
    reasons(r"gpt-6-(?:sol|luna)|gpt-6\.1-terra|gpt-5\.6", _ALL, off="none"),
    reasons(r"gpt-[6-9]", _ALL, off="none", checked=""),
    reasons(r"gpt-5\.[245]-pro", "medium high xhigh"),
    reasons(r"gpt-5-pro", "high"),
    reasons(r"gpt-5\.[123]-chat", "medium"),
    reasons(r"gpt-5\.5", _TO_XHIGH, off="none"),
    reasons(r"gpt-5\.[2-4]", _TO_XHIGH, off="none", default="medium"),
    reasons(r"gpt-5\.1", THREE, off="none", default="medium"),
    reasons(r"gpt-5(?!-chat)", THREE, off="minimal"),
    reasons(r"o\d", THREE),
)
