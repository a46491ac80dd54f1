"""Reads a request of the Messages API into a Prompt, in one pass over its blocks."""

from collections.abc import Mapping
from typing import Any

import msgspec

from nexusflow_core.caching.prompt import HIDDEN, Builder, Prompt
from nexusflow_core.caching.rules import ANTHROPIC, Level, Rules
from nexusflow_core.caching.weights import MESSAGE_WEIGHT, TOOLS_WEIGHT, json_weight, source_weight, text_weight
from nexusflow_core.errors import InvalidRequestError
from nexusflow_core.untyped import is_list, is_object, list_of, object_of

__all__ = ["BILLING_HEADER", "citations_and_images", "read_messages_prompt", "read_more_messages"]

BILLING_HEADER = "x-anthropic-billing-header"
"""Begins a system block of Claude Code that differs in each request, and that the cache does not go by."""

_MAX_WORD = 64
"""Characters of a role or a type that are kept: foreign words may be long."""

_encode = msgspec.json.Encoder().encode
_MARK = "cache_control"


def read_messages_prompt(
    request: Mapping[str, Any], *, rules: Rules = ANTHROPIC, model: str | None = None, scope: str = ""
) -> Prompt:
    """Returns a decoded request body as the cache sees it, in time linear in its size.

    `model` replaces the body's, for example an alias. Raises InvalidRequestError for breakpoints that the API
    refuses, and for a body that nests too deeply.
    """
    try:
        build = Builder(rules, model or str(request.get("model") or ""), scope, _parameters(request))
        return _Reading(request, build).prompt()
    except RecursionError:
        raise InvalidRequestError("The request body nests too deeply") from None
    except UnicodeEncodeError:
        raise InvalidRequestError("The request body has half of a surrogate pair in a text") from None


def read_more_messages(prompt: Prompt, kept: int, more: list[Any], automatic: Any) -> Prompt | None:
    """Returns the prompt with `more` messages in place of those after the first `kept`; all else stayed.

    `automatic` is the request's own `cache_control`. None: the prompt must be read as a whole. Raises as
    `read_messages_prompt` does.
    """
    build = Builder.resumed(prompt, kept)
    try:
        _Reading({}, build).messages(more)
    except (RecursionError, UnicodeEncodeError):
        return None
    if is_object(automatic):
        if not build.can_mark_last:
            return None
        build.mark_last(_lifetime(automatic, prompt.rules))
    return build.done()


class _Reading:
    """One pass over a request."""

    def __init__(self, request: Mapping[str, Any], build: Builder) -> None:
        self.request = request
        self.rules = build.rules
        self.build = build

    def prompt(self) -> Prompt:
        request, build = self.request, self.build
        build.begin(Level.TOOLS)
        for tool in list_of(request.get("tools")):
            self._tool(object_of(tool))
        build.begin(Level.SYSTEM)
        self._content("system", request.get("system"))
        if build.kinds and build.roles[0] == "":
            build.weigh(TOOLS_WEIGHT)
        build.begin(Level.MESSAGES)
        self.messages(list_of(request.get("messages")))
        if is_object(automatic := request.get(_MARK)):
            build.mark_last(_lifetime(automatic, self.rules))
        return build.done()

    def messages(self, messages: list[Any]) -> None:
        for message in messages:
            members = object_of(message)
            self.build.message(MESSAGE_WEIGHT)
            self._content(str(members.get("role"))[:_MAX_WORD], members.get("content"))

    def _tool(self, tool: dict[str, Any]) -> None:
        data = _encode(sorted(_unmarked(tool).items()))
        kind = HIDDEN if _is_web_search(tool) else "tool"
        self.build.add("", kind, data, json_weight(len(data)))
        self._mark(tool)

    def _content(self, role: str, content: Any) -> None:
        """Adds content, which is a string or a list of blocks."""
        if isinstance(content, str):
            self.build.text(role, content)
            return
        build = self.build
        for block in list_of(content):
            if not is_object(block):
                continue
            kind, text, marked = block.get("type"), block.get("text"), _MARK in block
            if role == "system" and isinstance(text, str) and text.startswith(BILLING_HEADER):
                build.add(role, HIDDEN, b"", text_weight(len(text)))
            elif kind == "text" and isinstance(text, str) and len(block) == 2 + marked:
                build.text(role, text)
            else:
                self._block(role, str(kind)[:_MAX_WORD], block)
            if marked:
                self._mark(block)

    def _block(self, role: str, kind: str, block: dict[str, Any]) -> None:
        data = _encode(sorted(_unmarked(block).items()))
        inner = list_of(block.get("content")) if kind == "tool_result" else ()
        if b'"cache_control"' in data:
            cleaned = [_unmarked(part) if is_object(part) else part for part in inner]
            data = _encode(sorted({**_unmarked(block), "content": cleaned}.items()))
        self.build.add(role, kind, data, _weight(kind, block, data))
        for part in inner:
            self._mark(object_of(part))

    def _mark(self, holder: dict[str, Any]) -> None:
        if is_object(mark := holder.get(_MARK)):
            if str(holder.get("type")) in self.rules.unmarkable or holder.get("text") == "":
                where = f"{holder.get('type')} block"
                raise InvalidRequestError(f"cache_control: it cannot be set on an empty text or a {where}")
            self.build.mark(_lifetime(mark, self.rules))


