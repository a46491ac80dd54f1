"""Translates a Messages request to a Responses request. The same input makes the same bytes."""

import hashlib
from typing import Any, Final

import msgspec

from nexusflow_core.call import Call
from nexusflow_core.dialects.openai_responses.cache_markers import CacheMarkers
from nexusflow_core.dialects.openai_responses.context import WRAPPERS, ResponsesAsked, ResponsesTranslation
from nexusflow_core.dialects.openai_responses.items import Items
from nexusflow_core.dialects.openai_responses.tools import SEARCH_TYPE, offer_tools
from nexusflow_core.dialects.openai_responses.vendors import vendor_row
from nexusflow_core.errors import InvalidRequestError
from nexusflow_core.messages import MessagesRequest
from nexusflow_core.routing import Target
from nexusflow_core.translation.cache_markers import cache_key
from nexusflow_core.translation.documents import Part
from nexusflow_core.translation.losses import Losses
from nexusflow_core.translation.refusals import check_extra, max_tokens, sampling, user_id
from nexusflow_core.translation.schemas import closed, wanted_schema
from nexusflow_core.translation.server_tools import compaction_threshold
from nexusflow_core.translation.stops import check_stops
from nexusflow_core.translation.thinking import Steered, read_wish, steer
from nexusflow_core.translation.vendor_row import fits
from nexusflow_core.untyped import object_of

__all__ = ["responses_request"]

_LEAST_TOKENS: Final = 16
_REASONING: Final = "reasoning"
_KEEP_ALL: Final = "clear_thinking_20251015"
_SAMPLING: Final = frozenset({"temperature", "top_p"})


def responses_request(
    request: MessagesRequest, call: Call, target: Target, losses: Losses
) -> tuple[bytes, ResponsesAsked]:
    """Returns the request's body as JSON, and facts for the translation of its answer.

    Raises InvalidRequestError if a field can neither be sent nor dropped.
    """
    it = ResponsesTranslation(call, target, request, losses, vendor_row(target.upstream.vendor), {})
    try:
        return _made(it)
    except RecursionError:  # JSON that was decoded may be too deep to encode
        raise InvalidRequestError("The request body nests too deeply") from None


def _made(it: ResponsesTranslation) -> tuple[bytes, ResponsesAsked]:
    request, vendor, body = it.request, it.vendor, it.body
    for path in request.unknown:
        it.losses.unknown(path)
    check_stops(request.stop_sequences)
    body.update(model=it.model, input=[], store=False)
    body["max_output_tokens"] = most = _most_tokens(it)
    if request.stream or vendor.stream_only:
        body.update(stream=True, stream_options={"include_obfuscation": False})
    one_call = offer_tools(it)
    steered = _steer_thinking(it)
    body.update(sampling(it, _SAMPLING - vendor.refuses if _takes_sampling(it) else ()))
    _include(it, steered)
    markers = CacheMarkers(it)
    items = Items(it, markers)
    body["input"] = items.translated()
    if items.instructions is not None:
        body["instructions"] = items.instructions
    _identify(it)
    check_extra(it, compacts=vendor.compaction)
    if (threshold := compaction_threshold(it)) is not None:
        body["context_management"] = [{"type": "compaction", "compact_threshold": threshold}]
    _answer_format(it)
    body.update(markers.body())
    for name in vendor.refuses & body.keys():
        del body[name]
    encoded = msgspec.json.encode(body)
    asked = ResponsesAsked(
        **it.asked(),
        vendor=vendor,
        stop_here=tuple(request.stop_sequences),
        one_call=one_call,
        hide_thinking=steered.hidden,
        prompt_tokens=items.estimated(len(encoded)),
        most_tokens=most,
        thinks=object_of(request.extra.get("thinking")).get("type") not in (None, "disabled"),
        searches=_searches(it),
        wrappers=WRAPPERS - {tool.name for tool in request.tools},
    )
    return encoded, asked


def _most_tokens(it: ResponsesTranslation) -> int:
    most = max_tokens(it)
    if "max_output_tokens" in it.vendor.refuses:
        it.losses.hint("max_tokens", "not taken by this upstream")  # no warning: every request has it
    elif most < _LEAST_TOKENS:
        it.losses.drop("max_tokens", f"{most} < {_LEAST_TOKENS}, the least that can be asked for")
    return max(most, _LEAST_TOKENS)


def _include(it: ResponsesTranslation, steered: Steered) -> None:
    """Puts `include` into the body: answers have encrypted reasoning and search pages only on request."""
    included: list[str] = []
    if it.vendor.replay and not steered.off and it.vendor.thinking_of(it.model) is not None:
        included.append("reasoning.encrypted_content")
    if _searches(it):
        included.append("web_search_call.action.sources")
    if included:
        it.body["include"] = included


def _searches(it: ResponsesTranslation) -> bool:
    return any(tool["type"] == SEARCH_TYPE for tool in it.body.get("tools", ()))


def _identify(it: ResponsesTranslation) -> None:
    """Puts the user's id, the service tier and the cache key into the body."""
    user = user_id(it, taken=it.vendor.safety_identifier)
    if user is not None:
        it.body["safety_identifier"] = hashlib.sha256(user.encode()).hexdigest()
    if it.vendor.service_tiers and it.request.extra.get("service_tier") == "standard_only":
        it.body["service_tier"] = "default"
    if it.vendor.cache_key:
        it.body["prompt_cache_key"] = cache_key(it, it.body.get("tools"))


def _answer_format(it: ResponsesTranslation) -> None:
    """Puts the schema of `output_config.format` into the body, unchanged."""
    path, schema = wanted_schema(it.request, it.losses)
    if schema is None:
        return
    if not it.vendor.response_format:
        raise InvalidRequestError(f"{path}: this upstream takes no schema for its answer")
    strict = schema.get("type") == "object" and closed(schema)
    if not strict:
        it.losses.drop(path, "sent without `strict`: that takes closed objects without optional members")
    form: Part = {"type": "json_schema", "name": "output", "schema": schema, "strict": strict}
    it.body["text"] = {"format": form}


# Reasoning: the effort, the summary, and the context of earlier turns


def _steer_thinking(it: ResponsesTranslation) -> Steered:
    """Puts `reasoning` into the body. Raises InvalidRequestError for contradictory thinking fields."""
    wish, row = read_wish(it), it.vendor.thinking_of(it.model)
    steered = steer(it, wish, row, it.body)
    if row is None:
        return steered
    if wish.kind == "disabled":
        if row.off is None and row.efforts:  # cannot be switched off; `steer` has listed that
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


def _takes_sampling(it: ResponsesTranslation) -> bool:
    """Returns whether the model accepts sampling fields with the effort in the body."""
    row = it.vendor.thinking_of(it.model)
    if row is None or not it.vendor.thinking_alone:
        return True
    effort = object_of(it.body.get(_REASONING)).get("effort")
    return effort == "none" or (effort is None and not row.by_default)


def _add(it: ResponsesTranslation, **members: Any) -> None:
    it.body[_REASONING] = {**object_of(it.body.get(_REASONING)), **members}


def _keeps_all(it: ResponsesTranslation) -> bool:
    """Returns whether the client asks to keep all thinking. Claude Code does so in every request."""
    edits = object_of(it.request.extra.get("context_management")).get("edits")
    return edits == [{"type": _KEEP_ALL, "keep": "all"}]
