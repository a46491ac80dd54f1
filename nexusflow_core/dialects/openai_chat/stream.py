"""A Chat Completions stream as a Messages stream: one state, one open block, whatever comes in."""

from enum import Enum, auto
from typing import Any

from nexusflow_core.answers import (
    block_start,
    block_stop,
    input_json_delta,
    message_delta,
    message_start,
    message_stop,
    text_delta,
)
from nexusflow_core.dialects.openai_chat.calls import CallSlot, CallSlots
from nexusflow_core.dialects.openai_chat.ending import ending, unknown_finish
from nexusflow_core.dialects.openai_chat.names import ToolNames, answer_id, tool_id
from nexusflow_core.dialects.openai_chat.schema import (
    Choice,
    Chunk,
    Delta,
    ToolCall,
    estimated_usage,
    keep_usage,
    read_usage,
    utf8_length,
)
from nexusflow_core.dialects.openai_chat.stops import StopFinder
from nexusflow_core.dialects.openai_chat.vendors import Vendor
from nexusflow_core.errors import NexusFlowError, UpstreamProtocolError, error_event

__all__ = ["ChatStream"]

_MAX_CALLS = 256
"""Parallel calls of one answer; what comes beyond is no model's doing."""


class State(Enum):
    WAITING = auto()  # nothing has gone out
    BETWEEN = auto()  # message_start has, and no block is open
    TEXT = auto()
    TOOL = auto()
    DONE = auto()


