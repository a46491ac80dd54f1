"""MessageWriter: writes a Messages stream with one state and one open block, in whatever order parts arrive.

The stream is message_start, (content_block_start content_block_delta* content_block_stop)*, message_delta,
message_stop, or a beginning of that followed by one `error`.
"""

from enum import Enum, auto
from typing import Any, Protocol

import msgspec
from msgspec import Struct

from nexusflow_core.errors import NexusFlowError
from nexusflow_core.messages.events import (
    TEXT_END,
    block_start,
    block_stop,
    citations_delta,
    error_event,
    input_json_delta,
    message_delta,
    message_start,
    message_stop,
    signature_delta,
    text_begin,
    text_delta,
    thinking_delta,
)
from nexusflow_core.translation.context import RequestFacts
from nexusflow_core.translation.held import Held, Pieces
from nexusflow_core.translation.ids import answer_id
from nexusflow_core.translation.stop_reason import Ending
from nexusflow_core.translation.tool_calls import CallSlot

__all__ = ["Carried", "MessageWriter"]

_encode = msgspec.json.Encoder().encode


class _State(Enum):
    WAITING = auto()  # nothing has been written
    BETWEEN = auto()  # after message_start, no block is open
    THINKING = auto()
    TEXT = auto()
    TOOL = auto()
    DONE = auto()


class Carried(Protocol):
    """Data that a client must send back with the reasoning, as a dialect collects it."""

    def take(self) -> list[dict[str, Any]]:
        """Returns the data collected so far, and forgets it."""
        ...


class _Words(Struct):
    """Text or thinking that waits until the open call is complete."""

    thinking: bool
    pieces: Pieces


_WORDS_BYTES = 500
"""Memory of such an entry beside its text, in bytes."""


