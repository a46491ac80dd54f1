"""A Chat Completions request, checked as OpenAI checks it and with its words where it is refused.

Checked is what an answer depends on; unknown fields pass. Limits that only OpenAI has hold for
models with its names alone, as every vendor's model may be asked for here.
"""

from __future__ import annotations

import re

from nexusflow_core.errors import CallerError
from nexusflow_core.simulator.endpoint import decode_body
from tests.simulator.openai_chat.checks import (
    Refused,
    an_object,
    array,
    in_range,
    not_longer,
    one_of,
    optional_bool,
    optional_object,
    required,
    string,
    whole_number,
)
from tests.simulator.openai_chat.messages import Message, decode_messages
from tests.simulator.openai_chat.values import Json, Object

MAX_NAME = 64

# OpenAI takes four stop strings; sixteen is the most that any vendor takes.
_MOST_STOPS = {True: 4, False: 16}

_OPENAI = re.compile(r"(chat)?gpt-|o[0-9]")
# What OpenAI's models take here, read in 2026-11: none of these stops to think, and these take tools only then.
_NEVER_OFF = re.compile(r"gpt-6-astra|gpt-6\.1-sol")
_TOOLS_ONLY_OFF = re.compile(r"gpt-5\.6|gpt-6-(sol|luna)")
_NAME = re.compile(r"[a-zA-Z0-9_-]+")
_RANGES = {
    "temperature": (0, 2),
    "top_p": (0, 1),
    "frequency_penalty": (-2, 2),
    "presence_penalty": (-2, 2),
}
_EFFORTS = ("none", "minimal", "low", "medium", "high", "xhigh", "max", "default")
_CHOICES = ("none", "auto", "required", "any")  # `any` is Mistral's word for required
_FORMATS = ("text", "json_object", "json_schema")


def check_request(body: bytes) -> None:
    """Raises Refused for a body that OpenAI refuses."""
    fields = _fields(body)
    model = fields.get("model")
    if not isinstance(model, str) or not model:
        raise Refused("you must provide a model parameter")
    strict = _OPENAI.match(model) is not None
    messages = decode_messages(required(fields, "messages"), strict=strict)
    for name, (low, high) in _RANGES.items():
        in_range(fields, name, low, high)
    if fields.get("n") not in (None, 1):
        raise Refused("Invalid 'n': the simulator answers with one choice.", "n", "unsupported_value")
    tools = _tools(fields)
    stream = optional_bool(fields, "stream") is True
    _check_reasoning(fields)
    _check_tools_of_model(model, tools, fields)
    _check_choice(fields, tools)
    _only_with_tools("parallel_tool_calls", optional_bool(fields, "parallel_tool_calls"), fields)
    _check_max_tokens(fields)
    _check_stop(fields, _MOST_STOPS[strict])
    _check_usage(fields, stream=stream)
    _check_format(fields, messages)


def _fields(body: bytes) -> Object:
    try:
        return decode_body(body)
    except CallerError as error:
        raise Refused(f"We could not parse the JSON body of your request. ({error})") from None


def _check_max_tokens(fields: Object) -> None:
    sent = [name for name in ("max_tokens", "max_completion_tokens") if fields.get(name) is not None]
    if len(sent) > 1:
        raise Refused(
            "Setting 'max_tokens' and 'max_completion_tokens' at the same time is not supported.",
            "max_tokens",
            "invalid_parameter_combination",
        )
    if sent:
        whole_number(fields[sent[0]], sent[0])


def _check_stop(fields: Object, most: int) -> None:
    value = fields.get("stop")
    if value is None or isinstance(value, str):
        return
    entries = array(value, "stop")
    not_longer(entries, most, "stop")
    for i, entry in enumerate(entries):
        string(entry, f"stop[{i}]")


def _check_usage(fields: Object, *, stream: bool) -> None:
    options = fields.get("stream_options")
    if options is None:
        return
    if not stream:
        raise Refused(
            "The 'stream_options' parameter is only allowed when 'stream' is enabled.", "stream_options"
        )
    an_object(options, "stream_options")


def _check_reasoning(fields: Object) -> None:
    effort = fields.get("reasoning_effort")
    if effort is not None:
        one_of(string(effort, "reasoning_effort"), _EFFORTS, "reasoning_effort")
    optional_object(fields, "chat_template_kwargs")
    optional_object(fields, "thinking")


