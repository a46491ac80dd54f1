"""Thinking blocks in a conversation: those signed by a model, and those marked by the gateway.

The gateway makes such a block from another vendor's reasoning. Its signature (or `data`, if redacted) is our
mark: `nxf1.` + base64url(JSON) + "." + checksum, which nobody takes for Anthropic's. It holds no secret, since
the client owns its history. The mark lets us send the reasoning back to its vendor. Before Anthropic sees the
conversation, marked blocks are removed.
"""

import hashlib
from base64 import urlsafe_b64decode, urlsafe_b64encode
from binascii import Error as Base64Error
from collections.abc import Callable, Sequence
from typing import Any, Literal, TypeAlias

import msgspec
from msgspec import Struct

from nexusflow_core.errors import InvalidRequestError
from nexusflow_core.json_spans import MAX_VALUES, check_values, count_values, elements, members
from nexusflow_core.peek import MARK_PREFIX
from nexusflow_core.record import Places
from nexusflow_core.untyped import MALFORMED, is_list, object_of

__all__ = [
    "Mark",
    "MarkKind",
    "has_signed_thinking",
    "read_mark",
    "strip_marked",
    "without_signed_thinking",
]

_MARKED = MARK_PREFIX
_PREFIX = _MARKED.decode()
_THINKING = b"thinking"
_SEARCH = b"server_tool_use"
_THINKING_TYPES = ("thinking", "redacted_thinking")

MarkKind: TypeAlias = Literal["text", "hidden", "details", "signatures", "item"]
"""`text`: the block shows everything. Otherwise the payload holds the hidden text, OpenRouter's list of
`reasoning_details`, the signatures of tool calls by id, or an item of the Responses API."""


class Mark(Struct, frozen=True, kw_only=True):
    """The content of our signature: the vendor and model of the reasoning, and the parts not in the block."""

    vendor: str = msgspec.field(name="v")
    model: str = msgspec.field(name="m")
    kind: MarkKind = msgspec.field(name="k")
    payload: Any = msgspec.field(name="d", default=None)

    def signature(self) -> str:
        """Returns the mark as text. Equal marks give equal text."""
        body = urlsafe_b64encode(msgspec.json.encode(self)).decode().rstrip("=")
        return f"{_PREFIX}{body}.{_checksum(body)}"


_mark = msgspec.json.Decoder(Mark)


def read_mark(signature: str) -> Mark | None:
    """Returns the mark in a signature, or None if it is not ours or is damaged."""
    if not signature.startswith(_PREFIX):
        return None
    body, _, checksum = signature.removeprefix(_PREFIX).rpartition(".")
    if checksum != _checksum(body):
        return None
    try:
        return _mark.decode(urlsafe_b64decode(body + "=" * (-len(body) % 4)))
    except (*MALFORMED, Base64Error, ValueError):
        return None


def strip_marked(
    text: bytes, edits: Sequence[str] = (), most: int = MAX_VALUES
) -> tuple[bytes, tuple[str, ...]]:
    """Returns a request's body without blocks that have our mark, and their paths after the other `edits`.

    Without such blocks there are no edits. All other bytes stay. A turn that would become empty is removed.
    Raises RequestTooLargeError for a body with the mark and more than `most` JSON values.
    """
    if _MARKED in text:
        check_values(text, most)
    left, places = _strip(text, _OURS)
    return left, places.listed(edits) if places.count else ()


def without_signed_thinking(text: bytes) -> bytes:
    """Returns a request's body without thinking that a model has signed.

    Returns the same object if there is none, or if the body has too many JSON values to be searched.
    """
    if _THINKING not in text or count_values(text, MAX_VALUES) > MAX_VALUES:
        return text
    return _strip(text, _SIGNED)[0]


def has_signed_thinking(text: bytes) -> bool:
    """True if an earlier turn contains thinking signed by a model, or if the body is too large to tell."""
    if _THINKING not in text:
        return False
    return count_values(text, MAX_VALUES) > MAX_VALUES or without_signed_thinking(text) is not text


class _Stripped(Struct, frozen=True):
    """Which blocks are removed: those of these types whose signature `goes`. All of them contain `needle`."""

    needle: bytes
    types: tuple[str, ...]
    goes: Callable[[str], bool]


_OURS = _Stripped(
    _MARKED,
    (*_THINKING_TYPES, "compaction", "web_search_tool_result"),
    lambda signature: signature.startswith(_PREFIX),
)
_SIGNED = _Stripped(
    _THINKING, _THINKING_TYPES, lambda signature: signature != "" and not signature.startswith(_PREFIX)
)


