"""What every translated stream shares: its writer, its bound, its beginning and its end."""

from abc import ABC, abstractmethod
from typing import Any

from nexusflow_core.errors import AnswerUnusableError, NexusFlowError
from nexusflow_core.translation.arguments import NO_OBJECT
from nexusflow_core.translation.context import Asked
from nexusflow_core.translation.held import HELD_BYTES, Held
from nexusflow_core.translation.stop_reason import CUT_SHORT, Stopped, ending
from nexusflow_core.translation.writer import MessageWriter
from nexusflow_core.usage import Billing

__all__ = ["AnswerStream"]


class AnswerStream(ABC):
    """A Messages stream that a dialect makes of its own events. `done` once the last event, or an error event,
    is out."""

    def __init__(self, asked: Asked) -> None:
        self.upstream_model: str | None = None
        self.stop_reason: str | None = None
        self.failure: NexusFlowError | None = None
        """What the error event said."""
        self.noticed: list[str] = []
        """Members of the answer that have no place in Anthropic's form."""
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
        """Whether the reason why the answer stopped has come."""

    @property
    @abstractmethod
    def estimated(self) -> bool:
        """Whether the usage is an estimate of ours, since the upstream gave none."""

    @property
    def billing(self) -> Billing | None:
        """What the bill needs and `usage` has no name for."""
        return None

    @abstractmethod
    def usage(self) -> dict[str, Any] | None:
        """Returns usage in Anthropic's names, as far as it is known; None while nothing is known."""

    @abstractmethod
    def finalize(self) -> bytes:
        """Returns the end: what waits, the ending, the true usage. See `_end`."""

    def fail(self, error: NexusFlowError) -> bytes:
        """Returns the one error event that ends a stream which went wrong."""
        if not self.done:
            self.failure = error
        return self._writer.fail(error)

    def _start(self, known: dict[str, Any], out: list[bytes]) -> None:
        """Writes message_start with the usage that is known, or estimated, by now."""
        usage = {name: count for name, count in known.items() if name != "output_tokens_details"}
        usage["output_tokens"] = 1
        self._writer.start(usage, out)

    def _overfull(self) -> bytes:
        """Returns the error event of an answer that holds back too much; nothing while it does not."""
        if self._held.bytes <= HELD_BYTES:
            return b""
        return self.fail(AnswerUnusableError("the upstream's answer is held back beyond every bound"))

    def _end(self, stopped: Stopped, out: list[bytes], *, whole: bool = True) -> bytes:
        """Returns `out` and the end of the stream, an error where the answer cannot be used. `whole`: each call
        has a name, and arguments that are an object."""
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
