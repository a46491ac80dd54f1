"""Reads text and reasoning of an answer from fields, details, content parts and <think> tags."""

import re
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import msgspec

from nexusflow_core.dialects.openai_chat.schema import Delta
from nexusflow_core.dialects.openai_chat.vendors import Vendor
from nexusflow_core.translation.held import Held, Pieces
from nexusflow_core.translation.json_lenient import mended
from nexusflow_core.translation.think_tags import Piece, ThinkTags, before_lone_end
from nexusflow_core.untyped import is_list, is_object, is_zero, object_of

__all__ = ["Details", "Unrepeated", "Words", "as_parts", "other_parts", "parts", "read_words", "reasoning_text"]

_DEEPEST = 8
"""Bound on nested lists and objects around a text."""
_INNER = ("thinking", "reasoning", "reasoning_content", "text", "content", "summary", "value")
"""Members that hold the text of a reasoning object: the first that is not empty counts."""
_TEXTS = ("text", "output_text", "value", "content")
_KIND = re.compile(r"[A-Za-z][A-Za-z0-9_.-]{0,60}")
_MOST_KINDS = 10
_THINKING = ("think", "reason", "thought")


def reasoning_text(delta: Delta) -> str:
    """Returns the reasoning beside the content. Vendors that use two fields repeat the same in both."""
    usual = delta.reasoning_content or delta.reasoning
    if isinstance(usual, str) and usual:
        return usual
    places = (
        delta.reasoning_content,
        delta.reasoning,
        delta.reasoning_text,
        delta.thinking,
        delta.thinking_blocks,
        delta.thinking_content,
        delta.thoughts,
        delta.thought,
        delta.reasoning_summary,
        delta.reasoning_details,
    )
    return next((text for place in places if (text := _flat(place))), "")


def _flat(value: Any, deepest: int = _DEEPEST) -> str:
    """Returns the text inside nested lists and objects."""
    if isinstance(value, str):
        return value
    if not value or not deepest:
        return ""
    if is_list(value):
        return "".join(_flat(item, deepest - 1) for item in value)
    if is_object(value):
        return next((text for name in _INNER if (text := _flat(value.get(name), deepest - 1))), "")
    return ""


def parts(content: Sequence[Any]) -> list[Piece]:
    """Returns thinking, text and refusals of a content list in order. Neighbours of one kind are joined."""
    found: list[tuple[Piece, list[str]]] = []
    for piece in (piece for part in content for piece in _pieces(part) or ()):
        if found and found[-1][0][::2] == piece[::2]:
            found[-1][1].append(piece.text)
        else:
            found.append((piece, [piece.text]))
    return [piece._replace(text="".join(texts)) for piece, texts in found]


def other_parts(content: Any) -> list[str]:
    """Returns the types of content parts without text, such as `content.image_url`."""
    others = (
        [part for part in content if _pieces(part) is None and not is_zero(part)] if is_list(content) else []
    )
    kinds = [object_of(part).get("type") for part in others]
    named = [isinstance(kind, str) and _KIND.fullmatch(kind) is not None for kind in kinds]
    names = [f"content.{kind}" if known else "content" for kind, known in zip(kinds, named, strict=True)]
    return list(dict.fromkeys(names))[:_MOST_KINDS]


def as_parts(content: Any) -> list[Any] | None:
    """Returns a content as its list of parts; None for a string, or an object that is shown as JSON."""
    if is_list(content):
        return content
    if is_object(content) and "type" in content and "text" in content:
        kind = content["type"]
        if is_zero(kind) or (isinstance(kind, str) and kind.endswith("text")):
            return [content]
    return None


def _pieces(part: Any, deepest: int = _DEEPEST) -> list[Piece] | None:
    """Returns the texts of a part; None if it cannot contain text."""
    if isinstance(part, str):
        return [Piece(False, part)]
    if not deepest:
        return None
    if is_list(part):
        return _together(_pieces(item, deepest - 1) for item in part)
    if not is_object(part):
        return None
    kind = part.get("type")
    word_of_kind = kind.lower() if isinstance(kind, str) else ""
    if part.get("thought") is True or part.get("thinking") or any(word in word_of_kind for word in _THINKING):
        return [Piece(True, _flat(part))]
    if isinstance(refusal := part.get("refusal"), str) and refusal:
        return [Piece(False, refusal, refusal=True)]
    named = [part[name] for name in _TEXTS if name in part]
    found = _together(_pieces(inner, deepest - 1) for inner in named if not is_zero(inner))
    if found and word_of_kind == "refusal":
        return [piece._replace(refusal=not piece.thinking) for piece in found]
    return found if found is not None else ([] if named else None)


def _together(found: Iterable[list[Piece] | None]) -> list[Piece] | None:
    known = [pieces for pieces in found if pieces is not None]
    return [piece for pieces in known for piece in pieces] if known else None


class Words(NamedTuple):
    """The texts of a whole message: thinking, text and refusal, and the details to send back."""

    thinking: str
    text: str
    refusal: str
    details: list[dict[str, Any]]


def read_words(message: Delta, vendor: Vendor) -> Words:
    """Returns the texts of a whole message."""
    details = Details()
    if vendor.replay == "reasoning_details" and not vendor.cumulative_reasoning:
        details.add(message.reasoning_details, whole=True)
    beside = reasoning_text(message)
    content = as_parts(message.content)
    pieces = parts(content) if content is not None else [Piece(False, message.text())]
    text = "".join(piece.text for piece in pieces if not piece.thinking and not piece.refusal)
    thinking = beside + "".join(piece.text for piece in pieces if piece.thinking)
    if vendor.think_tags or beside.strip():
        thought, text = _untagged(text, beside, vendor)
        thinking += thought
    refusal = (message.refusal or "") + "".join(piece.text for piece in pieces if piece.refusal)
    return Words(thinking, text, refusal if refusal.strip() else "", details.take())