def _strip(text: bytes, what: _Stripped) -> tuple[bytes, Places]:
    """Returns the text without such blocks, and their places."""
    places = Places()
    if what.needle not in text:
        return text, places
    pieces: list[bytes] = []
    done = 0
    for start, end in _values(text, "messages"):
        before = places.count
        kept = _without(text[start:end], what, places)
        if places.count > before:
            pieces += (text[done:start], kept)
            done = end
    return (b"".join((*pieces, text[done:])) if pieces else text), places


def _without(messages: bytes, what: _Stripped, places: Places) -> bytes:
    """Returns the messages without such blocks. Adds their places to `places`."""
    cuts: list[tuple[int, int]] = []
    turns = elements(messages)
    whole: set[int] = set()
    for index, (start, end) in enumerate(turns):
        if messages.find(what.needle, start, end) < 0:
            continue
        turn = messages[start:end]
        for at, stop in _values(turn, "content"):
            blocks = elements(turn[at:stop])
            gone = _gone([turn[at + first : at + last] for first, last in blocks], what)
            for number in sorted(gone):
                places.add(f"messages[{index}].content[{number}]")
            if gone and len(gone) == len(blocks):
                whole.add(index)
            else:
                cuts += [(start + at + first, start + at + last) for first, last in _gaps(blocks, gone)]
    return _cut(messages, sorted(cuts + _gaps(turns, whole)))


def _gaps(spans: list[tuple[int, int]], gone: set[int]) -> list[tuple[int, int]]:
    """Returns the spans to cut from an array, so that one comma stays between remaining elements."""
    stays_before = False
    cuts: list[tuple[int, int]] = []
    for number, (start, end) in enumerate(spans):
        if number not in gone:
            stays_before = True
        elif stays_before:  # with the comma before it
            cuts.append((spans[number - 1][1], end))
        elif number + 1 < len(spans):  # with the comma after it
            cuts.append((start, spans[number + 1][0]))
        else:
            cuts.append((start, end))
    return cuts


def _cut(text: bytes, spans: list[tuple[int, int]]) -> bytes:
    pieces: list[bytes] = []
    done = 0
    for start, end in spans:
        if start >= done:  # a span inside another one is cut with it
            pieces.append(text[done:start])
        done = max(done, end)
    return b"".join((*pieces, text[done:]))


def _values(text: bytes, key: str) -> list[tuple[int, int]]:
    """Returns the spans of a member's values: several if the member is repeated."""
    if text.lstrip()[:1] != b"{":
        return []
    return [(start, end) for name, start, end in members(text) if name == key]


class _Block(Struct):
    type: str = ""
    id: Any = None
    tool_use_id: Any = None
    signature: Any = None
    data: Any = None
    encrypted_content: Any = None
    content: Any = None

    def signed(self) -> Any:
        """Returns the block's signature. A search has it in its first result."""
        if self.type == "web_search_tool_result":
            results = self.content
            return object_of(results[0]).get("encrypted_content") if is_list(results) and results else None
        return {"thinking": self.signature, "redacted_thinking": self.data}.get(
            self.type, self.encrypted_content
        )


_block = msgspec.json.Decoder(_Block)


def _gone(blocks: Sequence[bytes], what: _Stripped) -> set[int]:
    """Returns the numbers of the blocks to remove. A search goes with its result."""
    gone: set[int] = set()
    searches: set[str] = set()
    for number, text in enumerate(blocks):
        block = _read(text) if what.needle in text else None
        if block is None or block.type not in what.types:
            continue
        signature = block.signed()
        if isinstance(signature, str) and what.goes(signature):
            gone.add(number)
            searches.update([block.tool_use_id] if isinstance(block.tool_use_id, str) else ())
    for number, text in enumerate(blocks) if searches else ():
        block = _read(text) if _SEARCH in text else None
        if block is not None and block.type == "server_tool_use" and str(block.id) in searches:
            gone.add(number)
    return gone


def _read(block: bytes) -> _Block | None:
    try:
        return _block.decode(block)
    except MALFORMED as error:
        if (
            _MARKED in block and _THINKING in block and isinstance(error, UnicodeError)
        ):  # it is unclear whether the mark is ours
            raise InvalidRequestError(
                "The request body is not valid JSON: invalid UTF-8 in a thinking block"
            ) from None
        return None


def _checksum(body: str) -> str:
    return hashlib.sha256(body.encode()).hexdigest()[:8]
