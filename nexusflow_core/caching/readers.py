"""The table of readers, each for one form of request; and that of OpenAI's Responses API.

It reads tools, instructions, input items and their parts into a Prompt.
"""

from collections.abc import Mapping
from typing import Any, Final, Protocol

import msgspec

from nexusflow_core.caching.messages_prompt import read_messages_prompt
from nexusflow_core.caching.prompt import Builder, Prompt
from nexusflow_core.caching.rules import OPENAI, Level, Rules, Wire
from nexusflow_core.caching.weights import MESSAGE_WEIGHT, json_weight, text_weight
from nexusflow_core.errors import InvalidRequestError
from nexusflow_core.untyped import is_list, is_object, list_of, object_of

__all__ = ["READERS", "read_prompt"]

_encode = msgspec.json.Encoder().encode
_MARK = "prompt_cache_breakpoint"
_TEXTS = ("input_text", "output_text")


def read_responses_prompt(
    request: Mapping[str, Any], *, rules: Rules = OPENAI, model: str | None = None, scope: str = ""
) -> Prompt:
    """Returns a decoded request body as the cache sees it, in time linear in its size.

    Without `prompt_cache_options.mode: explicit` the last part is a breakpoint too, besides the latest three.
    Raises InvalidRequestError for a body that nests too deeply.
    """
    build = Builder(rules, model or str(request.get("model") or ""), scope, _parameters(request))
    options = object_of(request.get("prompt_cache_options"))
    default = _lifetime(options, rules, rules.short)
    try:
        build.begin(Level.TOOLS)
        for tool in list_of(request.get("tools")):
            _add(build, "", "tool", tool)
        build.begin(Level.SYSTEM)
        if isinstance(instructions := request.get("instructions"), str):
            build.text("system", instructions)
        build.begin(Level.MESSAGES)
        _read_input(build, request.get("input"), default)
    except RecursionError:
        raise InvalidRequestError("The request body nests too deeply") from None
    except UnicodeEncodeError:
        raise InvalidRequestError("The request body has half of a surrogate pair in a text") from None
    if options.get("mode") != "explicit":
        build.mark_last(default)
    return build.done()


def _read_input(build: Builder, items: Any, default: str) -> None:
    if isinstance(items, str):
        build.message(MESSAGE_WEIGHT)
        build.text("user", items)
    for item in list_of(items):
        members = object_of(item)
        build.message(MESSAGE_WEIGHT)
        role, content = str(members.get("role") or ""), members.get("content")
        if isinstance(content, str):
            build.text(role, content)
        elif is_list(content):
            _read_parts(build, role, content, default)
        elif members.get("type") == "function_call_output" and is_list(parts := members.get("output")):
            _read_parts(build, str(members.get("call_id")), parts, default)
        else:
            _add(build, role, str(members.get("type")), {**members, "id": None, "status": None})


def _read_parts(build: Builder, role: str, parts: list[Any], default: str) -> None:
    for part in parts:
        members = object_of(part)
        kind, text = str(members.get("type")), members.get("text")
        if kind in _TEXTS and isinstance(text, str):
            data = text.encode("utf-8", "surrogatepass")
            build.add(role, kind, data, text_weight(len(data)))
        else:
            _add(build, role, kind, members)
        if is_object(mark := members.get(_MARK)) and kind not in build.rules.unmarkable:
            build.mark(_lifetime(mark, build.rules, default))


def _add(build: Builder, role: str, kind: str, value: Any) -> None:
    members = {name: member for name, member in object_of(value).items() if name != _MARK}
    data = _encode(sorted(members.items()))
    build.add(role, kind, data, json_weight(len(data)))


def _parameters(request: Mapping[str, Any]) -> dict[str, bytes]:
    """Returns the parameters that the cache depends on besides the blocks, encoded."""
    text, reasoning = object_of(request.get("text")), object_of(request.get("reasoning"))
    found = {
        "prompt_cache_key": request.get("prompt_cache_key"),
        "effort": reasoning.get("effort"),
        "verbosity": text.get("verbosity"),
        "format": text.get("format"),
        "service_tier": request.get("service_tier"),
    }
    return {name: _encode(value) for name, value in found.items() if value not in (None, "auto", "default")}


def _lifetime(holder: Mapping[str, Any], rules: Rules, default: str) -> str:
    named = holder.get("ttl")
    return named if isinstance(named, str) and named in rules.lifetimes else default


class Reader(Protocol):
    """Reads a decoded request body. Raises InvalidRequestError for breakpoints that the API refuses."""

    def __call__(
        self, request: Mapping[str, Any], *, rules: Rules, model: str | None, scope: str
    ) -> Prompt: ...


READERS: Final[Mapping[Wire, Reader]] = {
    "anthropic": read_messages_prompt,
    "openai-responses": read_responses_prompt,
}


def read_prompt(
    request: Mapping[str, Any], rules: Rules, *, model: str | None = None, scope: str = ""
) -> Prompt:
    """Returns a request as a cache with these rules sees it. Raises InvalidRequestError."""
    return READERS[rules.wire](request, rules=rules, model=model, scope=scope)
