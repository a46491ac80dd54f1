"""Writes a Messages stream: one state, one open block, whatever the order in which things arrive.

message_start, (content_block_start content_block_delta* content_block_stop)*, message_delta, message_stop,
or any beginning of that and one `error`.
"""

from enum import Enum, auto
from typing import Any, Protocol

from msgspec import Struct

from nexusflow_core.errors import NexusFlowError
from nexusflow_core.messages.events import (
    block_start,
    block_stop,
    error_event,
    input_json_delta,
    message_delta,
    message_start,
    message_stop,
    signature_delta,
    text_delta,
    thinking_delta,
)
from nexusflow_core.translation.context import Asked
from nexusflow_core.translation.held import Held, Pieces
from nexusflow_core.translation.ids import answer_id
from nexusflow_core.translation.stop_reason import Ending
from nexusflow_core.translation.tool_calls import CallSlot

__all__ = ["Carried", "MessageWriter"]


class _State(Enum):
    WAITING = auto()  # nothing has gone out
    BETWEEN = auto()  # message_start has, and no block is open
    THINKING = auto()
    TEXT = auto()
    TOOL = auto()
    DONE = auto()


class Carried(Protocol):
    """What must come back with the reasoning, as a dialect gathers it."""

    def take(self) -> list[dict[str, Any]]:
        """Returns all so far, once."""
        ...


class _Words(Struct):
    """Text or thinking that waits for the open call to be whole."""

    thinking: bool
    pieces: Pieces


_WORDS_BYTES = 500
"""What words that wait take beside their text."""


