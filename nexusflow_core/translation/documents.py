"""Turns documents, search results and images into text and into a dialect's content parts."""

from collections.abc import Callable
from typing import Any, TypeAlias

from nexusflow_core.errors import InvalidRequestError
from nexusflow_core.messages import Block, DocumentBlock, ImageBlock, SearchResultBlock, TextBlock, read_blocks
from nexusflow_core.translation.losses import Losses, dotted
from nexusflow_core.untyped import is_blank, is_list, is_object, is_zero

__all__ = ["Documents", "Part", "Piece", "image_url", "source_members"]

Part: TypeAlias = dict[str, Any]
"""A content part in the form of a dialect."""

Piece: TypeAlias = str | Part
"""Text, or a content part."""

_IMAGE_MEMBERS = {"base64": ("media_type", "data"), "url": ("url",)}
_MEMBERS = {"text": ("media_type", "data"), "content": ("content",), "base64": ("media_type", "data")}
_MEDIA_TYPES = {"text": "text/plain", "base64": "application/pdf"}


class Documents:
    """Turns documents into pieces. `inside` translates a text or image within one.

    `pdf` makes the part of a PDF from a URL and a title; None means that this upstream accepts no PDF.
    `fetches`: it fetches a PDF from its URL.
    """

    def __init__(
        self,
        losses: Losses,
        *,
        inside: Callable[[Block, str], list[Piece]],
        pdf: Callable[[str, str | None], Part] | None,
        fetches: bool = False,
    ) -> None:
        self._losses = losses
        self._make = inside
        self._pdf_part = pdf
        self._fetches = fetches and pdf is not None

    def document(self, block: DocumentBlock, path: str) -> list[Piece]:
        """Returns a document's text, images and file, inside `<document>` unless it is only a file."""
        self._citations(block.citations, path)
        kind = str(block.source.get("type"))
        members = _MEMBERS.get(kind)
        if kind == "url" and self._fetches:
            members = ("url",)
        if members is None:  # the gateway fetches nothing, and file ids belong to Anthropic
            raise InvalidRequestError(f"{dotted(path)}.source: {kind[:20]!r} cannot be sent to this upstream")
        given = source_members(block.source, kind, members, path, self._losses)
        expected = _MEDIA_TYPES.get(kind)
        if expected is not None and given["media_type"] != expected:
            raise InvalidRequestError(f"{dotted(path)}.source.{kind}.media_type: Input should be '{expected}'")
        head = _lines(Title=block.title, Context=block.context)
        if kind == "text":
            return _wrapped("document", head, [given["data"]])
        if kind == "content":
            return _wrapped("document", head, self._content(given["content"], f"{path}.source.content"))
        data = f"data:application/pdf;base64,{given['data']}" if kind == "base64" else given["url"]
        pdf = self._pdf(data, block.title, path)
        return _wrapped("document", head, [pdf]) if head else [pdf]

    def search_result(self, block: SearchResultBlock, path: str) -> list[Piece]:
        """Returns a search result's source, title and text, inside `<search_result>`."""
        self._citations(block.citations, path)
        parts: list[Piece] = []
        for index, inner in enumerate(block.content):
            if not isinstance(inner, TextBlock):
                raise InvalidRequestError(f"{dotted(path)}.content.{index}.type: Input should be 'text'")
            parts += self._inside(inner, f"{path}.content[{index}]")
        return _wrapped("search_result", _lines(Source=block.source, Title=block.title), parts)

    def _content(self, content: Any, path: str) -> list[Piece]:
        unknown: list[str] = []
        blocks = read_blocks(content, dotted(path), unknown)
        for name in unknown:
            self._losses.unknown(name)
        parts: list[Piece] = []
        for index, inner in enumerate(blocks):
            if not isinstance(inner, TextBlock | ImageBlock):
                raise InvalidRequestError(f"{dotted(path)}.{index}.type: Input should be 'text' or 'image'")
            parts += self._inside(inner, f"{path}[{index}]" if is_list(content) else path)
        return parts

    def _pdf(self, url: str, title: str | None, path: str) -> Part:
        if self._pdf_part is None:
            raise InvalidRequestError(f"{dotted(path)}.source: this upstream takes no PDF documents")
        return self._pdf_part(url, title)

    def _inside(self, block: TextBlock | ImageBlock, path: str) -> list[Piece]:
        if not is_zero(block.cache_control):
            self._losses.hint(f"{path}.cache_control", "only the whole document can be marked")
        return self._make(block, path)

    def _citations(self, citations: Any, path: str) -> None:
        if is_zero(citations):
            return
        if not is_object(citations):
            raise InvalidRequestError(f"{dotted(path)}.citations: Input should be a valid dictionary")
        for name, value in citations.items():
            if name != "enabled" and not is_blank(value):
                self._losses.unknown(f"{path}.citations.{name}")
        if citations.get("enabled"):
            self._losses.drop(f"{path}.citations", "answers of this upstream cite nothing")


def image_url(block: ImageBlock, path: str, losses: Losses, *, fetches: bool) -> str:
    """Returns an image as a URL: its own if the upstream `fetches` images, else a data URL.

    Raises InvalidRequestError for a source that cannot be sent.
    """
    if not is_zero(block.transformations) and block.transformations != {"oversized_image": "downsize"}:
        losses.drop(f"{path}.transformations", "images are sent as they are")
    kind = str(block.source.get("type"))
    members = _IMAGE_MEMBERS.get(kind)
    if members is None:
        raise InvalidRequestError(f"{dotted(path)}.source: {kind[:20]!r} cannot be sent to this upstream")
    if kind == "url" and not fetches:
        raise InvalidRequestError(f"{dotted(path)}.source: this upstream takes images as base64 only")
    given = source_members(block.source, kind, members, path, losses)
    return str(given["url"]) if kind == "url" else f"data:{given['media_type']};base64,{given['data']}"


def source_members(
    source: dict[str, Any], kind: str, members: tuple[str, ...], path: str, losses: Losses
) -> dict[str, Any]:
    """Returns the members of a source of this kind. Lists others as dropped. Raises InvalidRequestError."""
    for name in members:
        if not isinstance(source.get(name), str) and not (name == "content" and is_list(source.get(name))):
            raise InvalidRequestError(f"{dotted(path)}.source.{kind}.{name}: Field required")
    for name, value in source.items():
        if name not in ("type", *members) and not is_blank(value):
            losses.unknown(f"{path}.source.{name}")
    return {name: source[name] for name in members}


def _lines(**named: str | None) -> str:
    return "".join(f"{name}: {value}\n" for name, value in named.items() if value)


def _wrapped(tag: str, head: str, parts: list[Piece]) -> list[Piece]:
    """Returns the parts inside a tag. Adjacent texts are joined, including the tag's own."""
    out: list[Piece] = []
    text = f"<{tag}>\n" + (f"{head}\n" if head else "")
    for part in parts:
        if isinstance(part, str):
            text += f"{part}\n"
            continue
        if text:
            out.append(text[:-1])
        out.append(part)
        text = ""
    return [*out, f"{text}</{tag}>"]
