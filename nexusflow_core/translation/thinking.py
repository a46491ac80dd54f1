"""Thinking: reads what the client asked for, and writes a model's own fields for it."""

from collections.abc import Mapping
from typing import Any, Final, Literal, TypeAlias

from msgspec import Struct

from nexusflow_core.errors import InvalidRequestError
from nexusflow_core.translation.context import Translation
from nexusflow_core.translation.losses import Losses
from nexusflow_core.untyped import is_blank, is_object, is_zero, object_of, whole

__all__ = ["EFFORTS", "Steered", "Thinking", "Wish", "ladder", "read_wish", "steer"]

EFFORTS: Final = ("low", "medium", "high", "xhigh", "max")
"""Anthropic's words for effort, in ascending order."""
_KINDS: Final = ("enabled", "adaptive", "disabled", "between_tools")
_MEMBERS: Final = ("type", "budget_tokens", "display")

WithTools: TypeAlias = Literal["any", "off", "never"]


def ladder(listed: str) -> dict[str, str]:
    """Returns Anthropic's efforts mapped to `listed` ones: the same word, else the next lower one."""
    words = [word for word in EFFORTS if word in listed.split()]
    lower = {word: [one for one in words if EFFORTS.index(one) <= EFFORTS.index(word)] for word in EFFORTS}
    return {word: found[-1] if found else words[0] for word, found in lower.items()}


class Thinking(Struct, frozen=True, kw_only=True):
    """How to ask certain models for thinking, and for how much."""

    models: str = ""
    """A pattern for the beginning of a model's name."""
    on: Mapping[str, Any] = {}
    """Members of the body that switch thinking on; empty if it is always on."""
    off: Mapping[str, Any] | None = None
    """Members that switch it off; None if nothing does."""
    by_default: bool = False
    """The model thinks unless thinking is switched off."""
    efforts: Mapping[str, str] = {}
    """Anthropic's effort -> the vendor's; empty if the vendor has no such setting."""
    effort_at: tuple[str, ...] = ("reasoning_effort",)
    budget_at: tuple[str, ...] | None = None
    """Path of a token budget. It excludes an effort: vendors answer 400 to two controls of reasoning."""
    with_tools: WithTools = "any"
    """Thinking in a request with tools. `off`: must be switched off; `never`: the vendor refuses tools for this
    model."""
    checked: str = ""
    """The month in which these facts were checked, as YYYY-MM."""
    forced_choice: bool = True
    """False: no tool can be forced while the model thinks."""


class Steered(Struct, frozen=True):
    """How the model will think. `off`: certainly not at all. `hidden`: the client does not want the text."""

    off: bool = False
    hidden: bool = False


class Wish(Struct, frozen=True):
    """The client's request. `kind` None: it asked for nothing."""

    kind: str | None
    budget: int | None
    effort: str | None
    hidden: bool


def read_wish(translation: Translation) -> Wish:
    """Returns the client's request. Raises InvalidRequestError if it contradicts itself."""
    losses, extra = translation.losses, translation.request.extra
    effort = object_of(extra.get("output_config")).get("effort") or None
    if effort is not None and effort not in EFFORTS:
        raise InvalidRequestError(
            "output_config.effort: Input should be 'low', 'medium', 'high', 'xhigh' or 'max'"
        )
    thinking = extra.get("thinking")
    if thinking is None:
        return Wish(None, None, effort, hidden=False)
    if not is_object(thinking):
        raise InvalidRequestError("thinking: Input should be a valid dictionary")
    kind, budget, display = (thinking.get(name) for name in _MEMBERS)
    if kind not in _KINDS:
        raise InvalidRequestError(
            "thinking.type: Input should be 'enabled', 'adaptive', 'disabled' or 'between_tools'"
        )
    budget = whole(budget)
    if kind == "enabled" and (type(budget) is not int or budget < 1):
        raise InvalidRequestError("thinking.enabled.budget_tokens: Input should be a positive integer")
    if not is_zero(display) and display not in ("summarized", "omitted"):
        losses.hint("thinking.display", "only `summarized` and `omitted` are possible here")
    if kind == "between_tools":
        losses.drop("thinking.type", "sent as `adaptive`")
    for name, value in thinking.items():
        given = not (is_zero(value) if name == "budget_tokens" else is_blank(value))
        if given and (name not in _MEMBERS or (name == "budget_tokens" and kind != "enabled")):
            losses.unknown(f"thinking.{name}")
    return Wish(kind, budget if kind == "enabled" else None, effort, hidden=display == "omitted")


