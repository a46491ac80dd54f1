"""Tool calls of an answer: assigns fragments to calls in spite of odd indices and ids; finds repeated calls."""

from nexusflow_core.dialects.openai_chat.schema import Delta, ToolCall
from nexusflow_core.dialects.openai_chat.vendors import ChatRequestFacts
from nexusflow_core.dialects.openai_chat.words import StreamWords
from nexusflow_core.translation.arguments import NO_ARGUMENTS, read_arguments
from nexusflow_core.translation.held import Held, utf8_length
from nexusflow_core.translation.tool_calls import CallSlot
from nexusflow_core.translation.writer import MessageWriter

__all__ = ["StreamCalls", "distinct_calls"]

_CALL_BYTES = 1000
"""Memory of a call beside its texts, in bytes, also for an ignored one."""

_ID_BYTES = 150

_OLD_FORM = -1
"""The index of `function_call`, the predecessor of `tool_calls`."""


def distinct_calls(message: Delta) -> list[ToolCall]:
    """Returns the calls of a whole message, each once. Entries without name and arguments are left out.

    Calls with equal id, name and arguments are one call. `function_call` may repeat one of `tool_calls`.
    """
    found: list[ToolCall] = []
    for call in message.tool_calls or ():
        id = call.given_id()
        if not call.says_nothing() and not any(
            id is not None and id == one.given_id() and _says_the_same(call, one) for one in found
        ):
            found.append(call)
    old = ToolCall(index=_OLD_FORM, function=message.function_call)
    if not old.says_nothing() and not any(_says_the_same(old, one) for one in found):
        found.append(old)
    return found


def _says_the_same(call: ToolCall, other: ToolCall) -> bool:
    one, two = call.called(), other.called()
    if one is None or two is None or one.name != two.name:
        return False
    if one.text() == two.text():
        return True
    read = read_arguments(one.text())
    return read is not None and read == read_arguments(two.text())


class CallSlots:
    """All calls of a stream, in the order they began."""

    def __init__(self, held: Held) -> None:
        self._held = held
        self.all: list[CallSlot] = []
        self._last: CallSlot | None = None
        self._by_index: dict[int, CallSlot] = {}
        self._by_id: dict[str, CallSlot] = {}
        self._delta = 0

    def next_delta(self) -> None:
        """Notes a new delta: two entries of one delta are more likely two calls."""
        self._delta += 1

    def find(self, call: ToolCall) -> CallSlot | None:
        """Returns the slot that a fragment continues, or None if it begins a new call."""
        id, name = call.given_id(), _name(call)
        slot = self._candidate(call, id, name)
        if slot is None or not self._goes_on(slot, call, id, name):
            return None
        if call.index is not None:
            self._by_index[call.index] = slot
        if id is not None and id not in self._by_id:
            self._by_id[id] = slot
            self._held.bytes += len(id) + _ID_BYTES
            slot.id, slot.many_ids = slot.id or id, slot.given is not None
        return slot

    def begin(self, call: ToolCall, *, ignored: bool = False) -> CallSlot:
        """Returns the slot of a new call. An id already used in this answer (old Ollama) is ignored.

        Such a call may repeat the earlier one.
        """
        id, before = call.given_id(), self._last if call.index is None else self._by_index.get(call.index)
        self._held.bytes += len(id or "") + _CALL_BYTES
        same_id = self._by_id.get(id) if id is not None else None
        slot = CallSlot(len(self.all), id if same_id is None else None, self._held, ignored=ignored)
        slot.delta, slot.given = self._delta, id
        if same_id is not None:
            slot.repeats_one_of = (same_id, *(one for one in self.all if one.given == id))
        if before is not None and before.named_again and _name(call) is None:
            slot.name = before.name
            slot.repeats_one_of = (before,) if before.named_again == "by id" else slot.repeats_one_of
        slot.needs_arguments = before is not None and before.many_ids and before.name == _name(call)
        if call.index == _OLD_FORM:
            slot.repeats_one_of = tuple(self.all)
        elif (old := self._by_index.get(_OLD_FORM)) is not None and not slot.repeats_one_of:
            slot.repeats_one_of = (old,)
        self._last = slot
        if not ignored:
            self.all.append(slot)
        if call.index is not None:
            self._by_index[call.index] = slot
        if id is not None:
            self._by_id[id] = slot
        return slot

    def find_repeated(self, call: ToolCall, taken: set[int]) -> tuple[CallSlot, str] | None:
        """Returns the slot of a call that a whole message repeats, and its additional arguments.

        None for a new call. `taken`: numbers of slots that belong to other calls of the message.
        """
        id, name, function = call.given_id(), _name(call), call.called()
        arguments = function.text() if function is not None else ""
        known = [slot for slot in self.all if slot.name == name and not slot.ignored]
        free = [slot for slot in known if slot.number not in taken]
        free.sort(key=lambda slot: slot.id != id)  # the slot with this id first
        for slot in free:
            if slot.has(arguments):
                return slot, ""
        for slot in free:
            if (rest := slot.beyond(arguments)) is not None:
                return slot, rest
        return None

    def _candidate(self, call: ToolCall, id: str | None, name: str | None) -> CallSlot | None:
        owner, last = self._by_id.get(id) if id is not None else None, self._last
        if call.index is None:
            return owner or last
        slot = self._by_index.get(call.index)
        if owner is not None and owner is not slot and (slot is None or slot.given != id):
            open_there = slot is not None and owner.name == name and owner.begun and not owner.complete
            if name is None or open_there:
                return owner
        if slot is not None or last is None or last.complete or call.index == _OLD_FORM:
            return slot
        if name is None:
            return last  # some vendors change the index within one call
        same = id is not None and name == last.name and last.begun
        return last if same and not _could_begin(_arguments(call)) else None

    def _goes_on(self, slot: CallSlot, call: ToolCall, id: str | None, name: str | None) -> bool:
        """True if a fragment continues a slot.

        Before the arguments are complete only another name begins a new call. After that also a new id does, or
        arguments with or after a name.
        """
        new_id = id is not None and id not in self._by_id
        visible = bool(_arguments(call).strip())
        if name is None:
            return not (slot.complete and visible and (new_id or slot.named_again))
        if slot.complete:
            own_id = id is None or id == slot.given or self._by_id.get(id) is slot
            return own_id and not visible
        if slot.name and name != slot.name:
            unplaced = call.index is None and (id is None or new_id)
            return not (slot.begun or unplaced or (new_id and slot.id is not None))
        if slot.only_placeholder and (new_id or (id is None and call.index is None)):
            return False
        if slot.begun or not new_id or slot.id is None:
            return True
        return visible and call.index is not None and slot.delta != self._delta


