"""Reasoning asked for: an effort that the model accepts, a summary to show, and how long it stays in view."""

from typing import Any

from nexusflow_core.dialects.openai_responses.context import ResponsesTranslation
from nexusflow_core.translation.thinking import Steered, read_wish, steer
from nexusflow_core.translation.vendor_row import fits
from nexusflow_core.untyped import object_of

__all__ = ["REASONING", "steer_thinking", "takes_sampling"]

REASONING = "reasoning"
_KEEP_ALL = "clear_thinking_20251015"


def steer_thinking(it: ResponsesTranslation) -> Steered:
    """Puts `reasoning` into the body. Raises InvalidRequestError for a wish that contradicts itself."""
    wish, row = read_wish(it), it.vendor.thinking_of(it.model)
    steered = steer(it, wish, row, it.body)
    if row is None:
        return steered
    if wish.kind == "disabled":
        if row.off is None and row.efforts:  # listed by now: it cannot be switched off
            _add(it, effort=row.efforts["low"])
        return steered
    if wish.kind is not None and it.vendor.summary and not wish.hidden and not steered.off:
        if "summaries" in it.call.without:
            it.losses.drop("thinking.display", "this organization may not see summaries of reasoning")
        else:
            _add(it, summary="auto")
    if fits(it.vendor.context_models, it.model) and _keeps_all(it):
        _add(it, context="all_turns")
    return steered


def takes_sampling(it: ResponsesTranslation) -> bool:
    """Returns whether the model takes sampling fields beside the effort that the body asks for."""
    row = it.vendor.thinking_of(it.model)
    if row is None or not it.vendor.thinking_alone:
        return True
    effort = object_of(it.body.get(REASONING)).get("effort")
    return effort == "none" or (effort is None and not row.by_default)


def _add(it: ResponsesTranslation, **members: Any) -> None:
    it.body[REASONING] = {**object_of(it.body.get(REASONING)), **members}


def _keeps_all(it: ResponsesTranslation) -> bool:
    """Whether the client asks to keep all thinking, as Claude Code does with every request."""
    edits = object_of(it.request.extra.get("context_management")).get("edits")
    return edits == [{"type": _KEEP_ALL, "keep": "all"}]
