"""The tool calls of a stream: which fragment belongs to which call, whatever a vendor makes of index and id."""

from nexusflow_core.dialects.openai_chat.json_end import JSONEnd
from nexusflow_core.dialects.openai_chat.pieces import Held, Pieces
from nexusflow_core.dialects.openai_chat.schema import ToolCall

__all__ = ["CallSlot", "CallSlots"]

_CALL_BYTES = 1000
"""What is known of a call beside its texts, of one too many as well."""

_PLACEHOLDERS = ("{}", "null")


class CallSlot:
    """One tool call as it arrives. `ignored`: one too many; its fragments must not reach another call."""

    def __init__(self, number: int, id: str | None, held: Held, *, ignored: bool = False) -> None:
        self.number = number
        self.id = id
        self.name = ""
        self.ignored = ignored
        self.named_again = False
        """Its name came once more behind whole arguments: what follows is another call's."""
        self.closed = False
        self.thought_signature: str | None = None
        self._kept = held
        self._end = JSONEnd()
        self._waiting: Pieces | None = Pieces(held)  # arguments, until the block is open
        self._held = ""  # a first fragment that may be a mere placeholder for what follows (PITFALLS A6)

    @property
    def begun(self) -> bool:
        """Whether arguments have come."""
        return self._end.begun or bool(self._held)

    @property
    def ready(self) -> bool:
        """Whether its block can be opened: while no arguments have come, the name may still grow."""
        return self.begun and bool(self.name)

    @property
    def complete(self) -> bool:
        """Whether the arguments are a whole JSON value. A placeholder is none, before the end."""
        return self._end.reached

    def call_it(self, name: str) -> None:
        """Takes a name, or a further piece of one that comes in pieces; some vendors repeat it instead."""
        self.named_again = self.complete
        if not self.name or (not self.begun and name != self.name):
            self.name += name
            self._kept.bytes += len(name)

    def add(self, fragment: str) -> str:
        """Takes a fragment; returns what of it is sure to be part of the input."""
        if not fragment:
            return ""
        if not self._end.begun:
            text = self._held + fragment
            if text.strip() == "{}" or "null".startswith(text.strip()):  # in pieces too, with blanks around it
                self._held = text.strip()
                return ""
            fragment = fragment if self._held in _PLACEHOLDERS else text
            self._held = ""
        self._end.feed(fragment)
        if self._waiting is not None:
            self._waiting.add(fragment)
        return fragment

    def opened(self) -> str:
        """Its block is open: all that has come so far. What comes from now on is not kept."""
        waiting, self._waiting = self._waiting, None
        return waiting.take() if waiting is not None else ""

    def rest(self) -> str:
        """What is left at the end: a placeholder after which nothing came means an input without members."""
        return "{}" if self._held in _PLACEHOLDERS else self._held


class CallSlots:
    """All calls of an answer, in the order in which they began."""

    def __init__(self, held: Held) -> None:
        self._held = held
        self.all: list[CallSlot] = []
        self._last: CallSlot | None = None
        self._by_index: dict[int, CallSlot] = {}
        self._by_id: dict[str, CallSlot] = {}

    def find(self, call: ToolCall) -> CallSlot | None:
        """The slot that a fragment goes on with; None where it begins a new call.

        By `index`; where that is missing or repeated, by `id`: a new one is a new call. "" and null are none.
        Where both are repeated, the name tells, behind arguments that are whole.
        """
        id, name = call.id or None, _name(call)
        slot = self._by_index.get(call.index) if call.index is not None else self._without_index(id, name)
        if slot is None:
            return None
        another_id = id is not None and slot.id is not None and id != slot.id
        another_name = name is not None and bool(slot.name) and name != slot.name and slot.begun
        new_id = id is not None and id not in self._by_id
        another = slot.complete and (name is not None or slot.named_again) and (new_id or _has_arguments(call))
        if another_id or another_name or another:
            return None
        if id is not None and slot.id is None and new_id:
            slot.id, self._by_id[id] = id, slot
        return slot

    def begin(self, call: ToolCall, *, ignored: bool = False) -> CallSlot:
        """A new call. An id that an earlier call of the answer has, as old Ollama repeats it, is none."""
        id, before = call.id or None, self._last if call.index is None else self._by_index.get(call.index)
        self._held.bytes += len(id or "") + _CALL_BYTES
        known = id in self._by_id
        slot = self._last = CallSlot(len(self.all), None if known else id, self._held, ignored=ignored)
        if before is not None and before.named_again and _name(call) is None:
            slot.name = before.name
        if not ignored:
            self.all.append(slot)
        if call.index is not None:
            self._by_index[call.index] = slot
        if id is not None:
            self._by_id[id] = slot
        return slot

    def _without_index(self, id: str | None, name: str | None) -> CallSlot | None:
        if id is not None:
            return self._by_id.get(id)
        last = self._last
        if last is not None and name is not None and (last.begun or last.name not in ("", name)):
            return None
        return last


def _name(call: ToolCall) -> str | None:
    return (call.function.name or None) if call.function is not None else None


def _has_arguments(call: ToolCall) -> bool:
    return call.function is not None and bool(call.function.text().strip())
