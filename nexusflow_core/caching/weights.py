"""Estimates of tokens, block by block: bytes of text, pixels of an image, pages of a PDF."""

import re
import struct
from base64 import b64decode
from collections.abc import Mapping
from typing import Any

from nexusflow_core.untyped import is_list, object_of

__all__ = ["MESSAGE_WEIGHT", "TOOLS_WEIGHT", "json_weight", "source_weight", "text_weight"]

MESSAGE_WEIGHT = 4
"""Tokens of a message in addition to its content."""

TOOLS_WEIGHT = 350
"""Tokens of the vendor's instructions for tools, which follow the system prompt if there are tools."""

_TEXT_BYTES = 9  # in two tokens
_JSON_BYTES = 7  # in two tokens
_PIXELS = 750  # in one token
_MOST_IMAGE = 1600
_SOME_IMAGE = _MOST_IMAGE // 2  # for an image of unknown size
_PAGE = 1600
_HEAD = 64 * 1024
_PAGES = re.compile(rb"/Type\s*/Page\b")


def text_weight(bytes: int) -> int:
    """Returns the estimated tokens of a text, about one for 4.5 bytes."""
    return 2 * bytes // _TEXT_BYTES + 1


def json_weight(bytes: int) -> int:
    """Returns the estimated tokens of JSON, about one for 3.5 bytes."""
    return 2 * bytes // _JSON_BYTES + 8


def source_weight(kind: str, source: Any) -> int:
    """Returns the estimated tokens of an image or document, whose source is base64, text, blocks or a URL."""
    members = object_of(source)
    data = members.get("data")
    if kind == "image":
        return _image(data) if isinstance(data, str) else _SOME_IMAGE
    if isinstance(data, str) and members.get("type") == "text":
        return text_weight(len(data.encode(errors="replace")))
    if is_list(content := members.get("content")):
        return sum(_part(object_of(part)) for part in content)
    if isinstance(content, str):
        return text_weight(len(content.encode(errors="replace")))
    return _PAGE * max(1, _pages(data))


def _part(part: Mapping[str, Any]) -> int:
    text = part.get("text")
    if isinstance(text, str):
        return text_weight(len(text.encode(errors="replace")))
    return source_weight(str(part.get("type")), part.get("source"))


def _image(data: str) -> int:
    """Returns the tokens of an image by its pixels, if the file's header states them."""
    try:
        head = b64decode(data[:_HEAD])
    except ValueError:
        return _SOME_IMAGE
    if head.startswith(b"\x89PNG") and len(head) >= 24:
        width, height = struct.unpack(">II", head[16:24])
    elif head.startswith(b"\xff\xd8"):
        width, height = _jpeg(head)
    elif head.startswith(b"GIF8") and len(head) >= 10:
        width, height = struct.unpack("<HH", head[6:10])
    else:
        return _SOME_IMAGE
    return min(_MOST_IMAGE, int(width * height) // _PIXELS + 1)


def _jpeg(head: bytes) -> tuple[int, int]:
    """Returns width and height from the frame header, or those of an average image without one."""
    at = 2
    while at + 9 < len(head) and head[at] == 0xFF:
        marker, length = head[at + 1], int.from_bytes(head[at + 2 : at + 4], "big")
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            height, width = struct.unpack(">HH", head[at + 5 : at + 9])
            return int(width), int(height)
        at += 2 + max(2, length)
    return _PIXELS, _SOME_IMAGE


def _pages(data: Any) -> int:
    """Returns the pages of a PDF in base64; 0 if they are compressed and cannot be counted."""
    try:
        return len(_PAGES.findall(b64decode(data))) if isinstance(data, str) else 0
    except ValueError:
        return 0
