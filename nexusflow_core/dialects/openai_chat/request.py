"""Translates a Messages request to a Chat Completions request. The same input gives the same bytes."""

import msgspec

from nexusflow_core.call import Call
from nexusflow_core.dialects.openai_chat.cache_markers import CacheMarkers
from nexusflow_core.dialects.openai_chat.conversation import ChatConversation
from nexusflow_core.dialects.openai_chat.thinking import Recall, steer_thinking
from nexusflow_core.dialects.openai_chat.vendors import ChatRequestFacts, ChatTranslation, vendor_row
from nexusflow_core.errors import InvalidRequestError
from nexusflow_core.messages import MessagesRequest, ToolChoice
from nexusflow_core.routing import Target
from nexusflow_core.translation.cache_markers import cache_key
from nexusflow_core.translation.documents import Part
from nexusflow_core.translation.ids import CallIds, ToolNames
from nexusflow_core.translation.losses import Losses
from nexusflow_core.translation.refusals import check_extra, max_tokens, sampling, user_id
from nexusflow_core.translation.schemas import closed, wanted_schema
from nexusflow_core.translation.stops import check_stops
from nexusflow_core.translation.tools import function_of, offered_tools, wanted_choice
from nexusflow_core.untyped import is_list

__all__ = ["chat_request"]

_ASKED = "Answer with one JSON object that is valid against this JSON schema, and with nothing else:\n"


def chat_request(
    request: MessagesRequest, call: Call, target: Target, losses: Losses
) -> tuple[bytes, ChatRequestFacts]:
    """Returns the body for this call, and what its answer's translation needs. Raises InvalidRequestError if
    the upstream cannot be asked without a change of meaning."""
    try:
        return _made(ChatTranslation(call, target, request, losses, vendor_row(target.upstream.vendor), {}))
    except RecursionError:  # an input or schema so deep that it can be decoded but not encoded
        raise InvalidRequestError("The request body nests too deeply") from None


def _made(translation: ChatTranslation) -> tuple[bytes, ChatRequestFacts]:
    request, vendor, body, model = translation.request, translation.vendor, translation.body, translation.model
    for path in request.unknown:
        translation.losses.unknown(path)
    markers = CacheMarkers(translation)
    body.update(model=model, messages=[])
    body[vendor.max_tokens] = max_tokens(translation)
    if request.stream:
        body["stream"] = True
        if vendor.stream_options:
            body["stream_options"] = {"include_usage": True}
    stop_here = _stop(translation)
    body.update(sampling(translation, () if vendor.reasons(model) else vendor.sampling))
    one_call = _offer_tools(translation)
    steered = steer_thinking(translation)
    ids = CallIds(vendor.id_form(model), translation.call_ids())
    conversation = ChatConversation(
        translation, markers=markers, recall=Recall(translation, off=steered.off), ids=ids
    )
    body["messages"] = conversation.translated()
    user = user_id(translation, taken=vendor.user_field is not None)
    if vendor.user_field is not None and user is not None:
        body[vendor.user_field] = user
    check_extra(translation)
    if vendor.service_tiers and request.extra.get("service_tier") == "standard_only":
        body["service_tier"] = "default"
    _answer_format(translation, prefilled=conversation.begun is not None)
    body.update(conversation.continued.body)
    body.update(markers.body())
    if vendor.cache_key is not None:
        body[vendor.cache_key] = cache_key(translation, body)
    encoded = msgspec.json.encode(body)
    facts = ChatRequestFacts(
        **translation.request_facts(),
        vendor=vendor,
        stop_here=stop_here,
        echo=(conversation.begun or "") if conversation.continued.echoed else "",
        one_call=one_call,
        hide_thinking=steered.hidden,
        prompt_tokens=conversation.estimated(len(encoded)),
    )
    return encoded, facts