def steer(translation: Translation, wish: Wish, row: Thinking | None, body: dict[str, Any]) -> Steered:
    """Adds at most one control of reasoning, from a model's `row`, to the body. Returns how it will think.

    `row` None: no control of this model is known. Raises InvalidRequestError if thinking contradicts the tool
    choice.
    """
    losses, choice = translation.losses, translation.request.tool_choice
    if row is None:
        if wish.kind is not None:
            losses.drop("thinking", "not steered on this upstream")
        if wish.effort is not None:
            losses.drop("output_config.effort", "not steered on this upstream")
        return Steered(hidden=wish.hidden)
    if wish.kind == "disabled":
        return _switch_off(row, wish, body, losses)
    if choice is not None and choice.type in ("any", "tool") and not row.forced_choice:
        return _forced(row, wish, body, losses)
    if wish.kind is not None:
        body.update(row.on)
        if not (row.on or row.by_default or wish.budget or wish.effort):
            losses.drop("thinking", "this model thinks by its effort alone, and none is given")
    _strength(row, wish, body, losses)
    return Steered(hidden=wish.hidden)


def _switch_off(row: Thinking, wish: Wish, body: dict[str, Any], losses: Losses) -> Steered:
    if wish.effort is not None:
        losses.drop("output_config.effort", "without thinking there is nothing to steer")
    if row.off is None:
        losses.drop("thinking", "cannot be switched off here")
        return Steered(hidden=wish.hidden)
    body.update(row.off)
    return Steered(off=True, hidden=wish.hidden)


def _forced(row: Thinking, wish: Wish, body: dict[str, Any], losses: Losses) -> Steered:
    """Switches thinking off for a forced tool, if the model cannot do both. Returns that fact.

    Raises InvalidRequestError if the client asked for thinking.
    """
    if wish.kind is not None:
        raise InvalidRequestError("thinking: Thinking may not be enabled when tool_choice forces tool use.")
    if wish.effort is not None:
        losses.drop("output_config.effort", "thinking is off, since a tool is forced")
    if row.by_default and row.off is not None:
        body.update(row.off)
        losses.hint("thinking", "switched off, since a tool is forced")
    return Steered(off=True)


def _strength(row: Thinking, wish: Wish, body: dict[str, Any], losses: Losses) -> None:
    budget, effort = wish.budget, wish.effort
    if budget is not None and row.budget_at is not None:
        _put(body, row.budget_at, budget)
        if effort is not None:
            losses.drop("output_config.effort", "the budget of tokens goes along instead")
        return
    if budget is not None:
        losses.drop("thinking.budget_tokens", "this upstream takes words of effort only, if any")
        if effort is None and row.efforts:
            effort = "low" if budget < 4096 else "medium" if budget < 16384 else "high"
            _put(body, row.effort_at, row.efforts[effort])
            return
    if effort is None:
        return
    if not row.efforts:
        losses.drop("output_config.effort", "not steered on this upstream")
        return
    sent = row.efforts[effort]
    _put(body, row.effort_at, sent)
    if sent != effort:
        losses.drop("output_config.effort", f"sent as {sent}")


def _put(body: dict[str, Any], path: tuple[str, ...], value: Any) -> None:
    """Sets a member. A control inside an object replaces the whole object."""
    for name in reversed(path[1:]):
        value = {name: value}
    body[path[0]] = value
