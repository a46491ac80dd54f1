"""Thinking blocks that the gateway makes of another vendor's reasoning, and how it knows them again.

Their signature, or `data` where they are redacted, is `nxf1.` + base64url(JSON) + "." + checksum: a mark of our
own that nobody takes for Anthropic's. It holds no secret, since the client owns its history anyway. For the
vendor that thought it the reasoning is restored from it; before Anthropic sees it the block is removed.
"""

import hashlib
from base64 import urlsafe_b64decode, urlsafe_b64encode
from binascii import Error as Base64Error
from typing import Any, Literal, TypeAlias

import msgspec
from msgspec import Struct

from nexusflow_core.peek import elements, members

__all__ = ["Mark", "MarkKind", "read_mark", "strip_marked"]

_PREFIX = "nxf1."
_NEEDLE = _PREFIX.encode()

MarkKind: TypeAlias = Literal["text", "hidden", "details", "signatures"]
"""`text`: all is in the block; else the payload is the text that was hidden, OpenRouter's list of
`reasoning_details`, or the signatures of tool calls by their id."""


class Mark(Struct, frozen=True, kw_only=True):
    """What a signature of ours says: whose reasoning, of which model, and what the block does not show."""

    vendor: str = msgspec.field(name="v")
    model: str = msgspec.field(name="m")
    kind: MarkKind = msgspec.field(name="k")
    payload: Any = msgspec.field(name="d", default=None)

    def signature(self) -> str:
        """The mark as text; the same for the same mark."""
        body = urlsafe_b64encode(msgspec.json.encode(self)).decode().rstrip("=")
        return f"{_PREFIX}{body}.{_checksum(body)}"


_mark = msgspec.json.Decoder(Mark)


def read_mark(signature: str) -> Mark | None:
    """The mark in a signature; None for one that is not ours, or is damaged."""
    if not signature.startswith(_PREFIX):
        return None
    body, _, checksum = signature.removeprefix(_PREFIX).rpartition(".")
    if checksum != _checksum(body):
        return None
    try:
        return _mark.decode(urlsafe_b64decode(body + "=" * (-len(body) % 4)))
    except (msgspec.DecodeError, Base64Error, UnicodeDecodeError, ValueError):
        return None


def strip_marked(text: bytes) -> tuple[bytes, tuple[str, ...]]:
    """A request's body without the blocks that bear our mark, and the paths of those. Every other byte stays,
    and a body without the mark is not looked into. A turn of nothing else goes whole: none may be empty."""
    if _NEEDLE not in text:
        return text, ()
    pieces: list[bytes] = []
    paths: list[str] = []
    done = 0
    for start, end in _values(text, "messages"):
        kept, found = _without_marked(text[start:end])
        if found:
            pieces += (text[done:start], kept)
            done = end
            paths += found
    return b"".join((*pieces, text[done:])), tuple(paths)


def _without_marked(messages: bytes) -> tuple[bytes, list[str]]:
    cuts: list[tuple[int, int]] = []
    paths: list[str] = []
    turns = elements(messages)
    whole: set[int] = set()
    for index, (start, end) in enumerate(turns):
        if messages.find(_NEEDLE, start, end) < 0:
            continue
        turn = messages[start:end]
        for at, stop in _values(turn, "content"):
            blocks = elements(turn[at:stop])
            marked = {n for n, (first, last) in enumerate(blocks) if _is_marked(turn[at + first : at + last])}
            paths += [f"messages[{index}].content[{number}]" for number in sorted(marked)]
            if marked and len(marked) == len(blocks):
                whole.add(index)
            else:
                cuts += [(start + at + first, start + at + last) for first, last in _gaps(blocks, marked)]
    return _cut(messages, sorted(cuts + _gaps(turns, whole))), paths


def _gaps(spans: list[tuple[int, int]], gone: set[int]) -> list[tuple[int, int]]:
    """What to cut of an array, so that the elements that stay are parted by one comma each."""
    stays_before = False
    cuts: list[tuple[int, int]] = []
    for number, (start, end) in enumerate(spans):
        if number not in gone:
            stays_before = True
        elif stays_before:  # with the comma before it
            cuts.append((spans[number - 1][1], end))
        elif number + 1 < len(spans):  # with the comma behind it
            cuts.append((start, spans[number + 1][0]))
        else:
            cuts.append((start, end))
    return cuts


def _cut(text: bytes, spans: list[tuple[int, int]]) -> bytes:
    pieces: list[bytes] = []
    done = 0
    for start, end in spans:
        if start >= done:  # one inside another goes with it
            pieces.append(text[done:start])
        done = max(done, end)
    return b"".join((*pieces, text[done:]))


def _values(text: bytes, key: str) -> list[tuple[int, int]]:
    """Where the values of a member stand: more than once where it is repeated."""
    if text.lstrip()[:1] != b"{":
        return []
    return [(start, end) for name, start, end in members(text) if name == key]


class _Thinking(Struct):
    type: str = ""
    signature: Any = None
    data: Any = None


_thinking = msgspec.json.Decoder(_Thinking)


def _is_marked(block: bytes) -> bool:
    if _NEEDLE not in block:
        return False
    try:
        found = _thinking.decode(block)
    except msgspec.DecodeError:
        return False
    sign = {"thinking": found.signature, "redacted_thinking": found.data}.get(found.type)
    return isinstance(sign, str) and sign.startswith(_PREFIX)


def _checksum(body: str) -> str:
    return hashlib.sha256(body.encode()).hexdigest()[:8]