def _untagged(text: str, beside: str, vendor: Vendor) -> tuple[str, str]:
    """Returns thinking and text of a text that may have tags. Beside a reasoning field, tags repeat it."""
    tags = ThinkTags()
    found = [*tags.feed(text), *tags.flush()]
    thought, rest = ("".join(piece.text for piece in found if piece.thinking is kind) for kind in (True, False))
    lone = None if thought else before_lone_end(rest)
    if lone is not None and (vendor.think_tags or lone[0].strip() == beside.strip()):
        thought, rest = lone
    return ("" if beside.strip() else thought), rest


# Reasoning that is sent back unchanged


class Details:
    """OpenRouter's `reasoning_details` of one answer, joined from fragments."""

    def __init__(self, held: Held | None = None) -> None:
        self._held = held or Held()
        self._size = 0  # bytes held, beside texts in pieces
        self._found: list[dict[str, Any]] = []
        self._texts: dict[str, Pieces] = {}  # texts of the last one that arrive in fragments

    def add(self, details: Any, *, whole: bool = False) -> None:
        """Adds the details of a delta, or of a `whole` message, in which none is a fragment."""
        for number, detail in enumerate(map(object_of, mended(details) if is_list(details) else ())):
            last = self._found[-1] if self._found else {}
            if not detail:
                continue
            if not whole and _goes_on(last, detail, neighbours=number > 0):
                self._merge(last, detail)
            else:
                self._close()
                self._found.append(dict(detail))
                self._count(detail)

    def take(self) -> list[dict[str, Any]]:
        """Returns the details so far, and forgets them."""
        self._close()
        self._held.bytes -= self._size
        found, self._found, self._size = self._found, [], 0
        return found

    def _merge(self, last: dict[str, Any], fragment: dict[str, Any]) -> None:
        for name, value in fragment.items():
            before = last.get(name)
            if name in ("text", "summary") and isinstance(value, str) and isinstance(before, str):
                if name not in self._texts:
                    self._texts[name] = Pieces(self._held, before)
                self._texts[name].add(value)
            elif value != before and (value is not None or name not in last):
                last[name] = value
                self._count(value)

    def _close(self) -> None:
        for name, pieces in self._texts.items():
            self._found[-1][name] = text = pieces.take()
            self._count(text)
        self._texts = {}

    def _count(self, value: Any) -> None:
        size = len(msgspec.json.encode(value))
        self._held.bytes += size
        self._size += size


def _goes_on(last: dict[str, Any], detail: dict[str, Any], *, neighbours: bool) -> bool:
    """True if a detail continues the last one: same type and index, and no other id or signature.

    Without an index, two details in one delta are separate, and a signed one is complete.
    """
    kind, index, signature = detail.get("type"), detail.get("index"), last.get("signature")
    if kind == "reasoning.encrypted" or (kind, index) != (last.get("type"), last.get("index")):
        return False
    if index is None and (neighbours or signature):
        return False
    return all(
        not last.get(name) or not detail.get(name) or last[name] == detail[name] for name in ("id", "signature")
    )


# Cumulative reasoning

_SURE = 4
"""Letters and digits at the beginning of two pieces that cannot be equal by accident."""

_MOST_HELD = 8


class Unrepeated:
    """Removes from each piece the part that repeats earlier pieces, once it is clear that they repeat.

    A piece that begins with the previous one shows that, if the previous one was long enough, or if it happens
    twice. Until then it is held back. Blanks do not count.
    """

    def __init__(self) -> None:
        self._repeats: bool | None = None
        self._before = ""  # the last piece; if pieces repeat, that is everything so far
        self._passed = 0  # characters of it that were passed on
        self._held: list[str] = []
        self._ended = False  # True after other content: nothing is held back any more

    def feed(self, text: str) -> str:
        """Returns the new part of a piece."""
        if not text or self._repeats is False:
            return text
        if self._repeats:
            return self._new_part(text)
        if not self._before.strip():
            self._before, self._passed = text, len(text)
            return text
        if not text.startswith(self._before) or (self._ended and not self._long()):
            return self._plain(text)
        longer = [piece for piece in (*self._held, text) if len(piece) > self._passed]
        if longer and (self._long() or len(longer) > 1):
            return self._cumulative(text)
        self._held.append(text)
        self._before = text
        return self._plain("") if len(self._held) > _MOST_HELD else ""

    def flush(self) -> str:
        """Returns held text when other content arrives or the answer ends."""
        self._ended = True
        if self._held and self._long() and len(self._before) == self._passed:  # only repetitions
            self._cumulative(self._before)
        return self._plain("") if self._held else ""

    def _long(self) -> bool:
        return sum(map(str.isalnum, self._before)) >= _SURE

    def _plain(self, text: str) -> str:
        self._repeats, held = False, self._held
        self._before, self._held = "", []
        return "".join(held) + text

    def _cumulative(self, text: str) -> str:
        self._repeats, self._held = True, []
        new_part, self._before = text[self._passed :], text
        return new_part

    def _new_part(self, text: str) -> str:
        if self._before.startswith(text):
            return ""
        if text.startswith(self._before):
            new_part, self._before = text[len(self._before) :], text
            return new_part
        if not self._ended:
            return self._plain(text)
        self._before, self._ended = text, False  # new thinking, after text or a call
        return text
