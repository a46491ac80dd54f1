"""Checkpoints: reads a conversation's request from where it parts from the one before.

A client sends the whole conversation each time, and its bytes stay the same up to the last few messages. Hashes
of the bytes show that, so most of a request is neither decoded nor hashed block by block. Where the counts of
the answer prove it, the bytes are not even hashed.
"""

import re
from collections import OrderedDict
from collections.abc import Callable
from hashlib import blake2b
from typing import Any, Final, TypeAlias

import msgspec
from msgspec import Raw, Struct
from msgspec.structs import replace

from nexusflow_core.caching.messages_prompt import (
    BILLING_HEADER,
    citations_and_images,
    read_messages_prompt,
    read_more_messages,
)
from nexusflow_core.caching.prompt import HASH_BYTES, Prompt
from nexusflow_core.caching.rules import ANTHROPIC, Rules
from nexusflow_core.errors import InvalidRequestError
from nexusflow_core.json_spans import count_values
from nexusflow_core.peek import Peek
from nexusflow_core.untyped import MALFORMED

__all__ = ["MAX_BLOCKS", "MAX_BYTES", "MAX_HELD_BLOCKS", "MAX_SESSIONS", "MAX_VALUES", "Checkpoints"]

MAX_BYTES: Final = 4 * 1024 * 1024
MAX_VALUES: Final = 50_000
MAX_BLOCKS: Final = 2_048
"""Bounds on a request: one beyond them is not read."""

MAX_SESSIONS: Final = 1_024
MAX_HELD_BLOCKS: Final = 65_536
"""Bounds on what is remembered: conversations, and their blocks together. The oldest are forgotten."""

_MAY_CHANGE: Final = 8
"""How many messages at the end may lose or get a breakpoint in the next request."""

_MAX_PIECES: Final = 64
_MARKED: Final = b'"cache_control"'
_BLANKS: Final = b", \t\r\n"

_KEY_BYTES: Final = 1_024

_BILLING: Final = re.compile(b'"text"[ \t\r\n]*:[ \t\r\n]*"' + BILLING_HEADER.encode() + rb'(?:[^"\\]|\\.)*"')
Proved: TypeAlias = Callable[[Prompt, int], bool]
"""Says whether the answer's counts prove that the vendor found so many blocks of a prompt in its cache."""

_spans = msgspec.json.Decoder(list[Raw])
_values = msgspec.json.Decoder()
_object = msgspec.json.Decoder(dict[str, Any])


class _Message(Struct):
    """A message whose blocks are not decoded yet."""

    role: Any = None
    content: str | list[dict[str, Raw]] | None = None


_message = msgspec.json.Decoder(_Message)


class _Rest(Struct):
    """The one member that a longer prompt needs again: the rest is in the hash around the messages."""

    cache_control: Any = None


_rest = msgspec.json.Decoder(_Rest)


class _Kept(Struct):
    """The first messages of a request, that its next one will repeat: how many, what is among them (citations,
    images), and the hashes of their bytes, in pieces that end at these offsets."""

    count: int
    seen: tuple[bool, bool]
    pieces: tuple[tuple[int, int], ...]

    @property
    def end(self) -> int:
        return self.pieces[-1][0] if self.pieces else 0

    def stands_in(self, messages: memoryview) -> bool:
        """Returns whether these messages begin with the same bytes."""
        at = 0
        for end, hashed in self.pieces:
            if hash(bytes(messages[at:end])) != hashed:
                return False
            at = end
        return True


_NONE_KEPT: Final = _Kept(0, (False, False), ())


class _Checkpoint(Struct):
    """The last prompt of a conversation. `around` is the hash of the bytes around its messages, `outside` how
    many bytes are before and behind them."""

    prompt: Prompt
    kept: _Kept
    around: int
    outside: tuple[int, int]
    cache_control: Any

    @property
    def blocks(self) -> int:
        """The number of the prompt's blocks that the next request will repeat."""
        starts, count = self.prompt.messages, self.kept.count
        return starts[count] if count < len(starts) else len(self.prompt.prefixes)


class Checkpoints:
    """The last prompt of each conversation: hashes and sizes, never content, and boundedly many."""

    def __init__(self, sessions: int = MAX_SESSIONS, blocks: int = MAX_HELD_BLOCKS) -> None:
        self._sessions, self._blocks = sessions, blocks
        self._held: OrderedDict[tuple[str, str | int], _Checkpoint] = OrderedDict()
        self._held_blocks = 0
        self.read_on = 0
        """Requests of which only the end was read."""

    def __len__(self) -> int:
        """How many conversations are remembered."""
        return len(self._held)

    def read(
        self,
        seen: Peek,
        rules: Rules = ANTHROPIC,
        *,
        model: str,
        scope: str,
        session: str | None,
        proved: Proved | None = None,
    ) -> Prompt | None:
        """Returns the prompt of a request, with hashes in place of its parameters; None beyond the bounds.

        `proved` is asked for a conversation that may have been continued. Where it agrees, the bytes that the
        request repeats are not compared. Raises InvalidRequestError for breakpoints that the API refuses, and
        the errors of MALFORMED.
        """
        text, span = seen.text, seen.messages
        if len(text) > MAX_BYTES:
            return None
        if span is None:
            return _whole(text, rules, model, scope)
        messages = memoryview(text)[span[0] : span[1]]
        key = (f"{model}\0{scope}", hash(bytes(messages[:_KEY_BYTES])) if session is None else session)
        before = self._take(key)
        outside = span[0], len(text) - span[1]
        found = None
        if before is not None and proved is not None and before.outside == outside:
            found = _likely(before, messages)
            if found is not None and not proved(found.prompt, before.blocks):
                found = None
        around = _around(text, span) if found is None else found.around
        repeats = before is not None and before.around == around
        if before is not None and found is None and repeats and before.kept.stands_in(messages):
            found = _read_on(before, messages, outside)
        self.read_on += found is not None
        found = found or _read_whole(text, messages, around, outside, rules, model, scope)
        if found is None or len(found.prompt.prefixes) > MAX_BLOCKS:
            return None
        self._hold(key, found)
        return found.prompt

    def _take(self, key: tuple[str, str | int]) -> _Checkpoint | None:
        found = self._held.pop(key, None)
        if found is not None:
            self._held_blocks -= len(found.prompt.prefixes)
        return found

    def _hold(self, key: tuple[str, str | int], checkpoint: _Checkpoint) -> None:
        self._held[key] = checkpoint
        self._held_blocks += len(checkpoint.prompt.prefixes)
        while len(self._held) > self._sessions or self._held_blocks > self._blocks:
            self._take(next(iter(self._held)))