def _offer_tools(translation: ChatTranslation) -> bool:
    """Adds tools and tool choice to the body.

    Returns True if only the answer's first call counts, because the upstream has no field to limit them.
    """
    vendor, body, offered = translation.vendor, translation.body, offered_tools(translation)
    if offered:
        enforces, refuses = vendor.strict_tools, vendor.schema_refuses
        made = [
            function_of(tool, at, translation.losses, enforces=enforces, refuses=refuses)
            for at, tool in offered
        ]
        body["tools"] = [{"type": "function", "function": function} for function in made]
    choice = wanted_choice(translation, [tool for _, tool in offered])
    if choice is None:
        return False
    _tool_choice(choice, translation)
    if not choice.disable_parallel_tool_use:
        return False
    if vendor.parallel_tool_calls:
        body["parallel_tool_calls"] = False
    return not vendor.parallel_tool_calls


def _tool_choice(choice: ToolChoice, translation: ChatTranslation) -> None:
    vendor, body = translation.vendor, translation.body
    if choice.type in ("auto", "none"):
        body["tool_choice"] = choice.type
        return
    if vendor.tool_choice == "auto":
        translation.losses.drop("tool_choice", "this upstream cannot be made to call a tool")
        body["tool_choice"] = "auto"
    elif choice.type == "any":
        body["tool_choice"] = vendor.required
    elif vendor.tool_choice == "required":  # offer only this tool, and require a call
        sent = ToolNames.sent(choice.name or "")
        body["tools"] = [tool for tool in body["tools"] if tool["function"]["name"] == sent]
        body["tool_choice"] = vendor.required
    else:
        body["tool_choice"] = {"type": "function", "function": {"name": ToolNames.sent(choice.name or "")}}


def _stop(translation: ChatTranslation) -> tuple[str, ...]:
    """Sends all stop sequences if the vendor accepts them, else none. Returns those to search for here."""
    stops, vendor = translation.request.stop_sequences, translation.vendor
    check_stops(stops)
    too_long = vendor.stop_bytes is not None and any(len(stop.encode()) > vendor.stop_bytes for stop in stops)
    if not stops or len(stops) > vendor.stop or too_long or vendor.reasons(translation.model):
        return tuple(stops)
    translation.body["stop"] = stops
    return ()


def _answer_format(translation: ChatTranslation, *, prefilled: bool) -> None:
    """Adds `output_config.format` to the body, after messages and tools. The schema is sent unchanged.

    Raises InvalidRequestError if the answer could not have this format.
    """
    vendor, body, losses = translation.vendor, translation.body, translation.losses
    path, schema = wanted_schema(translation.request, losses)
    if schema is None:
        return
    if prefilled:
        raise InvalidRequestError(f"{path}: not together with a prefill")
    if vendor.response_format == "json_object":
        kinds = schema.get("type", "object")
        if "object" not in (kinds if is_list(kinds) else [kinds]):
            raise InvalidRequestError(f"{path}.schema: this upstream answers with JSON objects only")
        losses.drop(path, "this upstream enforces JSON, and gets the schema as text")
        body["response_format"] = {"type": "json_object"}
        _say(body["messages"], _ASKED + msgspec.json.encode(schema).decode())
        return
    if vendor.schema_alone and (translation.request.stream or "tools" in body):
        raise InvalidRequestError(f"{path}: this upstream takes a schema with neither tools nor a stream")
    strict = schema.get("type") == "object" and closed(schema)
    if not strict:
        losses.drop(path, "sent without `strict`: that takes closed objects without optional members")
    form = {"name": "output", "schema": schema, "strict": strict}
    body["response_format"] = {"type": "json_schema", "json_schema": form}


def _say(messages: list[Part], text: str) -> None:
    """Appends a text to the system prompt. At its end it keeps the cached prefix unchanged."""
    if messages[0]["role"] != "system":
        messages.insert(0, {"role": "system", "content": text})
    elif is_list(messages[0]["content"]):
        messages[0]["content"].append({"type": "text", "text": text})
    else:
        messages[0]["content"] += f"\n\n{text}"