class MessageWriter:
    """Writes a stream. Its methods append the bytes of events to `out`."""

    def __init__(self, facts: RequestFacts, held: Held) -> None:
        self._facts = facts
        self._held = held
        self._state = _State.WAITING
        self.in_text = False  # True if a text block is open; checked with every delta
        self._before_text = b""  # in each delta of the open text block
        self.index = -1  # of the last opened block
        self._lead = Pieces(held)  # leading white space, of text that may stay blank
        self._lead_of = _State.TEXT
        self._tools = 0  # tool_use blocks so far
        self._live: CallSlot | None = None
        self._queue: list[CallSlot | _Words] = []  # entries that wait for the open call
        self._hidden = Pieces(held)  # thinking whose text the client does not want
        self.carried: Carried | None = None
        """Sent with the open or next thinking block, else before a call or at the end."""

    @property
    def started(self) -> bool:
        return self._state is not _State.WAITING

    @property
    def done(self) -> bool:
        return self._state is _State.DONE

    def start(self, usage: dict[str, Any], out: list[bytes]) -> None:
        self._state = _State.BETWEEN
        out.append(message_start(id=answer_id(self._facts.request_id), model=self._facts.model, usage=usage))

    def text(self, text: str, out: list[bytes]) -> None:
        """Writes text of the answer. After an open call it waits until the call is complete."""
        if self._state is _State.TEXT:
            out.append(text_delta(self.index, text))
        elif text and not self._waits(text, out, thinking=False):
            self._visible(text, out)

    def more(self, text: str) -> bytes:
        """Returns the event of text that continues the open text block. It changes no state."""
        return self._before_text + _encode(text) + TEXT_END

    def thinking(self, text: str, out: list[bytes]) -> None:
        """Writes reasoning, in its own block."""
        if text and (self._state is _State.THINKING or not self._waits(text, out, thinking=True)):
            self._think(text, out)

    def queue(self, slot: CallSlot) -> None:
        """Adds a call, after all earlier entries."""
        self._queue.append(slot)

    def advance(self, out: list[bytes]) -> None:
        """Opens waiting calls whose predecessors are complete."""
        while self._queue and (self._live is None or self._live.complete):
            first = self._queue[0]
            if not isinstance(first, CallSlot) or not first.name:
                return
            if first.repeats_one_of and not first.complete:
                return
            self._queue.pop(0)
            first.ignored = first.ignored or (first.says_nothing and bool(self._queue))
            if _is_repeat(first):
                continue
            self._close(out)
            self._open_tool(first, out)

    def arguments(self, slot: CallSlot, fragment: str, out: list[bytes]) -> bool:
        """Writes a fragment of a call's arguments. Returns False if its block is not open."""
        if slot is not self._live:
            return False
        if fragment:
            out.append(input_json_delta(self.index, fragment))
        return True

    def drain(self, out: list[bytes]) -> bool:
        """Closes the open block, and writes all waiting entries that are not empty.

        Returns False if a call among them never got a name.
        """
        self._close(out)
        for waiting in self._queue:
            self._state = _State.BETWEEN
            if isinstance(waiting, CallSlot):
                if waiting.says_nothing or _is_repeat(waiting):
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
        """Closes the open block, and discards the waiting entries."""
        self._close(out)
        self._queue.clear()

    def end(self, ending: Ending, usage: dict[str, Any], out: list[bytes]) -> None:
        """Writes the ending and the final usage. Call it after `drain` or `stop`."""
        self._redacted(out)
        self._state = _State.DONE
        out.append(
            message_delta(
                stop_reason=ending.stop_reason,
                stop_sequence=ending.stop_sequence,
                stop_details=ending.stop_details,
                usage=usage,
            )
        )
        out.append(message_stop())

    def fail(self, error: NexusFlowError) -> bytes:
        """Returns the error event that ends a failed stream."""
        if self._state is _State.DONE:
            return b""
        self._state = _State.DONE
        self.in_text = False
        return error_event(error, self._facts.request_id)

    # Blocks of a dialect that orders them by itself

    def close(self, out: list[bytes]) -> None:
        """Closes the open block. The next text begins a new one."""
        self._lead.take()
        self._close(out)

    def sign(self, signature: str, out: list[bytes]) -> None:
        """Closes the thinking block with this signature. Without an open one, writes a block without text."""
        if self._state is not _State.THINKING:
            self.close(out)
            self._open(_State.THINKING, {"type": "thinking", "thinking": "", "signature": ""}, out)
        self._state = _State.BETWEEN
        out += signature_delta(self.index, signature), block_stop(self.index)

    def whole(self, block: dict[str, Any], out: list[bytes]) -> None:
        """Writes a block without deltas."""
        self.close(out)
        self._open(_State.BETWEEN, block, out)
        out.append(block_stop(self.index))

    def server_tool(self, id: str, name: str, arguments: str, out: list[bytes]) -> None:
        """Writes the call of a tool that the upstream runs by itself."""
        self.close(out)
        self._open(_State.BETWEEN, {"type": "server_tool_use", "id": id, "name": name, "input": {}}, out)
        out += input_json_delta(self.index, arguments), block_stop(self.index)

    def cite(self, citation: dict[str, Any], out: list[bytes]) -> None:
        """Writes a source of the open text. Without open text it is dropped."""
        if self._state is _State.TEXT:
            out.append(citations_delta(self.index, citation))

    # Blocks

    def _waits(self, text: str, out: list[bytes], *, thinking: bool) -> bool:
        """True if this text must wait for a call. Otherwise it closes the open block."""
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
        """Opens a text block at the first visible character: Anthropic refuses blank text in later requests."""
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
        if self._facts.hide_thinking:
            self._hidden.add(text)
        else:
            out.append(thinking_delta(self.index, text))

    def _with_lead(self, text: str, kind: _State) -> str:
        """Returns the text with its leading white space; "" while all of it is blank."""
        if kind is not self._lead_of:
            self._lead_of = kind
            self._lead.take()
        self._lead.add(text)
        return self._lead.take() if text.strip() else ""

    def _open_tool(self, slot: CallSlot, out: list[bytes]) -> None:
        self._lead.take()
        id = self._facts.tool_id(slot.id, self._tools)
        self._tools += 1
        self._redacted(out)
        if slot.thought_signature is not None:
            self._redact(self._facts.mark("signatures", {id: slot.thought_signature}), out)
        self._live = slot
        name = self._facts.names.shown(slot.name)
        self._open(_State.TOOL, {"type": "tool_use", "id": id, "name": name, "input": {}}, out)
        out.append(input_json_delta(self.index, ""))
        if arguments := slot.opened():
            out.append(input_json_delta(self.index, arguments))

    def _redacted(self, out: list[bytes]) -> None:
        """Writes details that have no thinking block, in a block of their own."""
        if self.carried is not None and (details := self.carried.take()):
            self._redact(self._facts.mark("details", details), out)

    def _redact(self, data: str, out: list[bytes]) -> None:
        self._open(_State.BETWEEN, {"type": "redacted_thinking", "data": data}, out)
        out.append(block_stop(self.index))

    def _open(self, state: _State, block: dict[str, Any], out: list[bytes]) -> None:
        self.index += 1
        self._state = state
        self.in_text = state is _State.TEXT
        if self.in_text:
            self._before_text = text_begin(self.index)
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
            return self._facts.mark("details", details)
        return self._facts.mark("hidden", hidden) if hidden else self._facts.mark("text")


def _is_repeat(slot: CallSlot) -> bool:
    """True if the call repeats one that the client already has. It is then ignored."""
    slot.ignored = slot.ignored or slot.repeats()
    slot.repeats_one_of = ()
    return slot.ignored