class MessageWriter:
    """Verbs append the bytes of their events to `out`."""

    def __init__(self, asked: Asked, held: Held) -> None:
        self._asked = asked
        self._held = held
        self._state = _State.WAITING
        self.in_text = False  # a text block is open; asked with every delta
        self.index = -1  # of the block that was opened last
        self._lead = Pieces(held)  # white space at the beginning of words that may never become visible
        self._lead_of = _State.TEXT
        self._tools = 0  # blocks of calls so far
        self._live: CallSlot | None = None
        self._queue: list[CallSlot | _Words] = []  # what waits for the open call
        self._hidden = Pieces(held)  # thinking that the client wants out of its sight
        self.carried: Carried | None = None
        """It goes with the thinking block that is open or comes next, else before a call or at the end."""

    @property
    def started(self) -> bool:
        return self._state is not _State.WAITING

    @property
    def done(self) -> bool:
        return self._state is _State.DONE

    def start(self, usage: dict[str, Any], out: list[bytes]) -> None:
        self._state = _State.BETWEEN
        out.append(message_start(id=answer_id(self._asked.request_id), model=self._asked.model, usage=usage))

    def text(self, text: str, out: list[bytes]) -> None:
        """Text of the answer; behind an open call it waits until the call is whole."""
        if self._state is _State.TEXT:
            out.append(text_delta(self.index, text))
        elif text and not self._waits(text, out, thinking=False):
            self._visible(text, out)

    def thinking(self, text: str, out: list[bytes]) -> None:
        """Reasoning, in a block of its own."""
        if text and (self._state is _State.THINKING or not self._waits(text, out, thinking=True)):
            self._think(text, out)

    def queue(self, slot: CallSlot) -> None:
        """A call begins, behind all that came before it."""
        self._queue.append(slot)

    def advance(self, out: list[bytes]) -> None:
        """Opens the calls that wait, as far as those before them are whole."""
        while self._queue and (self._live is None or self._live.complete):
            first = self._queue[0]
            if not isinstance(first, CallSlot) or not first.name:
                return
            if first.repeats_one_of and not first.complete:
                return
            self._queue.pop(0)
            first.ignored = first.ignored or (first.says_nothing and bool(self._queue))
            if _told_before(first):
                continue
            self._close(out)
            self._open_tool(first, out)

    def arguments(self, slot: CallSlot, fragment: str, out: list[bytes]) -> bool:
        """A fragment of a call's arguments. False: its call does not stand open."""
        if slot is not self._live:
            return False
        if fragment:
            out.append(input_json_delta(self.index, fragment))
        return True

    def drain(self, out: list[bytes]) -> bool:
        """Closes the open block and writes all that waits, but for entries that say nothing. False: a call
        among it never got a name."""
        self._close(out)
        for waiting in self._queue:
            self._state = _State.BETWEEN
            if isinstance(waiting, CallSlot):
                if waiting.says_nothing or _told_before(waiting):
                    waiting.ignored = True
                    continue
                if not waiting.name:
                    return False
                self._open_tool(waiting, out)
            elif waiting.thinking:
                self._think(waiting.pieces.take(), out)
            else:
                self._visible(waiting.pieces.take(), out)
            self._close(out)
        return True

    def stop(self, out: list[bytes]) -> None:
        """Closes the open block; what waits behind it is not said any more."""
        self._close(out)
        self._queue.clear()

    def end(self, how: Ending, usage: dict[str, Any], out: list[bytes]) -> None:
        """The ending and the true usage, after `drain` or `stop`."""
        self._redacted(out)
        self._state = _State.DONE
        out.append(
            message_delta(
                stop_reason=how.stop_reason,
                stop_sequence=how.stop_sequence,
                stop_details=how.stop_details,
                usage=usage,
            )
        )
        out.append(message_stop())

    def fail(self, error: NexusFlowError) -> bytes:
        """The one error event that ends a stream which went wrong."""
        if self._state is _State.DONE:
            return b""
        self._state = _State.DONE
        self.in_text = False
        return error_event(error, self._asked.request_id)

    # Blocks

    def _waits(self, text: str, out: list[bytes], *, thinking: bool) -> bool:
        """Whether words must wait for a call; else whatever is open is closed for them."""
        last = self._queue[-1] if self._queue else None
        if isinstance(last, _Words) and last.thinking is thinking:
            last.pieces.add(text)
            return True
        if last is not None or (self._live is not None and not self._live.complete):
            self._queue.append(_Words(thinking, Pieces(self._held, text)))
            self._held.bytes += _WORDS_BYTES
            return True
        self._close(out)
        return False

    def _visible(self, text: str, out: list[bytes]) -> None:
        """Opens a text block with the first visible character: Anthropic refuses blank text that comes back."""
        text = self._with_lead(text, _State.TEXT)
        if text:
            self._open(_State.TEXT, {"type": "text", "text": ""}, out)
            out.append(text_delta(self.index, text))

    def _think(self, text: str, out: list[bytes]) -> None:
        if self._state is not _State.THINKING:
            text = self._with_lead(text, _State.THINKING)
            if not text:
                return
            self._open(_State.THINKING, {"type": "thinking", "thinking": "", "signature": ""}, out)
        if self._asked.hide_thinking:
            self._hidden.add(text)
        else:
            out.append(thinking_delta(self.index, text))

    def _with_lead(self, text: str, kind: _State) -> str:
        """The text with the white space that came before it; "" while all of it is blank."""
        if kind is not self._lead_of:
            self._lead_of = kind
            self._lead.take()
        self._lead.add(text)
        return self._lead.take() if text.strip() else ""

    def _open_tool(self, slot: CallSlot, out: list[bytes]) -> None:
        self._lead.take()
        id = self._asked.tool_id(slot.id, self._tools)
        self._tools += 1
        self._redacted(out)
        if slot.thought_signature is not None:
            self._redact(self._asked.mark("signatures", {id: slot.thought_signature}), out)
        self._live = slot
        name = self._asked.names.shown(slot.name)
        self._open(_State.TOOL, {"type": "tool_use", "id": id, "name": name, "input": {}}, out)
        out.append(input_json_delta(self.index, ""))
        if arguments := slot.opened():
            out.append(input_json_delta(self.index, arguments))

    def _redacted(self, out: list[bytes]) -> None:
        """Details that found no thinking block to go with."""
        if self.carried is not None and (details := self.carried.take()):
            self._redact(self._asked.mark("details", details), out)

    def _redact(self, data: str, out: list[bytes]) -> None:
        self._open(_State.BETWEEN, {"type": "redacted_thinking", "data": data}, out)
        out.append(block_stop(self.index))

    def _open(self, state: _State, block: dict[str, Any], out: list[bytes]) -> None:
        self.index += 1
        self._state = state
        self.in_text = state is _State.TEXT
        out.append(block_start(self.index, block))

    def _close(self, out: list[bytes]) -> None:
        if self._live is not None:
            if rest := self._live.rest():
                out.append(input_json_delta(self.index, rest))
            self._live.closed = True
            self._live = None
        if self._state is _State.THINKING:
            out.append(signature_delta(self.index, self._signature()))
        if self._state in (_State.THINKING, _State.TEXT, _State.TOOL):
            out.append(block_stop(self.index))
            self._state = _State.BETWEEN
            self.in_text = False

    def _signature(self) -> str:
        details = self.carried.take() if self.carried is not None else []
        hidden = self._hidden.take()
        if details:
            return self._asked.mark("details", details)
        return self._asked.mark("hidden", hidden) if hidden else self._asked.mark("text")


def _told_before(slot: CallSlot) -> bool:
    """Whether a call is one that the client has already; then nothing more of it may go out."""
    slot.ignored = slot.ignored or slot.repeats()
    slot.repeats_one_of = ()
    return slot.ignored
