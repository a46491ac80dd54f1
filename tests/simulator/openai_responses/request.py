"""The fields of a Responses request beside its items, checked as OpenAI checks them, in its words."""

from __future__ import annotations

import re
from typing import Any

from tests.simulator.openai_chat.checks import (
    Refused,
    an_object,
    in_range,
    not_longer,
    one_of,
    optional_object,
    required,
    string,
)
from tests.simulator.openai_responses.models import (
    Fields,
    efforts_of,
    is_default_off,
    keeps_open_schemas,
    takes_breakpoints,
)

__all__ = ["check_request"]

_FIELDS = frozenset(
    """model input instructions max_output_tokens max_tool_calls tools tool_choice parallel_tool_calls text
    reasoning include store stream stream_options temperature top_p service_tier prompt_cache_key
    prompt_cache_options context_management safety_identifier metadata""".split()
)
"""What this gateway may send: OpenAI has more, and refuses every other field by its name."""

_INCLUDES = ("reasoning.encrypted_content", "web_search_call.action.sources")
_NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")


def check_request(fields: Fields) -> None:
    """Raises Refused for fields that OpenAI refuses, or that this gateway promises never to send."""
    for name in fields:
        if name not in _FIELDS:
            raise Refused(f"Unknown parameter: '{name}'.", name, "unknown_parameter")
    model = string(required(fields, "model"), "model")
    if required(fields, "store") is not False:
        raise Refused("'store' must be false: nothing may be kept here.", "store")
    for name in fields.get("include") or ():
        one_of(name, _INCLUDES, "include")
    if fields.get("stream_options") is not None and fields.get("stream") is not True:
        raise Refused("'stream_options' is only allowed when 'stream' is enabled.", "stream_options")
    _check_reasoning(model, fields)
    _check_sampling(model, fields)
    names = [_check_tool(model, tool, f"tools[{i}]") for i, tool in enumerate(fields.get("tools") or ())]
    _check_choice(fields.get("tool_choice"), names)
    _check_format(optional_object(optional_object(fields, "text"), "format"))
    if fields.get("prompt_cache_options") is not None and not takes_breakpoints(model):
        raise _unsupported("prompt_cache_options", model)
    not_longer(fields.get("safety_identifier") or "", 128, "safety_identifier")
    not_longer(fields.get("prompt_cache_key") or "", 64, "prompt_cache_key")


def _check_reasoning(model: str, fields: Fields) -> None:
    given = optional_object(fields, "reasoning")
    efforts = efforts_of(model)
    if given and not efforts:
        raise _unsupported("reasoning.effort", model)
    if given.get("effort") is not None:
        one_of(string(given["effort"], "reasoning.effort"), efforts, "reasoning.effort")
    if given.get("summary") is not None:
        one_of(string(given["summary"], "reasoning.summary"), ("auto", "concise", "detailed"), "reasoning")


def _check_sampling(model: str, fields: Fields) -> None:
    in_range(fields, "temperature", 0, 2)
    in_range(fields, "top_p", 0, 1)
    effort = optional_object(fields, "reasoning").get("effort")
    if efforts_of(model) and effort != "none" and not (effort is None and is_default_off(model)):
        for name in ("temperature", "top_p"):
            if fields.get(name) is not None:
                raise _unsupported(name, model)


def _check_tool(model: str, tool: Any, path: str) -> str:
    entry = an_object(tool, path)
    kind = one_of(string(required(entry, "type", f"{path}."), path), ("function", "web_search"), path)
    if kind != "function":
        return kind
    name = string(required(entry, "name", f"{path}."), f"{path}.name")
    if not _NAME.fullmatch(name):
        raise Refused(f"Invalid '{path}.name': string does not match pattern.", path, "invalid_value")
    schema = an_object(required(entry, "parameters", f"{path}."), f"{path}.parameters")
    strict = required(entry, "strict", f"{path}.")
    if not isinstance(strict, bool):
        raise Refused(f"'{path}.strict' must be true or false: left out, it means true.", path)
    if strict:
        _check_closed(schema, path)
    if not keeps_open_schemas(model) and {"anyOf", "oneOf", "allOf", "enum", "not"} & schema.keys():
        raise Refused(f"Invalid schema for function '{name}'.", path, "invalid_function_parameters")
    return name


def _check_closed(schema: Fields, path: str) -> None:
    """A strict schema has every property required, and no others."""
    properties = optional_object(schema, "properties")
    listed: Any = schema.get("required") or []
    if schema.get("additionalProperties") is not False or set(listed) != set(properties):
        missing = sorted(set(properties) - set(listed))
        raise Refused(f"Invalid schema: Missing '{missing}'.", path, "invalid_function_parameters")


def _check_choice(choice: Any, names: list[str]) -> None:
    if choice is None or choice in ("none", "auto", "required"):
        return
    chosen = an_object(choice, "tool_choice")
    if chosen.get("name", chosen.get("type")) not in names:
        raise Refused("Tool choice was not found in 'tools' parameter.", "tool_choice")


def _check_format(form: Fields) -> None:
    if form.get("type") in (None, "text"):
        return
    one_of(string(form["type"], "text.format.type"), ("json_schema",), "text.format.type")
    if not _NAME.fullmatch(string(required(form, "name", "text.format."), "text.format.name")):
        raise Refused("Invalid 'text.format.name'.", "text.format.name", "invalid_value")
    schema = an_object(required(form, "schema", "text.format."), "text.format.schema")
    if required(form, "strict", "text.format."):
        _check_closed(schema, "text.format.schema")


def _unsupported(name: str, model: str) -> Refused:
    message = f"Unsupported parameter: '{name}' is not supported with this model ({model})."
    return Refused(message, name, "unsupported_parameter")
