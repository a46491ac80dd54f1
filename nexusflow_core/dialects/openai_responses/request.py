"""Translates a Messages request to a Responses request. The same input makes the same bytes."""

import hashlib
from typing import Any, Final

import msgspec

from nexusflow_core.call import Call
from nexusflow_core.dialects.openai_responses.cache_markers import CacheMarkers
from nexusflow_core.dialects.openai_responses.items import Items
from nexusflow_core.dialects.openai_responses.tools import SEARCH_TYPE, offer_tools
from nexusflow_core.dialects.openai_responses.vendors import (
    WRAPPERS,
    ResponsesRequestFacts,
    ResponsesTranslation,
    vendor_row,
)
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
from nexusflow_core.translation.translated_dialect import fits
from nexusflow_core.untyped import object_of

__all__ = ["responses_request"]

_LEAST_TOKENS: Final = 16
_REASONING: Final = "reasoning"
_KEEP_ALL: Final = "clear_thinking_20251015"
_SAMPLING: Final = frozenset({"temperature", "top_p"})


def responses_request(
    request: MessagesRequest, call: Call, target: Target, losses: Losses
) -> tuple[bytes, ResponsesRequestFacts]:
    """Returns the request's body as JSON, and facts for the translation of its answer.

    Raises InvalidRequestError if a field can neither be sent nor dropped.
    """
    translation = ResponsesTranslation(call, target, request, losses, vendor_row(target.upstream.vendor), {})
    try:
        return _made(translation)
    except RecursionError:  # JSON that was decoded may be too deep to encode
        raise InvalidRequestError("The request body nests too deeply") from None


def _made(translation: ResponsesTranslation) -> tuple[bytes, ResponsesRequestFacts]:
    request, vendor, body = translation.request, translation.vendor, translation.body
    for path in request.unknown:
        translation.losses.unknown(path)
    check_stops(request.stop_sequences)
    body.update(model=translation.model, input=[], store=False)
    body["max_output_tokens"] = most = _most_tokens(translation)
    if request.stream or vendor.stream_only:
        body.update(stream=True, stream_options={"include_obfuscation": False})
    one_call = offer_tools(translation)
    steered = _steer_thinking(translation)
    body.update(sampling(translation, _SAMPLING - vendor.refuses if _takes_sampling(translation) else ()))
    searches = any(tool["type"] == SEARCH_TYPE for tool in body.get("tools", ()))
    _include(translation, steered, searches=searches)
    markers = CacheMarkers(translation)
    items = Items(translation, markers)
    body["input"] = items.translated()
    if items.instructions is not None:
        body["instructions"] = items.instructions
    _identify(translation)
    check_extra(translation, compacts=vendor.compaction)
    if (threshold := compaction_threshold(translation)) is not None:
        body["context_management"] = [{"type": "compaction", "compact_threshold": threshold}]
    _answer_format(translation)
    body.update(markers.body())
    for name in vendor.refuses & body.keys():
        del body[name]
    encoded = msgspec.json.encode(body)
    facts = ResponsesRequestFacts(
        **translation.request_facts(),
        vendor=vendor,
        stop_here=tuple(request.stop_sequences),
        one_call=one_call,
        hide_thinking=steered.hidden,
        prompt_tokens=items.estimated(len(encoded)),
        most_tokens=most,
        thinks=object_of(request.extra.get("thinking")).get("type") not in (None, "disabled"),
        searches=searches,
        wrappers=WRAPPERS - {tool.name for tool in request.tools},
    )
    return encoded, facts


def _most_tokens(translation: ResponsesTranslation) -> int:
    most = max_tokens(translation)
    if "max_output_tokens" in translation.vendor.refuses:
        translation.losses.hint("max_tokens", "not taken by this upstream")  # no warning: every request has it
    elif most < _LEAST_TOKENS:
        translation.losses.drop("max_tokens", f"{most} < {_LEAST_TOKENS}, the least that can be asked for")
    return max(most, _LEAST_TOKENS)


def _include(translation: ResponsesTranslation, steered: Steered, *, searches: bool) -> None:
    """Puts `include` into the body: answers have encrypted reasoning and search pages only on request."""
    included: list[str] = []
    if (
        translation.vendor.replay
        and not steered.off
        and translation.vendor.thinking_of(translation.model) is not None
    ):
        included.append("reasoning.encrypted_content")
    if searches:
        included.append("web_search_call.action.sources")
    if included:
        translation.body["include"] = included


def _identify(translation: ResponsesTranslation) -> None:
    """Puts the user's id, the service tier and the cache key into the body."""
    user = user_id(translation, taken=translation.vendor.safety_identifier)
    if user is not None:
        translation.body["safety_identifier"] = hashlib.sha256(user.encode()).hexdigest()
    if translation.vendor.service_tiers and translation.request.extra.get("service_tier") == "standard_only":
        translation.body["service_tier"] = "default"
    if translation.vendor.cache_key:
        translation.body["prompt_cache_key"] = cache_key(translation, translation.body)


def _answer_format(translation: ResponsesTranslation) -> None:
    """Puts the schema of `output_config.format` into the body, unchanged."""
    path, schema = wanted_schema(translation.request, translation.losses)
    if schema is None:
        return
    if not translation.vendor.response_format:
        raise InvalidRequestError(f"{path}: this upstream takes no schema for its answer")
    strict = schema.get("type") == "object" and closed(schema)
    if not strict:
        translation.losses.drop(
            path, "sent without `strict`: that takes closed objects without optional members"
        )
    form: Part = {"type": "json_schema", "name": "output", "schema": schema, "strict": strict}
    translation.body["text"] = {"format": form}


# Reasoning: the effort, the summary, and the context of earlier turns


def _steer_thinking(translation: ResponsesTranslation) -> Steered:
    """Puts `reasoning` into the body. Raises InvalidRequestError for contradictory thinking fields."""
    wish, row = read_wish(translation), translation.vendor.thinking_of(translation.model)
    steered = steer(translation, wish, row, translation.body)
    if row is None:
        return steered
    if wish.kind == "disabled":
        if row.off is None and row.efforts:  # cannot be switched off; `steer` has listed that
            _add(translation, effort=row.efforts["low"])
        return steered
    if wish.kind is not None and translation.vendor.summary and not wish.hidden and not steered.off:
        if "summaries" in translation.call.without:
            translation.losses.drop("thinking.display", "this organization may not see summaries of reasoning")
        else:
            _add(translation, summary="auto")
    if fits(translation.vendor.context_models, translation.model) and _keeps_all(translation):
        _add(translation, context="all_turns")
    return steered


def _takes_sampling(translation: ResponsesTranslation) -> bool:
    """Returns whether the model accepts sampling fields with the effort in the body."""
    row = translation.vendor.thinking_of(translation.model)
    if row is None or not translation.vendor.thinking_alone:
        return True
    effort = object_of(translation.body.get(_REASONING)).get("effort")
    return effort == "none" or (effort is None and not row.by_default)


def _add(translation: ResponsesTranslation, **members: Any) -> None:
    translation.body[_REASONING] = {**object_of(translation.body.get(_REASONING)), **members}


def _keeps_all(translation: ResponsesTranslation) -> bool:
    """Returns whether the client asks to keep all thinking. Claude Code does so in every request."""
    edits = object_of(translation.request.extra.get("context_management")).get("edits")
    return edits == [{"type": _KEEP_ALL, "keep": "all"}]
