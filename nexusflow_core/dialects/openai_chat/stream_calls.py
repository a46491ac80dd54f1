"""The tool calls of a stream on their way to the client, each told once."""

from nexusflow_core.dialects.openai_chat.calls import OLD_FORM, CallSlots, distinct_calls
from nexusflow_core.dialects.openai_chat.context import ChatAsked
from nexusflow_core.dialects.openai_chat.schema import Delta, ToolCall
from nexusflow_core.dialects.openai_chat.stream_words import StreamWords
from nexusflow_core.dialects.openai_chat.writer import MessageWriter
from nexusflow_core.translation.held import Held, utf8_length
from nexusflow_core.translation.tool_calls import CallSlot

__all__ = ["StreamCalls"]

_MAX_CALLS = 256
"""Parallel calls of one answer; what comes beyond is no model's doing."""


class StreamCalls:
    """Takes the calls of deltas and of whole messages; writes what is new of them."""

    def __init__(self, asked: ChatAsked, writer: MessageWriter, words: StreamWords, held: Held) -> None:
        self.written = 0
        """Bytes of arguments that were said."""
        self._asked = asked
        self._writer = writer
        self._words = words
        self._held = held
        self._slots = CallSlots(held)

    @property
    def any(self) -> bool:
        """Whether the answer has a call."""
        return any(not slot.ignored for slot in self._slots.all)

    @property
    def whole(self) -> bool:
        """Whether each call has a name, and arguments that are an object or nothing."""
        slots = self._slots.all
        return all(slot.ignored or slot.says_nothing or (slot.name and slot.readable) for slot in slots)

    def take(self, delta: Delta, out: list[bytes]) -> None:
        """The calls of a delta, or their fragments."""
        self._slots.next_delta()
        for call in delta.tool_calls or ():
            self._fragment(call, out)
        if delta.function_call is not None:
            self._fragment(ToolCall(index=OLD_FORM, function=delta.function_call), out)

    def take_whole(self, message: Delta, out: list[bytes]) -> None:
        """The calls of a whole message: those that are new, and what is new of the others."""
        taken: set[int] = set()
        for call in distinct_calls(message):
            told = self._slots.told_before(call, taken)
            if told is not None:
                slot, rest = told
                taken.add(slot.number)
                self._arguments(slot, rest, out)
            elif self._words.past_text(out):
                call.index = None  # none of another call's
                slot = self._begin(call)
                taken.add(slot.number)
                self._go_on(slot, call, out)

    def _fragment(self, call: ToolCall, out: list[bytes]) -> None:
        slot = self._slots.find(call)
        if slot is None and call.says_nothing() and call.given_id() is None:
            return
        if slot is None and self._words.past_text(out):
            slot = self._begin(call)
        if slot is not None and self._words.found is None:
            self._go_on(slot, call, out)

    def _begin(self, call: ToolCall) -> CallSlot:
        many = len(self._slots.all) >= _MAX_CALLS
        if many:
            self._words.notice("tool_calls")
        ignored = many or (self._asked.one_call and bool(self._slots.all))
        slot = self._slots.begin(call, ignored=ignored)
        if not ignored:
            self._writer.queue(slot)
        return slot

    def _go_on(self, slot: CallSlot, call: ToolCall, out: list[bytes]) -> None:
        function = call.called()
        if slot.ignored or function is None:
            return
        was_ready = slot.ready
        if function.name and function.name.strip():
            slot.call_it(function.name, own_id=call.given_id() is not None)
        if signature := call.thought_signature():
            slot.thought_signature = signature
            self._held.bytes += len(signature)
        self._arguments(slot, function.text(), out, was_ready=was_ready)

    def _arguments(self, slot: CallSlot, text: str, out: list[bytes], *, was_ready: bool = True) -> None:
        if slot.closed:
            if text.strip() and not slot.has(text):  # the client cannot be given it any more
                self._words.notice("tool_calls.arguments")
            return
        fragment = slot.add(text)
        self.written += utf8_length(fragment)
        if self._writer.arguments(slot, fragment, out):
            return
        if slot.ready and not was_ready:
            self._writer.advance(out)
