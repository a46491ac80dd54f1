"""An answer with its quirks applied, and broken off where the directives say so."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import reduce
from itertools import chain
from typing import Any

import msgspec

from nexusflow_core.simulator.openai_chat import DONE, Answer, error_body
from nexusflow_core.simulator.reply import Reply
from nexusflow_core.sse import encode_sse
from tests.simulator.openai_chat.chunks import Chunk
from tests.simulator.openai_chat.quirks import Quirk
from tests.simulator.openai_chat.values import Object

# A stream that is to break does so after this many deltas, or before it finishes.
_DELTAS_BEFORE_BREAK = 3


class OddAnswer(msgspec.Struct, frozen=True):
    """The product's answer and what is done to it. Iterated over, it is the stream, an event each."""

    plain: Answer
    quirks: tuple[Quirk, ...]
    replied: Reply

    def body(self) -> bytes:
        """The whole answer, as a request without `stream` gets it."""
        odd, usage = self._odd()
        made = odd.whole()
        made["choices"][0]["message"] = self._shaped(odd.message())
        del made["usage"]
        if usage is not None:
            made["usage"] = usage
        return msgspec.json.encode(made)

    def __iter__(self) -> Iterator[bytes]:
        """The stream, framed."""
        framed = self._plain_frames(*self._odd())
        for quirk in self.quirks:
            framed = quirk.frames(framed)
        return framed

    def _odd(self) -> tuple[Answer, Object | None]:
        """The product's answer with another turn, and its usage, as the quirks want them."""
        odd = reduce(lambda odd, quirk: quirk.turn(odd), self.quirks, self.plain)
        usage: Object | None = odd.usage()
        for quirk in self.quirks:
            usage = None if usage is None else quirk.usage(usage)
        return odd, usage

    def _plain_frames(self, odd: Answer, usage: Object | None) -> Iterator[bytes]:
        stream: Iterable[Chunk] = chain(
            map(Chunk, odd.deltas()), (Chunk({}, odd.finish), Chunk(None, usage=usage))
        )
        for quirk in self.quirks:
            stream = quirk.chunks(stream)
        failure = self.replied.failure
        if not self.replied.breaks_off:
            yield from (self._frame(odd, chunk) for chunk in stream if _wanted(odd, chunk))
            yield DONE
            return
        yield from (self._frame(odd, chunk) for chunk in _beginning(stream))
        if failure is not None:
            yield encode_sse(msgspec.json.encode(error_data(error_body(failure), self.quirks)))

    def _frame(self, odd: Answer, chunk: Chunk) -> bytes:
        made: dict[str, Any] = odd.chunk(chunk.delta, finish=chunk.finish, usage=chunk.usage)
        for choice in made["choices"]:
            choice |= {"delta": self._shaped(choice["delta"]), **chunk.choice_extra}
        return encode_sse(msgspec.json.encode({**made, **chunk.extra}))

    def _shaped(self, holder: Object) -> Object:
        return reduce(lambda shaped, quirk: quirk.holder(shaped), self.quirks, holder)


def error_data(body: Object, quirks: tuple[Quirk, ...]) -> Object:
    """An error's body in the form that the quirks give it."""
    return reduce(lambda shaped, quirk: quirk.error(shaped), quirks, body)


def _wanted(odd: Answer, chunk: Chunk) -> bool:
    """Usage in a chunk of its own is for those who asked; where it stands elsewhere, for all."""
    return chunk.delta is not None or bool(chunk.extra) or (odd.include_usage and chunk.usage is not None)


def _beginning(stream: Iterable[Chunk]) -> Iterator[Chunk]:
    deltas = -1  # the first chunk has only the role
    for chunk in stream:
        over = chunk.finish or (chunk.delta is None and chunk.usage is not None)
        if over or deltas == _DELTAS_BEFORE_BREAK:
            return
        yield chunk
        deltas += chunk.delta is not None