def _likely(before: _Checkpoint, messages: memoryview) -> _Checkpoint | None:
    """The next checkpoint, if the request repeats the bytes that were kept; None if it surely does not."""
    try:
        return _read_on(before, messages, before.outside)
    except (InvalidRequestError, *MALFORMED):  # the bytes differ there; the exact reading says what they are
        return None


def _around(text: bytes, span: tuple[int, int]) -> int:
    """The hash of all bytes around the messages, without the billing header of Claude Code."""
    around = b"".join((text[: span[0]], text[span[1] :]))
    return hash(_BILLING.sub(b"", around) if BILLING_HEADER.encode() in around else around)


def _whole(text: bytes, rules: Rules, model: str, scope: str) -> Prompt | None:
    if count_values(text, MAX_VALUES) > MAX_VALUES:
        return None
    prompt = read_messages_prompt(_object.decode(text), rules=rules, model=model, scope=scope)
    hashed = {
        name: blake2b(value, digest_size=HASH_BYTES).digest() for name, value in prompt.parameters.items()
    }
    return None if len(prompt.prefixes) > MAX_BLOCKS else replace(prompt, parameters=hashed)


def _read_whole(
    text: bytes,
    messages: memoryview,
    around: int,
    outside: tuple[int, int],
    rules: Rules,
    model: str,
    scope: str,
) -> _Checkpoint | None:
    prompt = _whole(text, rules, model, scope)
    if prompt is None:
        return None
    end = bytes(messages)
    kept = _longer(_NONE_KEPT, messages, end, _spans.decode(end), _values.decode(end))
    return _Checkpoint(prompt, kept, around, outside, _rest.decode(text).cache_control)


def _read_on(before: _Checkpoint, messages: memoryview, outside: tuple[int, int]) -> _Checkpoint | None:
    """The next checkpoint of a conversation; None where the request must be read as a whole."""
    kept, prompt = before.kept, before.prompt
    if not kept.count or prompt.messages[kept.count - 1] >= len(prompt.prefixes):
        return None
    end = b"[" + bytes(messages[kept.end :]).lstrip(_BLANKS)
    if count_values(end, MAX_VALUES) > MAX_VALUES:
        return None
    spans = _spans.decode(end)
    try:
        more = [_opened(_message.decode(span)) for span in spans]
    except msgspec.ValidationError:  # another form: it is read as a whole
        return None
    seen = citations_and_images(more)
    if _either(kept.seen, seen) != ("citations" in prompt.parameters, "images" in prompt.parameters):
        return None
    found = read_more_messages(prompt, kept.count, more, before.cache_control)
    if found is None:
        return None
    kept = _longer(kept, messages, end, spans, more if any(seen) else [])
    return _Checkpoint(found, kept, before.around, outside, before.cache_control)


def _opened(message: _Message) -> dict[str, Any]:
    """A message with its blocks decoded, but for a result that is a text as the encoder would write it."""
    content = message.content
    if isinstance(content, list):
        blocks = [
            {
                name: raw if name == "content" and _is_written_alike(raw) else _values.decode(raw)
                for name, raw in block.items()
            }
            for block in content
        ]
        return {"role": message.role, "content": blocks}
    return {"role": message.role, "content": content}


def _is_written_alike(raw: Raw) -> bool:
    """Returns whether a value is a string in which all that need not be escaped is not."""
    text = bytes(raw)
    return text.startswith(b'"') and b"\\u" not in text and b"\\/" not in text


def _longer(kept: _Kept, messages: memoryview, end: bytes, spans: list[Raw], more: list[Any]) -> _Kept:
    """What the next request will repeat: what was kept, and some of the messages behind it.

    Their JSON is `end`, that of each is in `spans`. `more` are they decoded, if one has an image or citations.
    """
    count, at = 0, 1
    for number, span in enumerate(spans):
        said = bytes(span)
        if len(spans) - number <= _MAY_CHANGE and said.rfind(_MARKED) >= 0:  # twice as fast as `in`
            break
        at = end.index(said, at) + len(said)
        count = number + 1
    if not count:
        return kept
    stop = len(messages) - len(end) + at
    piece = (stop, hash(bytes(messages[kept.end : stop])))
    pieces = (*kept.pieces, piece)
    if len(pieces) > _MAX_PIECES:
        pieces = ((stop, hash(bytes(messages[:stop]))),)
    return _Kept(kept.count + count, _either(kept.seen, citations_and_images(more[:count])), pieces)


def _either(one: tuple[bool, bool], other: tuple[bool, bool]) -> tuple[bool, bool]:
    return one[0] or other[0], one[1] or other[1]
