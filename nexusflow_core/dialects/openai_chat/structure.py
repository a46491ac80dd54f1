"""The form that an answer must have: a schema where the vendor enforces one, else JSON and it as text."""

from typing import Any

import msgspec

from nexusflow_core.dialects.openai_chat.vendors import Vendor
from nexusflow_core.errors import InvalidRequest
from nexusflow_core.messages import MessagesRequest
from nexusflow_core.translation.losses import Losses, dotted
from nexusflow_core.translation.schemas import closed
from nexusflow_core.untyped import is_blank, is_list, is_object, is_zero, object_of

__all__ = ["answer_format"]

_ASKED = "Answer with one JSON object that is valid against this JSON schema, and with nothing else:\n"


def answer_format(
    request: MessagesRequest, vendor: Vendor, body: dict[str, Any], losses: Losses, *, prefilled: bool
) -> None:
    """Puts `output_config.format` into the body, once its messages and tools are there. The schema goes along
    as it is. Raises InvalidRequest where the answer could not have that form."""
    path, schema = _asked(request, losses)
    if schema is None:
        return
    if prefilled:
        raise InvalidRequest(f"{path}: not together with a prefill")
    if vendor.response_format == "json_object":
        kinds = schema.get("type", "object")
        if "object" not in (kinds if is_list(kinds) else [kinds]):
            raise InvalidRequest(f"{path}.schema: this upstream answers with JSON objects only")
        losses.drop(path, "this upstream enforces JSON, and gets the schema as text")
        body["response_format"] = {"type": "json_object"}
        _say(body["messages"], _ASKED + msgspec.json.encode(schema).decode())
        return
    if vendor.schema_alone and (request.stream or "tools" in body):
        raise InvalidRequest(f"{path}: this upstream takes a schema with neither tools nor a stream")
    strict = schema.get("type") == "object" and closed(schema)
    if not strict:
        losses.drop(path, "sent without `strict`: that takes closed objects without optional members")
    form = {"name": "output", "schema": schema, "strict": strict}
    body["response_format"] = {"type": "json_schema", "json_schema": form}


def _asked(request: MessagesRequest, losses: Losses) -> tuple[str, dict[str, Any] | None]:
    """The path of the format and its schema, under its name or the one that it had before."""
    path, given = "output_config.format", object_of(request.extra.get("output_config")).get("format")
    if "output_format" in request.extra:
        if not is_zero(given):
            raise InvalidRequest("output_format: not together with output_config.format, its new name")
        path, given = "output_format", request.extra["output_format"]
    if is_zero(given):
        return path, None
    if not is_object(given):
        raise InvalidRequest(f"{path}: Input should be a valid dictionary")
    if given.get("type") != "json_schema":
        raise InvalidRequest(f"{path}.type: Input should be 'json_schema'")
    schema = given.get("schema")
    if not is_object(schema):
        raise InvalidRequest(f"{dotted(path)}.schema: Input should be a valid dictionary")
    for name, value in given.items():
        if name not in ("type", "schema") and not is_blank(value):
            losses.unknown(f"{path}.{name}")
    return path, schema


def _say(messages: list[dict[str, Any]], text: str) -> None:
    """At the end of the system prompt, so that what stands before it can be cached."""
    if messages[0]["role"] != "system":
        messages.insert(0, {"role": "system", "content": text})
    elif is_list(messages[0]["content"]):
        messages[0]["content"].append({"type": "text", "text": text})
    else:
        messages[0]["content"] += f"\n\n{text}"
