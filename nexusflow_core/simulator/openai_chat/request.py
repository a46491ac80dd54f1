"""A Chat Completions request, checked as OpenAI checks it and with its words where it is refused.

Checked is what an answer depends on; unknown fields pass. Limits that only OpenAI has hold for
models with its names alone, as every vendor's model may be asked for here.
"""

from __future__ import annotations

import re

import msgspec

from nexusflow_core.simulator.jsonvalue import BadJson, Json, Object, decode_json
from nexusflow_core.simulator.openai_chat.checks import (
    InvalidRequest,
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
from nexusflow_core.simulator.openai_chat.messages import Message, decode_messages

MAX_NAME = 64

# OpenAI takes four stop strings; sixteen is the most that any vendor takes.
_MOST_STOPS = {True: 4, False: 16}

_OPENAI = re.compile(r"(chat)?gpt-|o[0-9]")
# What OpenAI's models take here, read in 2026-11: none of these stops to think, and these take tools only then.
_NEVER_OFF = re.compile(r"gpt-6-astra|gpt-6\.1-sol")
_TOOLS_ONLY_OFF = re.compile(r"gpt-5\.6|gpt-6-(sol|luna)")
_REASONS_ALOUD = ("deepseek", "qwen")
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


class Tool(msgspec.Struct, frozen=True):
    """A function that may be called; `raw` is how it was defined."""

    raw: Object
    name: str
    schema: Json


class Choice(msgspec.Struct, frozen=True):
    """`tool_choice`: may, must, and which tools come into question (None: all)."""

    may: bool = True
    must: bool = False
    names: tuple[str, ...] | None = None
    forced: str | None = None


class ChatRequest(msgspec.Struct, frozen=True):
    """The checked request; fields that were not sent have their default."""

    model: str
    messages: list[Message]
    tools: list[Tool]
    choice: Choice
    parallel_calls: bool
    max_tokens: int | None
    stop: tuple[str, ...]
    stream: bool
    include_usage: bool
    answer_schema: Json
    reasons: bool
    reasons_aloud: bool


def decode_request(body: bytes) -> ChatRequest:
    """Read and check a body; raises InvalidRequest."""
    fields = _fields(body)
    model = fields.get("model")
    if not isinstance(model, str) or not model:
        raise InvalidRequest("you must provide a model parameter")
    strict = _OPENAI.match(model) is not None
    messages = decode_messages(required(fields, "messages"), strict=strict)
    for name, (low, high) in _RANGES.items():
        in_range(fields, name, low, high)
    if fields.get("n") not in (None, 1):
        raise InvalidRequest("Invalid 'n': the simulator answers with one choice.", "n", "unsupported_value")
    tools = _tools(fields)
    stream = optional_bool(fields, "stream") is True
    reasons, aloud = _reasoning(fields, model)
    _tools_of_model(model, tools, fields)
    return ChatRequest(
        model=model,
        messages=messages,
        tools=tools,
        choice=_choice(fields, tools),
        parallel_calls=_parallel_calls(fields, tools),
        max_tokens=_max_tokens(fields),
        stop=_stop(fields, _MOST_STOPS[strict]),
        stream=stream,
        include_usage=_include_usage(fields, stream=stream),
        answer_schema=_answer_schema(fields, messages),
        reasons=reasons,
        reasons_aloud=aloud,
    )


def _fields(body: bytes) -> Object:
    try:
        value = decode_json(body)
    except BadJson as error:
        raise InvalidRequest(f"We could not parse the JSON body of your request. ({error})") from None
    return an_object(value, "body")


def _max_tokens(fields: Object) -> int | None:
    sent = [name for name in ("max_tokens", "max_completion_tokens") if fields.get(name) is not None]
    if len(sent) > 1:
        raise InvalidRequest(
            "Setting 'max_tokens' and 'max_completion_tokens' at the same time is not supported.",
            "max_tokens",
            "invalid_parameter_combination",
        )
    return whole_number(fields[sent[0]], sent[0]) if sent else None


def _stop(fields: Object, most: int) -> tuple[str, ...]:
    value = fields.get("stop")
    if value is None or isinstance(value, str):
        return (value,) if value else ()
    entries = array(value, "stop")
    not_longer(entries, most, "stop")
    return tuple(dict.fromkeys(string(entry, f"stop[{i}]") for i, entry in enumerate(entries)))


def _include_usage(fields: Object, *, stream: bool) -> bool:
    options = fields.get("stream_options")
    if options is None:
        return False
    if not stream:
        raise InvalidRequest(
            "The 'stream_options' parameter is only allowed when 'stream' is enabled.", "stream_options"
        )
    return an_object(options, "stream_options").get("include_usage") is True


def _reasoning(fields: Object, model: str) -> tuple[bool, bool]:
    """Whether the model thinks, and whether it shows that.

    DeepSeek and Qwen do both unless they are told not to; OpenAI's models only count it.
    """
    effort = fields.get("reasoning_effort")
    if effort is not None:
        one_of(string(effort, "reasoning_effort"), _EFFORTS, "reasoning_effort")
    template = optional_object(fields, "chat_template_kwargs")
    kind = optional_object(fields, "thinking").get("type")
    switches = (fields.get("enable_thinking"), template.get("enable_thinking"))
    aloud = True in switches or kind in ("enabled", "adaptive")
    aloud = aloud or model.lower().rpartition("/")[2].startswith(_REASONS_ALOUD)
    off = False in switches or kind == "disabled" or effort == "none"
    return not off and (aloud or effort is not None), aloud


def _tools_of_model(model: str, tools: list[Tool], fields: Object) -> None:
    """The newest models take function tools here without reasoning, or not at all."""
    effort = fields.get("reasoning_effort")
    never = _NEVER_OFF.match(model) is not None
    if never and effort == "none":
        raise InvalidRequest(
            f"Unsupported value: 'reasoning_effort' does not support 'none' with {model}.",
            "reasoning_effort",
            "unsupported_value",
        )
    if tools and (never or (_TOOLS_ONLY_OFF.match(model) and effort != "none")):
        raise InvalidRequest(
            f"Function tools with reasoning are not supported for {model} in /v1/chat/completions. "
            "Please use /v1/responses instead.",
            "reasoning_effort",
        )


def _tools(fields: Object) -> list[Tool]:
    value = fields.get("tools")
    entries = [] if value is None else array(value, "tools")
    return [tool for i, entry in enumerate(entries) for tool in _tool(an_object(entry, f"tools[{i}]"), i)]


def _tool(entry: Object, i: int) -> list[Tool]:
    """One tool, or none: a tool that is no function is never called."""
    path = f"tools[{i}]"
    kinds = ("function", "custom")
    if one_of(string(required(entry, "type", f"{path}."), f"{path}.type"), kinds, f"{path}.type") == "custom":
        return []
    function = an_object(required(entry, "function", f"{path}."), f"{path}.function")
    name = string(required(function, "name", f"{path}.function."), f"{path}.function.name")
    not_longer(name, MAX_NAME, f"{path}.function.name")
    if not _NAME.fullmatch(name):
        raise InvalidRequest(
            f"Invalid '{path}.function.name': string does not match pattern. "
            "Expected a string that matches the pattern '^[a-zA-Z0-9_-]+$'.",
            f"{path}.function.name",
            "invalid_value",
        )
    schema = function.get("parameters")
    if schema is not None:
        an_object(schema, f"{path}.function.parameters")
    return [Tool(entry, name, schema)]


def _parallel_calls(fields: Object, tools: list[Tool]) -> bool:
    parallel = optional_bool(fields, "parallel_tool_calls")
    _only_with_tools("parallel_tool_calls", parallel, fields)
    return parallel is not False


def _only_with_tools(name: str, value: Json, fields: Object) -> None:
    if value is not None and fields.get("tools") is None:
        raise InvalidRequest(
            f"Invalid value for '{name}': '{name}' is only allowed when 'tools' are specified.", name
        )


def _choice(fields: Object, tools: list[Tool]) -> Choice:
    value = fields.get("tool_choice")
    _only_with_tools("tool_choice", value, fields)
    if value is None:
        return Choice()
    if isinstance(value, str):
        word = one_of(value, _CHOICES, "tool_choice")
        return Choice(may=word != "none", must=word in ("required", "any"))
    chosen = an_object(value, "tool_choice")
    kind = string(required(chosen, "type", "tool_choice."), "tool_choice.type")
    one_of(kind, ("function", "allowed_tools", "custom"), "tool_choice.type")
    inner = an_object(required(chosen, kind, "tool_choice."), f"tool_choice.{kind}")
    if kind == "allowed_tools":
        listed = array(
            required(inner, "tools", "tool_choice.allowed_tools."), "tool_choice.allowed_tools.tools"
        )
        names = (optional_object(an_object(entry, "tool_choice"), "function").get("name") for entry in listed)
        return Choice(
            must=inner.get("mode") == "required", names=tuple(name for name in names if isinstance(name, str))
        )
    name = string(required(inner, "name", f"tool_choice.{kind}."), f"tool_choice.{kind}.name")
    if kind == "function" and all(tool.name != name for tool in tools):
        raise InvalidRequest(
            f"Invalid value for 'tool_choice': no function named '{name}' was specified "
            "in the 'tools' parameter.",
            "tool_choice",
        )
    return Choice(must=kind == "function", forced=name if kind == "function" else None)


def _answer_schema(fields: Object, messages: list[Message]) -> Json:
    form = optional_object(fields, "response_format")
    if not form:
        return None
    path = "response_format.type"
    kind = one_of(string(required(form, "type", "response_format."), path), _FORMATS, path)
    if kind == "text":
        return None
    if kind == "json_object":
        if not any("json" in message.text.lower() for message in messages):
            raise InvalidRequest(
                "'messages' must contain the word 'json' in some form, "
                "to use 'response_format' of type 'json_object'.",
                "messages",
            )
        return {"type": "object", "properties": {"answer": {"type": "string"}}}
    path = "response_format.json_schema"
    described = an_object(required(form, "json_schema", "response_format."), path)
    not_longer(string(required(described, "name", f"{path}."), f"{path}.name"), MAX_NAME, f"{path}.name")
    schema = described.get("schema")
    return {"type": "object"} if schema is None else an_object(schema, f"{path}.schema")
