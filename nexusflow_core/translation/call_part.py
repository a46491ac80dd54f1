"""CallPart: writes one tool call of an answer, which arrives whole or in pieces."""

from nexusflow_core.errors import AnswerUnusableError
from nexusflow_core.translation.held import Pieces, utf8_length
from nexusflow_core.translation.text_part import AnswerState
from nexusflow_core.translation.tool_calls import CallSlot

__all__ = ["CallPart"]

_CALL_BYTES = 1000
"""Estimated memory of a call without its texts, in bytes."""


class CallPart:
    """One call. Its name opens the block. Arguments before the name wait."""

    def __init__(self, state: AnswerState) -> None:
        self._state = state
        self._call: CallSlot | None = None
        self._early = Pieces(state.held)

    @property
    def opened(self) -> bool:
        return self._call is not None

    def open(self, name: str, id: str, out: list[bytes]) -> None:
        """Opens the block, and writes the waiting arguments. Replaces an id that the answer has used."""
        state = self._state
        own = id if id and id not in state.ids else None
        state.ids.add(id)
        state.held.bytes += _CALL_BYTES + len(id)
        self._call = CallSlot(state.calls, own, state.held)
        self._call.call_it(name)
        state.calls += 1
        state.writer.close(out)
        state.writer.queue(self._call)
        state.writer.advance(out)
        self.add(self._early.take(), out)

    def add(self, text: str, out: list[bytes]) -> None:
        """Takes a piece of the arguments."""
        if self._call is None:
            self._early.add(text)
            return
        fragment = self._call.add(text)
        self._state.written += utf8_length(fragment)
        self._state.writer.arguments(self._call, fragment, out)

    def whole(self, arguments: str, out: list[bytes]) -> None:
        """Takes the whole arguments, and writes their missing end."""
        if not arguments:
            return
        if self._call is None:
            early = self._early.take()
            self._early.add(arguments if arguments.startswith(early) else early)
        elif rest := self._call.beyond(arguments):
            self.add(rest, out)
        elif rest is None and not self._call.has(arguments):
            self._state.notice("tool_calls.arguments")

    def take(self) -> str:
        """Returns the waiting arguments of a call that gets no block."""
        return self._early.take()

    def close(self, out: list[bytes]) -> None:
        """Closes the block. Raises AnswerUnusableError for a call without a name."""
        if self._call is None:
            raise AnswerUnusableError("a tool call without a name")
        self._state.writer.close(out)
        self._state.readable = self._state.readable and self._call.readable
