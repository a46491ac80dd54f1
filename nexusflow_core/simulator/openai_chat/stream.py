"""An answer as bytes: one JSON object, or the framed chunks of a stream, with its quirks applied."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import reduce

import msgspec

from nexusflow_core.simulator.directives import Directives
from nexusflow_core.simulator.jsonvalue import Json, Object, encode_json
from nexusflow_core.simulator.openai_chat.answer import Chunk, Turn, chunks, message
from nexusflow_core.simulator.openai_chat.failures import error_body
from nexusflow_core.simulator.openai_chat.quirks import Quirk

CREATED = 1_767_225_600  # no clock here: each answer is of 2026-01-01
DONE = b"data: [DONE]\n\n"

# A stream that is to break does so after this many deltas, or before it finishes.
_DELTAS_BEFORE_BREAK = 3


class Answer(msgspec.Struct, frozen=True):
    """All that one answer is made of; `turn` and `usage` are as the quirks want them."""

    id: str
    model: str
    turn: Turn
    usage: Object | None
    include_usage: bool
    quirks: tuple[Quirk, ...]
    directives: Directives

    def body(self) -> bytes:
        """The whole answer, as a request without `stream` gets it."""
        choice: Object = {"index": 0, "message": self._shaped(message(self.turn))}
        choice |= {"logprobs": None, "finish_reason": self.turn.finish}
        made = self._envelope("chat.completion", [choice])
        if self.usage is not None:
            made["usage"] = self.usage
        return encode_json(made)

    def frames(self) -> Iterator[bytes]:
        """The stream, framed; broken off where the directives say so."""
        framed = self._plain_frames()
        for quirk in self.quirks:
            framed = quirk.frames(framed)
        return framed

    def _plain_frames(self) -> Iterator[bytes]:
        stream: Iterable[Chunk] = chunks(self.turn, self.usage)
        for quirk in self.quirks:
            stream = quirk.chunks(stream)
        failure, truncate = self.directives.failure, self.directives.truncate
        if failure is None and not truncate:
            yield from map(self._frame, filter(self._wanted, stream))
            yield DONE
            return
        yield from map(self._frame, _beginning(stream))
        if failure is not None:
            yield frame(error_data(error_body(failure), self.quirks))

    def _wanted(self, chunk: Chunk) -> bool:
        """Usage in a chunk of its own is for those who asked; where it stands elsewhere, for all."""
        return chunk.delta is not None or bool(chunk.extra) or (self.include_usage and chunk.usage is not None)

    def _frame(self, chunk: Chunk) -> bytes:
        choices: list[Json] = []
        if chunk.delta is not None:
            choice: Object = {"index": 0, "delta": self._shaped(chunk.delta)}
            choices = [{**choice, "logprobs": None, "finish_reason": chunk.finish, **chunk.choice_extra}]
        made = self._envelope("chat.completion.chunk", choices)
        if self.include_usage or chunk.usage is not None:
            made["usage"] = chunk.usage
        return frame({**made, **chunk.extra})

    def _shaped(self, holder: Object) -> Object:
        return reduce(lambda shaped, quirk: quirk.holder(shaped), self.quirks, holder)

    def _envelope(self, kind: str, choices: list[Json]) -> Object:
        return {
            "id": self.id,
            "object": kind,
            "created": CREATED,
            "model": self.model,
            "service_tier": "default",
            "system_fingerprint": "fp_simulated",
            "choices": choices,
        }


class Frames(msgspec.Struct, frozen=True):
    """The frames of a streamed answer; each iteration makes them anew."""

    answer: Answer

    def __iter__(self) -> Iterator[bytes]:
        """One chunk a frame."""
        return self.answer.frames()


def frame(data: Json) -> bytes:
    """A `data:` line and an empty one."""
    return b"data: %b\n\n" % encode_json(data)


def error_data(body: Object, quirks: tuple[Quirk, ...]) -> Object:
    """An error's body in the form that the quirks give it."""
    return reduce(lambda shaped, quirk: quirk.error(shaped), quirks, body)


def _beginning(stream: Iterable[Chunk]) -> Iterator[Chunk]:
    deltas = -1  # the first chunk has only the role
    for chunk in stream:
        over = chunk.finish or (chunk.delta is None and chunk.usage is not None)
        if over or deltas == _DELTAS_BEFORE_BREAK:
            return
        yield chunk
        deltas += chunk.delta is not None
