"""The turns of a conversation as Chat Completions messages."""

from collections.abc import Iterable, Mapping
from typing import Any, TypeAlias

import msgspec

from nexusflow_core.dialects.openai_chat.losses import Losses, dotted
from nexusflow_core.dialects.openai_chat.names import ToolNames, upstream_id
from nexusflow_core.dialects.openai_chat.vendors import Vendor
from nexusflow_core.errors import InvalidRequest
from nexusflow_core.messages import (
    Block,
    ImageBlock,
    InputMessage,
    MessagesRequest,
    OtherBlock,
    RedactedThinkingBlock,
    TextBlock,
    ThinkingBlock,
    ToolResultBlock,
    ToolUseBlock,
)

__all__ = ["Conversation"]

_BILLING = "x-anthropic-billing-header:"
_IMAGE_MEMBERS = {"base64": ("media_type", "data"), "url": ("url",)}
_SERVER_SIDE = ("server_tool_use", "mcp_tool_use", "mcp_tool_listing", "fallback", "advisor_tool_result")

Part: TypeAlias = dict[str, Any]
Placed: TypeAlias = tuple[str, Block]  # a block and its path, as `messages[2].content[0]`


class Conversation:
    """Translates a request's turns. Raises InvalidRequest for turns that no upstream would take."""

    def __init__(self, request: MessagesRequest, vendor: Vendor, losses: Losses) -> None:
        self._request = request
        self._vendor = vendor
        self._losses = losses
        self._open_calls: list[str] = []  # ids of the last assistant turn that still want their result
        self._calls_at = 0  # the message that made them
        self._seen_calls: set[str] = set()

    def messages(self) -> list[Part]:
        """Every message, the system prompt first."""
        out = self._system()
        for start, turn in _turns(self._request.messages):
            if turn.role == "user":
                out += self._user(turn.content)
                continue
            self._expect_results(self._open_calls)
            if turn.role == "assistant":
                out += self._assistant(turn.content, start)
            else:
                out += self._system_in_place(turn.content, start)
        self._expect_results(self._open_calls)
        if self._request.messages[-1].role == "assistant":
            raise InvalidRequest(
                "This model does not support assistant message prefill. "
                "The conversation must end with a user message."
            )
        if not any(message["role"] != "system" for message in out):
            raise InvalidRequest("messages.0: all messages must have non-empty content")
        return out

    def _system(self) -> list[Part]:
        texts: list[str] = []
        for index, block in enumerate(self._request.system):
            self._text_members(block, f"system[{index}]")
            if block.text and not block.text.startswith(_BILLING):  # no prefix would ever match (PITFALLS E13)
                texts.append(block.text)
        return [{"role": "system", "content": "\n\n".join(texts)}] if texts else []

    def _system_in_place(self, blocks: list[Placed], start: int) -> list[Part]:
        texts: list[str] = []
        for path, block in blocks:
            if not isinstance(block, TextBlock):
                raise InvalidRequest(f"{dotted(path)}: a system message takes text only")
            self._text_members(block, path)
            texts.append(block.text)
        text = "\n\n".join(filter(None, texts))
        if not text:
            return []
        if self._vendor.system_anywhere:
            return [{"role": "system", "content": text}]
        self._losses.drop(f"messages[{start}].role", "sent as a user's turn")
        return [{"role": "user", "content": f"<system>{text}</system>"}]

    # The user's turns

    def _user(self, blocks: list[Placed]) -> list[Part]:
        results: dict[str, Part] = {}
        rest: list[Part] = []
        hoisted: list[Part] = []
        for path, block in blocks:
            if isinstance(block, ToolResultBlock):
                self._check_result(block, path, results)
                if rest:  # as Anthropic sees it, what comes after other content answers nothing
                    self._expect_results([id for id in self._open_calls if id not in results])
                results[block.tool_use_id] = self._result(block, path, hoisted)
            else:
                rest += self._user_part(block, path)
        self._expect_results([id for id in self._open_calls if id not in results])
        ordered = [results[id] for id in self._open_calls]
        self._open_calls = []
        content = hoisted + rest
        if not content:
            return ordered
        if ordered and self._vendor.tool_images == "bridge":
            ordered.append({"role": "assistant", "content": "Understood."})
        return [*ordered, {"role": "user", "content": self._content(content)}]

    def _check_result(self, block: ToolResultBlock, path: str, results: Mapping[str, Part]) -> None:
        if block.tool_use_id in results:
            raise InvalidRequest(
                f"{dotted(path)}: each tool_use must have a single result. "
                f"Found multiple `tool_result` blocks with id: {block.tool_use_id[:60]}"
            )
        if block.tool_use_id not in self._open_calls:
            raise InvalidRequest(
                f"{dotted(path)}: unexpected `tool_use_id` found in `tool_result` blocks: "
                f"{block.tool_use_id[:60]}. Each `tool_result` block must have a corresponding `tool_use` "
                "block in the previous message."
            )

    def _user_part(self, block: Block, path: str) -> list[Part]:
        if isinstance(block, TextBlock):
            self._text_members(block, path)
            return [{"type": "text", "text": block.text}] if block.text else []
        if isinstance(block, ImageBlock):
            return [self._image(block, path)]
        raise InvalidRequest(f"{dotted(path)}: a {_kind(block)!r} block cannot be sent to this upstream")

    def _image(self, block: ImageBlock, path: str) -> Part:
        self._cache_marker(block.cache_control, path)
        if not self._vendor.vision:
            raise InvalidRequest(f"{dotted(path)}: this upstream takes no images")
        if block.transformations not in (None, {}, {"oversized_image": "downsize"}):
            self._losses.drop(f"{path}.transformations", "images are sent as they are")
        source = block.source
        kind = str(source.get("type"))
        members = _IMAGE_MEMBERS.get(kind)
        if members is None:
            raise InvalidRequest(f"{dotted(path)}.source: {kind[:20]!r} cannot be sent to this upstream")
        if kind == "url" and not self._vendor.image_urls:
            raise InvalidRequest(f"{dotted(path)}.source: this upstream takes images as base64 only")
        for name in members:
            if not isinstance(source.get(name), str):
                raise InvalidRequest(f"{dotted(path)}.source.{kind}.{name}: Field required")
        for name in source:
            if name not in ("type", *members):
                self._losses.unknown(f"{path}.source.{name}")
        url = source["url"] if kind == "url" else f"data:{source['media_type']};base64,{source['data']}"
        return {"type": "image_url", "image_url": {"url": url}}

    def _result(self, block: ToolResultBlock, path: str, hoisted: list[Part]) -> Part:
        self._cache_marker(block.cache_control, path)
        self._toolset(block.toolset_name, path)
        content = block.content if isinstance(block.content, list) else [TextBlock(block.content or "")]
        texts: list[str] = []
        images: list[Part] = []
        for index, inner in enumerate(content):
            at = f"{path}.content[{index}]"
            if isinstance(inner, TextBlock):
                if isinstance(block.content, list):
                    self._text_members(inner, at)
                texts.append(inner.text)
            elif isinstance(inner, ImageBlock):
                images.append(self._image(inner, at))
            else:
                raise InvalidRequest(f"{dotted(at)}: a {_kind(inner)!r} block cannot be sent to this upstream")
        text = "\n".join(texts)
        if block.is_error and not text.startswith("Error"):
            text = f"Error: {text}" if text else "Error"
        call = upstream_id(block.tool_use_id, self._vendor.tool_ids)
        if images:
            return self._result_with_images(call, text, images, path, hoisted)
        return {"role": "tool", "tool_call_id": call, "content": text}

    def _result_with_images(
        self, call: str, text: str, images: list[Part], path: str, hoisted: list[Part]
    ) -> Part:
        way = self._vendor.tool_images
        message: Part = {"role": "tool", "tool_call_id": call}
        if way == "inline":
            return {**message, "content": [*([{"type": "text", "text": text}] if text else []), *images]}
        if way == "placeholder":
            self._losses.drop(f"{path}.content", "images in tool results are not taken by this upstream")
            return {**message, "content": f"{text}\n[image omitted]".lstrip()}
        hoisted += [{"type": "text", "text": f"Image of the tool result {call}:"}, *images]
        return {**message, "content": f"{text}\n[image below]".lstrip()}

    # The assistant's turns

    def _assistant(self, blocks: list[Placed], start: int) -> list[Part]:
        text = ""
        calls: list[Part] = []
        for path, block in blocks:
            if isinstance(block, TextBlock):
                self._text_members(block, path)
                text += block.text
            elif isinstance(block, ToolUseBlock):
                calls.append(self._call(block, path))
            elif isinstance(block, ThinkingBlock | RedactedThinkingBlock):
                self._losses.drop(path, "thinking of earlier turns is not sent to this upstream")
            elif isinstance(block, OtherBlock) and _ran_at_anthropic(block.kind):
                self._losses.drop(path, "what a server tool did is known to Anthropic only")
            else:
                raise InvalidRequest(
                    f"{dotted(path)}: a {_kind(block)!r} block cannot be sent to this upstream"
                )
        if not text and not calls:
            return []
        message: Part = {"role": "assistant"}
        if text or self._vendor.null_content:
            message["content"] = text or None
        if calls:
            message["tool_calls"] = calls
            self._calls_at = start
        return [message]

    def _call(self, block: ToolUseBlock, path: str) -> Part:
        self._cache_marker(block.cache_control, path)
        if block.id in self._seen_calls:
            raise InvalidRequest(f"{dotted(path)}: `tool_use` ids must be unique")
        if block.caller is not None and block.caller != {"type": "direct"}:
            self._losses.drop(f"{path}.caller", "code execution runs at Anthropic only")
        self._toolset(block.toolset_name, path)
        self._seen_calls.add(block.id)
        self._open_calls.append(block.id)
        arguments = msgspec.json.encode(block.input).decode()
        function = {"name": ToolNames.sent(block.name), "arguments": arguments}
        return {"id": upstream_id(block.id, self._vendor.tool_ids), "type": "function", "function": function}

    def _expect_results(self, missing: list[str]) -> None:
        if missing:
            ids = ", ".join(id[:60] for id in missing[:5])
            raise InvalidRequest(
                f"messages.{self._calls_at}: `tool_use` ids were found without `tool_result` blocks "
                f"immediately after: {ids}. Each `tool_use` block must have a corresponding `tool_result` "
                "block in the next message."
            )

    # What all blocks share

    def _text_members(self, block: TextBlock, path: str) -> None:
        self._cache_marker(block.cache_control, path)
        if block.citations:
            self._losses.drop(f"{path}.citations", "citations are Anthropic's own")

    def _cache_marker(self, marker: Any, path: str) -> None:
        if marker is not None and not self._vendor.caches_itself:
            self._losses.hint(f"{path}.cache_control", "this upstream takes no cache markers")

    def _toolset(self, name: Any, path: str) -> None:
        if name is not None:
            self._losses.drop(f"{path}.toolset_name", "toolsets are Anthropic's own")

    def _content(self, parts: list[Part]) -> str | list[Part]:
        only_text = all(part["type"] == "text" for part in parts)
        if only_text and (len(parts) == 1 or self._vendor.string_content):
            return "\n\n".join(part["text"] for part in parts)
        return parts


class _Turn(msgspec.Struct):
    role: str
    content: list[Placed]


def _turns(messages: Iterable[InputMessage]) -> Iterable[tuple[int, _Turn]]:
    """Neighbours of one role as one turn, with the number of its first message."""
    start, turn = 0, _Turn("", [])
    for index, message in enumerate(messages):
        placed = [(f"messages[{index}].content[{i}]", block) for i, block in enumerate(message.content)]
        if message.role == turn.role:
            turn.content += placed
            continue
        if turn.role:
            yield start, turn
        start, turn = index, _Turn(message.role, placed)
    if turn.role:
        yield start, turn


def _ran_at_anthropic(kind: str) -> bool:
    return kind in _SERVER_SIDE or kind.endswith("_tool_result")


def _kind(block: Block) -> str:
    return block.kind[:60] if isinstance(block, OtherBlock) else str(block.__struct_config__.tag)
