"""Blocks of a user's turn as content parts, and tool results as tool messages."""

from typing import Any, TypeAlias

from nexusflow_core.dialects.openai_chat.losses import Losses, dotted
from nexusflow_core.dialects.openai_chat.names import upstream_id
from nexusflow_core.dialects.openai_chat.vendors import Vendor
from nexusflow_core.errors import InvalidRequest
from nexusflow_core.messages import Block, ImageBlock, OtherBlock, TextBlock, ToolResultBlock

__all__ = ["Part", "Parts", "kind_of"]

Part: TypeAlias = dict[str, Any]

_IMAGE_MEMBERS = {"base64": ("media_type", "data"), "url": ("url",)}


class Parts:
    """Makes parts for one vendor. Raises InvalidRequest for a block that it cannot be sent."""

    def __init__(self, vendor: Vendor, losses: Losses) -> None:
        self._vendor = vendor
        self._losses = losses

    def of_user(self, block: Block, path: str) -> list[Part]:
        if isinstance(block, TextBlock):
            self.citations(block, path)
            return [{"type": "text", "text": block.text}] if block.text else []
        if isinstance(block, ImageBlock):
            return [self._image(block, path)]
        raise InvalidRequest(f"{dotted(path)}: a {kind_of(block)!r} block cannot be sent to this upstream")

    def _image(self, block: ImageBlock, path: str) -> Part:
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

    def result(self, block: ToolResultBlock, path: str, hoisted: list[Part]) -> Part:
        self.toolset(block.toolset_name, path)
        content = block.content if isinstance(block.content, list) else [TextBlock(block.content or "")]
        texts: list[str] = []
        images: list[Part] = []
        for index, inner in enumerate(content):
            at = f"{path}.content[{index}]"
            if isinstance(inner, TextBlock):
                self.citations(inner, at)
                texts.append(inner.text)
            elif isinstance(inner, ImageBlock):
                images.append(self._image(inner, at))
            else:
                raise InvalidRequest(
                    f"{dotted(at)}: a {kind_of(inner)!r} block cannot be sent to this upstream"
                )
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

    # What all blocks share

    def citations(self, block: TextBlock, path: str) -> None:
        if block.citations:
            self._losses.drop(f"{path}.citations", "citations are Anthropic's own")

    def toolset(self, name: Any, path: str) -> None:
        if name is not None:
            self._losses.drop(f"{path}.toolset_name", "toolsets are Anthropic's own")

    def content(self, parts: list[Part]) -> str | list[Part]:
        only_text = all(part["type"] == "text" for part in parts)
        if only_text and (len(parts) == 1 or self._vendor.string_content):
            return "\n\n".join(part["text"] for part in parts)
        return parts


def kind_of(block: Block) -> str:
    """The type of a block, as the wire calls it."""
    return block.kind[:60] if isinstance(block, OtherBlock) else str(block.__struct_config__.tag)