class ChatStream:
    """Takes chunks, gives bytes. `done` once the last event, or an error event, is out."""

    def __init__(
        self,
        *,
        request_id: str,
        model: str,
        vendor: Vendor,
        names: ToolNames,
        stop_here: tuple[str, ...],
        one_call: bool,
        prompt_bytes: int,
    ) -> None:
        self.finish: str | None = None
        self.upstream_model: str | None = None
        self.stop_reason: str | None = None
        self.noticed: list[str] = []  # what of the answer had no place in Anthropic's form
        self._request_id = request_id
        self._model = model
        self._vendor = vendor
        self._names = names
        self._one_call = one_call
        self._prompt_bytes = prompt_bytes
        self._state = State.WAITING
        self._index = -1  # of the block that was opened last
        self._stops = StopFinder(stop_here)
        self._lead: list[str] = []  # white space at the beginning of a text that may never become visible
        self._refusal: list[str] = []
        self._calls = CallSlots()
        self._live: CallSlot | None = None
        self._queue: list[CallSlot | list[str]] = []  # calls, and texts in pieces, that wait for the open call
        self._usage: dict[str, Any] = {}
        self._native: str | None = None
        self._stop_text: Any = None
        self._text_bytes = 0

    @property
    def started(self) -> bool:
        return self._state is not State.WAITING

    @property
    def done(self) -> bool:
        return self._state is State.DONE

    @property
    def estimated(self) -> bool:
        """Whether the usage is a guess of ours, the upstream having told none."""
        return self.started and not self._usage

    def usage(self) -> dict[str, Any] | None:
        """Usage in Anthropic's names: the upstream's, else an estimate once there is something to estimate."""
        if self._usage:
            return read_usage(self._usage, self._vendor)
        if not self.started:
            return None
        return estimated_usage(self._prompt_bytes, self._text_bytes)

    def feed(self, chunk: Chunk) -> bytes:
        """The events of one chunk. Its failure, if it has one, is the caller's to see."""
        if self._state is State.DONE:
            return b""
        for usage in chunk.usages():
            keep_usage(self._usage, usage)
        if chunk.model:
            self.upstream_model = chunk.model
        if chunk.citations:
            self._notice("citations")
        out = [] if self.started else [self._start()]
        for choice in chunk.choices or ():
            if not choice.index:
                self._choice(choice, out)
        if self._stops.found is not None:
            out.append(self.finalize())
        return b"".join(out)

    def finalize(self) -> bytes:
        """The end: what waits, the ending, the true usage."""
        if self._state is State.DONE:
            return b""
        out: list[bytes] = []
        if self._stops.found is None:
            self._text(self._stops.flush(), out)
        self._close(out)
        for waiting in self._queue if self._stops.found is None else ():
            self._state = State.BETWEEN
            if isinstance(waiting, list):
                self._visible("".join(waiting), out)
            else:
                if not waiting.name:
                    return b"".join(out) + self.fail(UpstreamProtocolError("a tool call without a name"))
                self._open_tool(waiting, out)
            self._close(out)
        how = ending(
            self.finish,
            native=self._native,
            stop_text=self._stop_text,
            refusal="".join(self._refusal),
            calls=bool(self._calls.all),
            found=self._stops.found,
        )
        if isinstance(how, NexusFlowError):
            return b"".join(out) + self.fail(how)
        if unknown_finish(self.finish):
            self._notice("finish_reason")
        self.stop_reason = how.stop_reason
        self._state = State.DONE
        out.append(
            message_delta(
                stop_reason=how.stop_reason,
                stop_sequence=how.stop_sequence,
                stop_details=how.stop_details,
                usage=self.usage() or {},
            )
        )
        out.append(message_stop())
        return b"".join(out)

    def fail(self, error: NexusFlowError) -> bytes:
        """The one error event that ends a stream which went wrong."""
        if self._state is State.DONE:
            return b""
        self._state = State.DONE
        return error_event(error, self._request_id)

    # One chunk

    def _start(self) -> bytes:
        self._state = State.BETWEEN
        known = read_usage(self._usage, self._vendor) if self._usage else estimated_usage(self._prompt_bytes, 0)
        usage = {name: count for name, count in known.items() if name != "output_tokens_details"}
        usage["output_tokens"] = 1
        return message_start(id=answer_id(self._request_id), model=self._model, usage=usage)

    def _notice(self, what: str) -> None:
        if what not in self.noticed:
            self.noticed.append(what)

    def _choice(self, choice: Choice, out: list[bytes]) -> None:
        delta = choice.delta or choice.message
        if delta is not None:
            self._delta(delta, out)
        if choice.finish_reason and self.finish is None:
            self.finish = choice.finish_reason
        self._native = choice.native_finish_reason or self._native
        if (stop := choice.stop_string()) is not None:
            self._stop_text = stop

    def _delta(self, delta: Delta, out: list[bytes]) -> None:
        if delta.content:
            self._text(self._stops.feed(delta.text()), out)
        for what in delta.unplaced():
            self._notice(what)
        if self._stops.found is not None:
            return
        if delta.refusal:
            self._text(self._stops.flush(), out)
            self._refusal.append(delta.refusal)
            self._text(delta.refusal, out)
        if delta.tool_calls:
            for call in delta.tool_calls:
                self._call(call, out)
        if delta.function_call is not None:
            self._call(ToolCall(index=0, function=delta.function_call), out)

    # Blocks

    def _text(self, text: str, out: list[bytes]) -> None:
        if not text:
            return
        self._text_bytes += utf8_length(text)
        if self._state is State.TEXT:
            out.append(text_delta(self._index, text))
        elif self._queue:
            self._wait(text)
        elif self._live is not None and not self._live.complete():
            self._queue.append([text])
        else:
            self._close(out)
            self._visible(text, out)

    def _wait(self, text: str) -> None:
        """Text behind a call that waits, or more of a text that waits: one block in the end."""
        last = self._queue[-1]
        if isinstance(last, list):
            last.append(text)
        else:
            self._queue.append([text])

    def _visible(self, text: str, out: list[bytes]) -> None:
        """Opens a text block with the first visible character: Anthropic refuses blank text that comes back."""
        self._lead.append(text)
        if text.strip():
            text, self._lead = "".join(self._lead), []
            self._index += 1
            self._state = State.TEXT
            out.append(block_start(self._index, {"type": "text", "text": ""}))
            out.append(text_delta(self._index, text))

    def _call(self, call: ToolCall, out: list[bytes]) -> None:
        slot = self._calls.find(call)
        begins = slot is None
        if slot is None:
            slot = self._begin(call, out)
        if slot.ignored:
            return
        function = call.function
        if function is not None and function.name and not slot.name:
            slot.name = function.name
            begins = True
        fragment = slot.add(function.text()) if function is not None else ""
        self._text_bytes += utf8_length(fragment)
        if slot is self._live:
            if fragment:
                out.append(input_json_delta(self._index, fragment))
        elif slot.closed:
            if fragment.strip():  # its block is closed: the client cannot be given it any more
                self._notice("tool_calls.arguments")
        elif begins:
            self._advance(out)

    def _begin(self, call: ToolCall, out: list[bytes]) -> CallSlot:
        """A slot for a new call, behind all text that came before it."""
        self._text(self._stops.flush(), out)
        many = len(self._calls.all) >= _MAX_CALLS
        if many:
            self._notice("tool_calls")
        slot = self._calls.open(call, ignored=many or (self._one_call and bool(self._calls.all)))
        if not slot.ignored:
            self._queue.append(slot)
        return slot

    def _advance(self, out: list[bytes]) -> None:
        """Opens the calls that wait, as far as those before them are whole. Asked once a call: it reads the
        open call's arguments."""
        while self._queue and (self._live is None or self._live.complete()):
            first = self._queue[0]
            if not isinstance(first, CallSlot) or not first.name:
                return
            self._queue.pop(0)
            self._close(out)
            self._open_tool(first, out)

    def _open_tool(self, slot: CallSlot, out: list[bytes]) -> None:
        self._lead = []
        self._index += 1
        self._state = State.TOOL
        self._live = slot
        block: dict[str, Any] = {
            "type": "tool_use",
            "id": tool_id(slot.id, self._request_id, slot.number),
            "name": self._names.shown(slot.name),
            "input": {},
        }
        out.append(block_start(self._index, block))
        out.append(input_json_delta(self._index, ""))
        if arguments := slot.arguments():
            out.append(input_json_delta(self._index, arguments))

    def _close(self, out: list[bytes]) -> None:
        if self._live is not None:
            if rest := self._live.rest():
                out.append(input_json_delta(self._index, rest))
            self._live.closed = True
            self._live = None
        if self._state in (State.TEXT, State.TOOL):
            out.append(block_stop(self._index))
            self._state = State.BETWEEN
