"""AnswerStream: shared by all translated streams: writer, bound, beginning and end.

Some lines of an upstream's stream are not a part of the answer: its end, signs of life, unreadable data.
"""

import re
from abc import ABC, abstractmethod
from typing import Any, Generic, TypeVar

import msgspec

from nexusflow_core.errors import AnswerUnusableError, NexusFlowError, UpstreamProtocolError
from nexusflow_core.sse import ServerSentEvent
from nexusflow_core.translation.arguments import NO_OBJECT
from nexusflow_core.translation.context import RequestFacts
from nexusflow_core.translation.held import Held
from nexusflow_core.translation.stop_reason import CUT_SHORT, Stopped, ending_of
from nexusflow_core.translation.usage import UsageTap
from nexusflow_core.translation.writer import MessageWriter
from nexusflow_core.usage import Billing

__all__ = ["AnswerStream", "is_done", "is_idle", "unread"]


_DONE = frozenset({b"[done]", b'"[done]"', b"'[done]'", b"done", b'"done"'})
_ALIVE = frozenset({"ping", "heartbeat", "keepalive", "keep-alive", "keep_alive"})
_WORD = re.compile(rb"\[?[A-Za-z][A-Za-z _.-]{0,40}\]?")


_Tap = TypeVar("_Tap", bound=UsageTap)


class AnswerStream(ABC, Generic[_Tap]):
    """A Messages stream made from a dialect's events. `done`: its last event, or an error, was written.

    `tap` reads the usage.
    """

    def __init__(self, facts: RequestFacts, tap: _Tap) -> None:
        self.upstream_model: str | None = None
        self.stop_reason: str | None = None
        self.failure: NexusFlowError | None = None
        """The error in the error event."""
        self.noticed: list[str] = []
        """Dropped members of the answer."""
        self._tap = tap
        self._stops = facts.stops
        self._held = Held()
        self._writer = MessageWriter(facts, self._held)

    @property
    def started(self) -> bool:
        return self._writer.started

    @property
    def done(self) -> bool:
        return self._writer.done

    @property
    @abstractmethod
    def finished(self) -> bool:
        """True if the stop reason has arrived."""

    @property
    @abstractmethod
    def written(self) -> int:
        """Bytes of the answer's content so far, to estimate output tokens."""

    @property
    def estimated(self) -> bool:
        """True if the usage is our estimate, because the upstream sent none."""
        return self.started and self._tap.estimated

    @property
    def billing(self) -> Billing | None:
        """Facts that the price depends on and that `usage` has no member for."""
        return self._tap.billing()

    def usage(self) -> dict[str, Any] | None:
        """Returns usage in Anthropic's names: the upstream's, or an estimate after the answer has begun."""
        return self._tap.usage(self.written) if self.started else self._tap.counts()

    def plain(self, data: bytes) -> bytes | None:
        """Returns the bytes of a data line that only continues the open text, else None.

        Most lines do. `decode` of the leg must return the same, and may take longer.
        """
        return None

    @abstractmethod
    def finalize(self) -> bytes:
        """Returns the end of the stream: waiting text, ending and final usage. See `_end`."""

    def fail(self, error: NexusFlowError) -> bytes:
        """Returns the error event that ends a failed stream."""
        if not self.done:
            self.failure = error
        return self._writer.fail(error)

    def _start(self, out: list[bytes]) -> None:
        """Writes message_start, with known or estimated usage."""
        known = self._tap.usage(0)
        usage = {name: count for name, count in known.items() if name != "output_tokens_details"}
        usage["output_tokens"] = 1
        self._writer.start(usage, out)

    def _overfull(self) -> bytes:
        """Returns the error event of an answer that holds back more than HELD_BYTES."""
        return self.fail(AnswerUnusableError("the upstream's answer is held back beyond every bound"))

    def _end(self, stopped: Stopped, out: list[bytes], *, whole: bool = True) -> bytes:
        """Returns `out` and the end of the stream, or an error if the answer is unusable.

        `whole`: each call has a name, and arguments that are an object.
        """
        ending = ending_of(stopped, self._stops)
        if isinstance(ending, NexusFlowError):
            return b"".join(out) + self.fail(ending)
        if not whole and stopped.found is None and ending.stop_reason not in CUT_SHORT:
            return b"".join(out) + self.fail(AnswerUnusableError(NO_OBJECT))
        if ending.guessed and "finish_reason" not in self.noticed:
            self.noticed.append("finish_reason")
        self.stop_reason = ending.stop_reason
        self._writer.end(ending, self.usage() or {}, out)
        return b"".join(out)


def is_done(data: bytes) -> bool:
    """True if a line ends the stream: `[DONE]`, in any spelling."""
    return data.strip().lower() in _DONE


def is_idle(event: ServerSentEvent) -> bool:
    """True if a line is neither a part of the answer nor an error: a ping, a word, a JSON string or number."""
    if event.event.lower() in _ALIVE or _WORD.fullmatch(event.data.strip()):
        return True  # `[KEEPALIVE]` too
    if event.data.strip()[:1] in (b"{", b"["):
        return event.data.strip() == b"[]"
    try:
        msgspec.json.decode(event.data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False
    return True


def unread(message: str, data: bytes) -> UpstreamProtocolError:
    """Returns the error for undecodable data. An object is a model's answer; other data is a server's."""
    kind = AnswerUnusableError if data.lstrip()[:1] == b"{" else UpstreamProtocolError
    return kind(message)