def _check_tools_of_model(model: str, tools: list[str], fields: Object) -> None:
    """The newest models take function tools here without reasoning, or not at all."""
    effort = fields.get("reasoning_effort")
    never = _NEVER_OFF.match(model) is not None
    if never and effort == "none":
        raise Refused(
            f"Unsupported value: 'reasoning_effort' does not support 'none' with {model}.",
            "reasoning_effort",
            "unsupported_value",
        )
    if tools and (never or (_TOOLS_ONLY_OFF.match(model) and effort != "none")):
        raise Refused(
            f"Function tools with reasoning are not supported for {model} in /v1/chat/completions. "
            "Please use /v1/responses instead.",
            "reasoning_effort",
        )


def _tools(fields: Object) -> list[str]:
    """The names of the functions."""
    value = fields.get("tools")
    entries = [] if value is None else array(value, "tools")
    return [tool for i, entry in enumerate(entries) for tool in _tool(an_object(entry, f"tools[{i}]"), i)]


def _tool(entry: Object, i: int) -> list[str]:
    """One tool, or none: a tool that is no function is never called."""
    path = f"tools[{i}]"
    kinds = ("function", "custom")
    if one_of(string(required(entry, "type", f"{path}."), f"{path}.type"), kinds, f"{path}.type") == "custom":
        return []
    function = an_object(required(entry, "function", f"{path}."), f"{path}.function")
    name = string(required(function, "name", f"{path}.function."), f"{path}.function.name")
    not_longer(name, MAX_NAME, f"{path}.function.name")
    if not _NAME.fullmatch(name):
        raise Refused(
            f"Invalid '{path}.function.name': string does not match pattern. "
            "Expected a string that matches the pattern '^[a-zA-Z0-9_-]+$'.",
            f"{path}.function.name",
            "invalid_value",
        )
    schema = function.get("parameters")
    if schema is not None:
        an_object(schema, f"{path}.function.parameters")
    return [name]


def _only_with_tools(name: str, value: Json, fields: Object) -> None:
    if value is not None and fields.get("tools") is None:
        raise Refused(f"Invalid value for '{name}': '{name}' is only allowed when 'tools' are specified.", name)


def _check_choice(fields: Object, tools: list[str]) -> None:
    value = fields.get("tool_choice")
    _only_with_tools("tool_choice", value, fields)
    if value is None:
        return
    if isinstance(value, str):
        one_of(value, _CHOICES, "tool_choice")
        return
    chosen = an_object(value, "tool_choice")
    kind = string(required(chosen, "type", "tool_choice."), "tool_choice.type")
    one_of(kind, ("function", "allowed_tools", "custom"), "tool_choice.type")
    inner = an_object(required(chosen, kind, "tool_choice."), f"tool_choice.{kind}")
    if kind == "allowed_tools":
        listed = array(
            required(inner, "tools", "tool_choice.allowed_tools."), "tool_choice.allowed_tools.tools"
        )
        for entry in listed:
            optional_object(an_object(entry, "tool_choice"), "function")
        return
    name = string(required(inner, "name", f"tool_choice.{kind}."), f"tool_choice.{kind}.name")
    if kind == "function" and name not in tools:
        raise Refused(
            f"Invalid value for 'tool_choice': no function named '{name}' was specified "
            "in the 'tools' parameter.",
            "tool_choice",
        )


def _check_format(fields: Object, messages: list[Message]) -> None:
    form = optional_object(fields, "response_format")
    if not form:
        return
    path = "response_format.type"
    kind = one_of(string(required(form, "type", "response_format."), path), _FORMATS, path)
    if kind == "text":
        return
    if kind == "json_object":
        if not any("json" in message.text.lower() for message in messages):
            raise Refused(
                "'messages' must contain the word 'json' in some form, "
                "to use 'response_format' of type 'json_object'.",
                "messages",
            )
        return
    path = "response_format.json_schema"
    described = an_object(required(form, "json_schema", "response_format."), path)
    not_longer(string(required(described, "name", f"{path}."), f"{path}.name"), MAX_NAME, f"{path}.name")
    schema = described.get("schema")
    if schema is not None:
        an_object(schema, f"{path}.schema")
