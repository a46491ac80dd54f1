"""Parts: translates blocks of a user turn to content parts, and tool results to tool messages."""

import msgspec

from nexusflow_core.dialects.openai_chat.context import ChatTranslation
from nexusflow_core.errors import InvalidRequestError
from nexusflow_core.messages import (
    Block,
    DocumentBlock,
    ImageBlock,
    OtherBlock,
    SearchResultBlock,
    TextBlock,
    ToolReferenceBlock,
    ToolResultBlock,
)
from nexusflow_core.translation.documents import Documents, Part, Piece, image_url
from nexusflow_core.translation.ids import ToolNames
from nexusflow_core.translation.losses import dotted
from nexusflow_core.translation.refusals import drop_own_members
from nexusflow_core.translation.turns import kind_of

__all__ = ["Parts"]


class Parts:
    """Makes content parts for one vendor. Raises InvalidRequestError for a block that it does not accept."""

    def __init__(self, it: ChatTranslation) -> None:
        self._vendor = it.vendor
        self._losses = it.losses
        self._omit_images = it.options.images == "omit"
        self._tool_images = it.options.tool_images

    def of_user(self, block: Block, path: str) -> list[Part]:
        """Returns the content parts of a block in a user turn. Raises InvalidRequestError."""
        if isinstance(block, TextBlock):
            drop_own_members(block, path, self._losses)
            return [_text(block.text)] if block.text else []
        if isinstance(block, ImageBlock):
            return [self._image(block, path)]
        if isinstance(block, DocumentBlock):
            return _parts(self._documents().document(block, path))
        if isinstance(block, SearchResultBlock):
            return _parts(self._documents().search_result(block, path))
        raise InvalidRequestError(f"{dotted(path)}: a {kind_of(block)!r} block cannot be sent to this upstream")

    def _documents(self) -> Documents:
        """Returns a new object for each block: a stored one would be a reference cycle that keeps the body."""
        return Documents(self._losses, inside=self._inside_document, pdf=_pdf if self._vendor.pdf else None)

    def _inside_document(self, block: Block, path: str) -> list[Piece]:
        return [part["text"] if part["type"] == "text" else part for part in self.of_user(block, path)]

    def _image(self, block: ImageBlock, path: str) -> Part:
        if self._omit_images:
            self._losses.drop(path, "images are omitted, as the configuration says")
            return _text("[image omitted]")
        if not self._vendor.vision:
            raise InvalidRequestError(f"{dotted(path)}: this upstream takes no images")
        url = image_url(block, path, self._losses, fetches=self._vendor.image_urls)
        return {"type": "image_url", "image_url": {"url": url}}

    # Tool results

    def result(self, block: ToolResultBlock, path: str, call: str, hoisted: list[Part]) -> Part:
        """Returns the message of a call's result. `call`: the call's id at the upstream."""
        drop_own_members(block, path, self._losses)
        content = block.content if isinstance(block.content, list) else [TextBlock(block.content or "")]
        texts: list[str] = []
        others: list[Part] = []
        for index, inner in enumerate(content):
            for part in self._inside_result(inner, f"{path}.content[{index}]"):
                if part["type"] == "text":
                    texts.append(part["text"])
                else:
                    others.append(part)
        text = "\n".join(texts)
        if block.is_error and not text.startswith("Error"):
            text = f"Error: {text}" if text else "Error"
        if others:
            return self._result_with_others(call, text, others, path, hoisted)
        return {"role": "tool", "tool_call_id": call, "content": text}

    def _inside_result(self, block: Block, path: str) -> list[Part]:
        if isinstance(block, TextBlock):
            drop_own_members(block, path, self._losses)
            return [_text(block.text)]
        if isinstance(block, ToolReferenceBlock):
            return [_text(ToolNames.sent(block.tool_name))]
        if isinstance(block, OtherBlock) and block.kind == "browser_state":
            state = {name: value for name, value in block.data.items() if name != "cache_control"}
            return [_text(msgspec.json.encode(state).decode())]
        return self.of_user(block, path)

    def _result_with_others(
        self, call: str, text: str, others: list[Part], path: str, hoisted: list[Part]
    ) -> Part:
        """Returns a result with images or files. The configuration or the vendor's row decides their place."""
        message: Part = {"role": "tool", "tool_call_id": call}
        if self._tool_images == "inline":
            return {**message, "content": [*([_text(text)] if text else []), *others]}
        kinds = {"image" if part["type"] == "image_url" else "document" for part in others}
        what = " and ".join(sorted(kinds, reverse=True))
        if self._tool_images == "placeholder":
            self._losses.drop(f"{path}.content", f"a tool's result with {what} is not taken by this upstream")
            return {**message, "content": f"{text}\n[{what} omitted]".lstrip()}
        hoisted += [_text(f"{what.capitalize()} of the tool result {call}:"), *others]
        return {**message, "content": f"{text}\n[{what} below]".lstrip()}

    @property
    def bridged(self) -> bool:
        """True if the vendor refuses a user message directly after a tool message, as Mistral may."""
        return self._tool_images == "bridge"

    def content(self, parts: list[Part]) -> str | list[Part]:
        only_text = all(part["type"] == "text" for part in parts)
        if only_text and (len(parts) == 1 or self._vendor.string_content):
            return "\n\n".join(part["text"] for part in parts)
        return parts


def _text(text: str) -> Part:
    return {"type": "text", "text": text}


def _parts(pieces: list[Piece]) -> list[Part]:
    return [_text(piece) if isinstance(piece, str) else piece for piece in pieces]


def _pdf(data: str) -> Part:
    file = {"filename": "document.pdf", "file_data": f"data:application/pdf;base64,{data}"}
    return {"type": "file", "file": file}