def _could_begin(arguments: str) -> bool:
    """True if a fragment looks like the beginning of arguments."""
    text = arguments.strip()
    return not text or text[0] == "{" or text in NO_ARGUMENTS


def _name(call: ToolCall) -> str | None:
    function = call.called()
    return function.name if function is not None and (function.name or "").strip() else None


def _arguments(call: ToolCall) -> str:
    function = call.called()
    return function.text() if function is not None else ""


# Writing calls

_MAX_CALLS = 256
"""Bound on the parallel calls of one answer. No model makes as many."""


class StreamCalls:
    """Takes the calls of deltas and whole messages, and writes their new parts."""

    def __init__(self, facts: ChatRequestFacts, writer: MessageWriter, words: StreamWords, held: Held) -> None:
        self.written = 0
        """Bytes of arguments written."""
        self._facts = facts
        self._writer = writer
        self._words = words
        self._held = held
        self._slots = CallSlots(held)

    @property
    def any(self) -> bool:
        """True if the answer has a call."""
        return any(not slot.ignored for slot in self._slots.all)

    @property
    def whole(self) -> bool:
        """True if each call has a name, and arguments that are an object or empty."""
        slots = self._slots.all
        return all(slot.ignored or slot.says_nothing or (slot.name and slot.readable) for slot in slots)

    def take(self, delta: Delta, out: list[bytes]) -> None:
        """Takes the calls of a delta, or their fragments."""
        self._slots.next_delta()
        for call in delta.tool_calls or ():
            self._fragment(call, out)
        if delta.function_call is not None:
            self._fragment(ToolCall(index=_OLD_FORM, function=delta.function_call), out)

    def take_whole(self, message: Delta, out: list[bytes]) -> None:
        """Takes the calls of a whole message: new ones, and new parts of the others."""
        taken: set[int] = set()
        for call in distinct_calls(message):
            repeated = self._slots.find_repeated(call, taken)
            if repeated is not None:
                slot, rest = repeated
                taken.add(slot.number)
                self._arguments(slot, rest, out)
            elif self._words.past_text(out):
                call.index = None  # it must not match another call's index
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
        ignored = many or (self._facts.one_call and bool(self._slots.all))
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
            if text.strip() and not slot.has(text):  # too late: the block is closed
                self._words.notice("tool_calls.arguments")
            return
        fragment = slot.add(text)
        self.written += utf8_length(fragment)
        if self._writer.arguments(slot, fragment, out):
            return
        if slot.ready and not was_ready:
            self._writer.advance(out)
