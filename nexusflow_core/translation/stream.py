"""AnswerStream: shared by all translated streams: writer, bound, beginning and end."""

from abc import ABC, abstractmethod
from typing import Any

from nexusflow_core.errors import AnswerUnusableError, NexusFlowError
from nexusflow_core.translation.arguments import NO_OBJECT
from nexusflow_core.translation.context import Asked
from nexusflow_core.translation.held import Held
from nexusflow_core.translation.stop_reason import CUT_SHORT, Stopped, ending
from nexusflow_core.translation.writer import MessageWriter
from nexusflow_core.usage import Billing

__all__ = ["AnswerStream"]


class AnswerStream(ABC):
    """A Messages stream made from a dialect's events. `done`: its last event, or an error, was written."""

    def __init__(self, asked: Asked) -> None:
        self.upstream_model: str | None = None
        self.stop_reason: str | None = None
        self.failure: NexusFlowError | None = None
        """The error in the error event."""
        self.noticed: list[str] = []
        """Dropped members of the answer."""
        self._stops = asked.stops
        self._held = Held()
        self._writer = MessageWriter(asked, self._held)

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
    def estimated(self) -> bool:
        """True if the usage is our estimate, because the upstream sent none."""

    @property
    def billing(self) -> Billing | None:
        """Facts that the price depends on and that `usage` has no member for."""
        return None

    @abstractmethod
    def usage(self) -> dict[str, Any] | None:
        """Returns the known usage in Anthropic's names, or None."""

    @abstractmethod
    def finalize(self) -> bytes:
        """Returns the end of the stream: waiting text, ending and final usage. See `_end`."""

    def fail(self, error: NexusFlowError) -> bytes:
        """Returns the error event that ends a failed stream."""
        if not self.done:
            self.failure = error
        return self._writer.fail(error)

    def _start(self, known: dict[str, Any], out: list[bytes]) -> None:
        """Writes message_start, with known or estimated usage."""
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
        how = ending(stopped, self._stops)
        if isinstance(how, NexusFlowError):
            return b"".join(out) + self.fail(how)
        if not whole and stopped.found is None and how.stop_reason not in CUT_SHORT:
            return b"".join(out) + self.fail(AnswerUnusableError(NO_OBJECT))
        if how.guessed and "finish_reason" not in self.noticed:
            self.noticed.append("finish_reason")
        self.stop_reason = how.stop_reason
        self._writer.end(how, self.usage() or {}, out)
        return b"".join(out)