def _parameters(request: Mapping[str, Any]) -> dict[str, bytes]:
    """Returns the parameters that the cache depends on besides the blocks, encoded. Defaults are left out."""
    found: dict[str, Any] = {}
    tools = [object_of(tool) for tool in list_of(request.get("tools"))]
    if searches := [_unmarked(tool) for tool in tools if _is_web_search(tool)]:
        found["web_search"] = searches
    choice = object_of(request.get("tool_choice"))
    if choice.get("disable_parallel_tool_use"):
        found["disable_parallel_tool_use"] = True
    chosen = {name: value for name, value in choice.items() if name != "disable_parallel_tool_use"}
    if tools and chosen and chosen != {"type": "auto"}:
        found["tool_choice"] = chosen
    if request.get("speed") not in (None, "standard"):
        found["speed"] = request["speed"]
    thinking = object_of(request.get("thinking"))
    if thinking and thinking.get("type") != "disabled":
        found["thinking"] = thinking
    output = object_of(request.get("output_config"))
    for name in ("effort", "format"):
        if output.get(name):
            found[name] = output[name]
    citations, images = citations_and_images(list_of(request.get("messages")))
    if citations:
        found["citations"] = True
    if images:
        found["images"] = True
    return {name: _encode(value) for name, value in found.items()}


def citations_and_images(messages: list[Any]) -> tuple[bool, bool]:
    """Returns two facts that the cache depends on: some block enables citations; some block is an image."""
    citations = images = False
    for message in messages:
        content = object_of(message).get("content")
        if not is_list(content):
            continue
        for block in content:
            kind = block.get("type") if is_object(block) else None
            if kind == "text":
                continue
            if kind == "image":
                images = True
            elif kind in ("document", "search_result"):
                citations = citations or bool(object_of(block.get("citations")).get("enabled"))
            elif kind == "tool_result":
                images = images or any(
                    object_of(part).get("type") == "image" for part in list_of(block.get("content"))
                )
    return citations, images


def _weight(kind: str, block: Mapping[str, Any], data: bytes) -> int:
    if kind in ("image", "document"):
        return source_weight(kind, block.get("source"))
    if kind == "text":
        return text_weight(len(data))
    if kind == "tool_result" and is_list(parts := block.get("content")):
        return 8 + sum(
            source_weight(inner, part.get("source"))
            if (inner := str(part.get("type"))) in ("image", "document")
            else text_weight(len(_encode(part)))
            for part in map(object_of, parts)
        )
    if kind == "redacted_thinking":
        return json_weight(0)
    if kind == "thinking":
        return text_weight(len(str(block.get("thinking") or "")))
    return json_weight(len(data))


def _lifetime(mark: Mapping[str, Any], rules: Rules) -> str:
    named = mark.get("ttl")
    return named if isinstance(named, str) and named in rules.lifetimes else rules.short


def _is_web_search(tool: Mapping[str, Any]) -> bool:
    return str(tool.get("type")).startswith("web_search_")


def _unmarked(members: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in members.items() if name != _MARK}
