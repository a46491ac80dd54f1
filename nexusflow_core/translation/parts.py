"""Blocks of a user's turn, and of a tool's result, as content parts of a dialect."""

from abc import ABC, abstractmethod
from typing import Protocol

import msgspec

from nexusflow_core.counting import IMAGE_TOKENS, PAGE_TOKENS, TOKEN_BYTES, TokenSum, pages
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
from nexusflow_core.routing import TargetOptions, ToolImages
from nexusflow_core.translation.documents import Documents, Part, Piece, image_url
from nexusflow_core.translation.ids import ToolNames
from nexusflow_core.translation.losses import Losses, dotted
from nexusflow_core.translation.refusals import drop_own_members
from nexusflow_core.translation.turns import kind_of

__all__ = ["Parts", "Takes"]


class Takes(Protocol):
    """The columns of a vendor's row for images and files."""

    @property
    def vision(self) -> bool: ...
    @property
    def image_urls(self) -> bool: ...
    @property
    def pdf(self) -> bool: ...


class Parts(ABC):
    """Makes content parts for one vendor. A dialect subclasses it and defines their forms.

    Raises InvalidRequestError for a block that the vendor does not accept.
    """

    text_type: str
    """The type of a text part. Its member `text` has the text."""
    image_type: str
    fetches_pdf = False
    """The vendor fetches PDF documents from their URL."""

    def __init__(
        self, row: Takes, losses: Losses, options: TargetOptions, tool_images: ToolImages = "hoist"
    ) -> None:
        """`tool_images`: the place of images in tool results, unless the configuration sets one."""
        self._row = row
        self._losses = losses
        self._omit_images = options.images == "omit"
        self._data = TokenSum()  # of images and documents: their bytes, and their tokens by a flat count
        self._tool_images = options.tool_images or tool_images

    # A dialect implements these

    @abstractmethod
    def image(self, url: str) -> Part:
        """Returns the part of an image, whose URL may hold its data."""

    @abstractmethod
    def pdf(self, url: str, title: str | None) -> Part:
        """Returns the part of a PDF document, whose URL may hold its data."""

    # Parts

    def estimated(self, size: int) -> int:
        """Returns the estimated tokens of a request of `size` bytes that has all parts made here."""
        return self._data.tokens + -(-(size - self._data.bytes) // TOKEN_BYTES)

    def text(self, text: str) -> Part:
        """Returns the part of a text."""
        return {"type": self.text_type, "text": text}

    def is_text(self, part: Part) -> bool:
        """Returns True if a part is text."""
        return bool(part["type"] == self.text_type)

    @property
    def bridged(self) -> bool:
        """True if the vendor refuses a user message directly after a tool message, as some templates do."""
        return self._tool_images == "bridge"

    def of_user(self, block: Block, path: str) -> list[Part]:
        """Returns the parts of a block in a user's turn; none for an empty text."""
        if isinstance(block, TextBlock):
            if block.citations:
                drop_own_members(block, path, self._losses)
            return [self.text(block.text)] if block.text else []
        if isinstance(block, ImageBlock):
            return [self._image(block, path)]
        if isinstance(block, DocumentBlock):
            return self._parts(self._documents().document(block, path))
        if isinstance(block, SearchResultBlock):
            return self._parts(self._documents().search_result(block, path))
        raise InvalidRequestError(f"{dotted(path)}: a {kind_of(block)!r} block cannot be sent to this upstream")

    def of_result(self, block: ToolResultBlock, path: str, call: str, hoisted: list[Part]) -> str | list[Part]:
        """Returns the content of a call's result: text, or parts if images and files stay in it.

        Other images and files are added to `hoisted`, for the user's message that follows, with a label that
        names the `call`.
        """
        if block.toolset_name:
            drop_own_members(block, path, self._losses)
        if isinstance(block.content, str) and not block.is_error:  # nearly every result
            return block.content
        content = block.content if isinstance(block.content, list) else [TextBlock(block.content or "")]
        parts = [
            part
            for index, inner in enumerate(content)
            for part in self._inside_result(inner, f"{path}.content[{index}]")
        ]
        parts = self._joined(parts, is_error=block.is_error is True)
        others = [part for part in parts if not self.is_text(part)]
        if others and self._tool_images == "inline":
            return [part for part in parts if part.get("text", True)]
        text = "\n".join(part["text"] for part in parts if self.is_text(part))
        return text if not others else f"{text}\n{self._moved(others, path, call, hoisted)}".lstrip()

    def _joined(self, parts: list[Part], *, is_error: bool) -> list[Part]:
        """Returns the parts with neighbouring texts joined. The first text of an error begins with `Error`."""
        out: list[Part] = []
        for part in parts:
            if out and self.is_text(part) and self.is_text(out[-1]):
                out[-1] = self.text(f"{out[-1]['text']}\n{part['text']}")
            else:
                out.append(part)
        first = next((index for index, part in enumerate(out) if self.is_text(part)), None)
        text = out[first]["text"] if first is not None else ""
        if not is_error or text.startswith("Error"):
            return out
        marked = self.text(f"Error: {text}" if text else "Error")
        return [marked, *out] if first is None else [*out[:first], marked, *out[first + 1 :]]

    def _moved(self, others: list[Part], path: str, call: str, hoisted: list[Part]) -> str:
        """Moves images and files out of a result, or drops them. Returns the text in their place."""
        kinds = {"image" if part["type"] == self.image_type else "document" for part in others}
        what = " and ".join(sorted(kinds, reverse=True))
        if self._tool_images == "placeholder":
            self._losses.drop(f"{path}.content", f"a tool's result with {what} is not taken by this upstream")
            return f"[{what} omitted]"
        hoisted += [self.text(f"{what.capitalize()} of the tool result {call}:"), *others]
        return f"[{what} below]"

    def _inside_result(self, block: Block, path: str) -> list[Part]:
        if isinstance(block, TextBlock):
            drop_own_members(block, path, self._losses)
            return [self.text(block.text)]
        if isinstance(block, ToolReferenceBlock):
            return [self.text(ToolNames.sent(block.tool_name))]
        if isinstance(block, OtherBlock) and block.kind == "browser_state":
            state = {name: value for name, value in block.data.items() if name != "cache_control"}
            return [self.text(msgspec.json.encode(state).decode())]
        return self.of_user(block, path)

    # Images and documents

    def _image(self, block: ImageBlock, path: str) -> Part:
        if self._omit_images:
            self._losses.drop(path, "images are omitted, as the configuration says")
            return self.text("[image omitted]")
        if not self._row.vision:
            raise InvalidRequestError(f"{dotted(path)}: this upstream takes no images")
        url = image_url(block, path, self._losses, fetches=self._row.image_urls)
        self._data.bytes += len(url)
        self._data.tokens += IMAGE_TOKENS
        return self.image(url)

    def _pdf(self, url: str, title: str | None) -> Part:
        self._data.bytes += len(url)
        self._data.tokens += PAGE_TOKENS * max(1, pages(url.partition(",")[2]))
        return self.pdf(url, title)

    def _documents(self) -> Documents:
        """Returns a new object for each block: a stored one would be a reference cycle that keeps the body."""
        return Documents(
            self._losses,
            inside=self._inside_document,
            pdf=self._pdf if self._row.pdf else None,
            fetches=self.fetches_pdf,
        )

    def _inside_document(self, block: Block, path: str) -> list[Piece]:
        return [part["text"] if self.is_text(part) else part for part in self.of_user(block, path)]

    def _parts(self, pieces: list[Piece]) -> list[Part]:
        return [self.text(piece) if isinstance(piece, str) else piece for piece in pieces]
