"""Signed thinking in a request's conversation: only the model that signed it takes it back."""

from typing import TypeAlias

import msgspec
from msgspec import Raw, Struct

from nexusflow_core.peek import replace_member

__all__ = ["has_signed_thinking", "without_signed_thinking"]

OURS = "nxf1."
"""How the signature of thinking begins that we made for another vendor; Claude never sees it."""

_Message: TypeAlias = dict[str, Raw]


class _Block(Struct):
    type: str = ""
    signature: str = ""


class _Body(Struct):
    messages: list[_Message]


_body = msgspec.json.Decoder(_Body)
_blocks = msgspec.json.Decoder(list[Raw])
_block = msgspec.json.Decoder(_Block)
_ERRORS = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)


def has_signed_thinking(text: bytes) -> bool:
    """Whether an earlier turn holds thinking that a model has signed."""
    return _stripped(text) is not None


def without_signed_thinking(text: bytes) -> bytes:
    """The body without those blocks, and without a turn that held nothing else; every other block and member
    keeps its bytes. The same object where there is nothing to remove."""
    messages = _stripped(text)
    return text if messages is None else replace_member(text, "messages", msgspec.json.encode(messages))


def _stripped(text: bytes) -> list[_Message] | None:
    """The messages without signed thinking; None where there is none, or no messages that can be read."""
    if b"thinking" not in text and b"\\u00" not in text:
        return None
    kept: list[_Message] = []
    found = False
    try:
        for message in _body.decode(text).messages:
            blocks = _content(message)
            left = [block for block in blocks if not _signed(block)]
            if len(left) == len(blocks):
                kept.append(message)
                continue
            found = True
            if left:
                kept.append({**message, "content": Raw(msgspec.json.encode(left))})
    except _ERRORS:
        return None
    return kept if found else None


def _content(message: _Message) -> list[Raw]:
    content = message.get("content")
    return _blocks.decode(content) if content is not None and bytes(content).startswith(b"[") else []


def _signed(raw: Raw) -> bool:
    block = _block.decode(raw)
    if block.type == "redacted_thinking":
        return True
    return block.type == "thinking" and block.signature != "" and not block.signature.startswith(OURS)
