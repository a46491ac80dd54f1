"""Whether and how hard a model thinks: Anthropic's `thinking` and `effort` in the vendor's own fields."""

from typing import Any, Final

from msgspec import Struct

from nexusflow_core.dialects.openai_chat.vendors import Thinking, Vendor
from nexusflow_core.errors import InvalidRequest
from nexusflow_core.messages import MessagesRequest
from nexusflow_core.translation.losses import Losses
from nexusflow_core.untyped import is_blank, is_object, is_zero, object_of, whole

__all__ = ["Steered", "steer_thinking"]

_EFFORTS: Final = ("low", "medium", "high", "xhigh", "max")
_KINDS: Final = ("enabled", "adaptive", "disabled", "between_tools")
_TOOLS_ONLY: Final = "switched off: with tools, Chat Completions takes this model only without thinking"
_MEMBERS: Final = ("type", "budget_tokens", "display")


class Steered(Struct, frozen=True):
    """What the rest of the translation must know: whether thinking is surely `off`, and whether the client
    wants what it gets `hidden`."""

    off: bool = False
    hidden: bool = False


class _Wish(Struct, frozen=True):
    """What the client asked for. `kind` None: nothing."""

    kind: str | None
    budget: int | None
    effort: str | None
    hidden: bool


def steer_thinking(
    request: MessagesRequest, model: str, vendor: Vendor, body: dict[str, Any], losses: Losses
) -> Steered:
    """Puts the vendor's fields into the body, at most one control of reasoning: vendors refuse two. Raises
    InvalidRequest for a wish that contradicts itself."""
    wish = _read(request, losses)
    row = vendor.thinking_of(model)
    if row is None:
        if wish.kind is not None:
            losses.drop("thinking", "not steered on this upstream")
        if wish.effort is not None:
            losses.drop("output_config.effort", "not steered on this upstream")
        return Steered(hidden=wish.hidden)
    if "tools" in body and row.with_tools != "any":
        return _without(row, model, wish, body, losses)
    if wish.kind == "disabled":
        return _switch_off(row, wish, body, losses)
    forced = request.tool_choice is not None and request.tool_choice.type in ("any", "tool")
    if forced and not row.forced_choice:
        return _forced(row, wish, body, losses)
    if wish.kind is not None:
        body.update(row.on)
        if not (row.on or row.by_default or wish.budget or wish.effort):
            losses.drop("thinking", "this model thinks by its effort alone, and none is given")
    _strength(row, wish, body, losses)
    return Steered(hidden=wish.hidden)


def _read(request: MessagesRequest, losses: Losses) -> _Wish:
    effort = object_of(request.extra.get("output_config")).get("effort") or None
    if effort is not None and effort not in _EFFORTS:
        raise InvalidRequest("output_config.effort: Input should be 'low', 'medium', 'high', 'xhigh' or 'max'")
    thinking = request.extra.get("thinking")
    if thinking is None:
        return _Wish(None, None, effort, hidden=False)
    if not is_object(thinking):
        raise InvalidRequest("thinking: Input should be a valid dictionary")
    kind, budget, display = (thinking.get(name) for name in _MEMBERS)
    if kind not in _KINDS:
        raise InvalidRequest(
            "thinking.type: Input should be 'enabled', 'adaptive', 'disabled' or 'between_tools'"
        )
    budget = whole(budget)
    if kind == "enabled" and (type(budget) is not int or budget < 1):
        raise InvalidRequest("thinking.enabled.budget_tokens: Input should be a positive integer")
    if not is_zero(display) and display not in ("summarized", "omitted"):
        losses.hint("thinking.display", "only `summarized` and `omitted` are possible here")
    if kind == "between_tools":
        losses.drop("thinking.type", "sent as `adaptive`")
    for name, value in thinking.items():
        told = not (is_zero(value) if name == "budget_tokens" else is_blank(value))
        if told and (name not in _MEMBERS or (name == "budget_tokens" and kind != "enabled")):
            losses.unknown(f"thinking.{name}")
    return _Wish(kind, budget if kind == "enabled" else None, effort, hidden=display == "omitted")


def _without(row: Thinking, model: str, wish: _Wish, body: dict[str, Any], losses: Losses) -> Steered:
    """The model takes tools here only while it does not think, or not at all."""
    if row.with_tools == "never" or row.off is None:
        raise InvalidRequest(
            f"tools: {model[:100]} takes no tools on Chat Completions; call it through an upstream with "
            'dialect = "openai-responses"'
        )
    if wish.effort is not None:
        losses.drop("output_config.effort", _TOOLS_ONLY)
    if wish.kind not in (None, "disabled"):
        losses.drop("thinking", _TOOLS_ONLY)
    elif wish.kind is None and wish.effort is None and row.by_default:
        losses.hint("thinking", _TOOLS_ONLY)
    body.update(row.off)
    return Steered(off=True, hidden=wish.hidden)


def _switch_off(row: Thinking, wish: _Wish, body: dict[str, Any], losses: Losses) -> Steered:
    if wish.effort is not None:
        losses.drop("output_config.effort", "without thinking there is nothing to steer")
    if row.off is None:
        losses.drop("thinking", "cannot be switched off here")
        return Steered(hidden=wish.hidden)
    body.update(row.off)
    return Steered(off=True, hidden=wish.hidden)


def _forced(row: Thinking, wish: _Wish, body: dict[str, Any], losses: Losses) -> Steered:
    """A tool is forced where thinking forbids that: thinking yields, unless the client asked for it."""
    if wish.kind is not None:
        raise InvalidRequest("thinking: Thinking may not be enabled when tool_choice forces tool use.")
    if wish.effort is not None:
        losses.drop("output_config.effort", "thinking is off, since a tool is forced")
    if row.by_default and row.off is not None:
        body.update(row.off)
        losses.hint("thinking", "switched off, since a tool is forced")
    return Steered(off=True)


def _strength(row: Thinking, wish: _Wish, body: dict[str, Any], losses: Losses) -> None:
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
    """A control below an object stands there alone."""
    for name in reversed(path[1:]):
        value = {name: value}
    body[path[0]] = value
