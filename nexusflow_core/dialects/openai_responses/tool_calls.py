"""The slot of a function call. A wrapper that the model made up is unfolded into the calls inside."""

from collections.abc import Iterator
from typing import Any

import msgspec

from nexusflow_core.dialects.openai_responses.context import ResponsesAsked
from nexusflow_core.dialects.openai_responses.schema import Event, Item
from nexusflow_core.errors import AnswerUnusableError
from nexusflow_core.translation.arguments import read_arguments
from nexusflow_core.translation.held import Pieces, utf8_length
from nexusflow_core.translation.slots import SLOT_BYTES, Slot
from nexusflow_core.translation.text_part import AnswerState
from nexusflow_core.translation.tool_calls import CallSlot
from nexusflow_core.untyped import is_list, object_of

__all__ = ["FunctionCallSlot"]

_FUNCTIONS = "functions."


class FunctionCallSlot(Slot[Event, Item]):
    """A call. Its block opens with its name; arguments may come in pieces, whole, or both."""

    kind = "function_call"
    opens_at_once = True

    def __init__(self, asked: ResponsesAsked, state: AnswerState) -> None:
        super().__init__(state)
        self._asked = asked
        self._call: CallSlot | None = None
        self._wrapped: Pieces | None = None  # arguments of a wrapper
        self._early: Pieces | None = None  # arguments before the name
        self._ignored = False

    def begin(self, item: Item, out: list[bytes]) -> None:
        state = self._state
        if not item.name or self._call is not None or self._wrapped is not None or self._ignored:
            return
        if self._asked.one_call and state.calls:
            self._ignored = True
            return
        early = self._early.take() if self._early is not None else ""
        if item.name in self._asked.wrappers:
            state.calls += 1
            self._wrapped = Pieces(state.held, early)
            return
        self._call = _opened(state, item.name, item.id, out)
        self._add(early, out)

    def take(self, event: Event, out: list[bytes]) -> None:
        if event.type.endswith(".delta"):
            self._add(event.new_text(), out)
            return
        if isinstance(event.name, str):
            self.begin(Item("function_call", "", event.name.strip(), "", {}), out)
        self._whole(event.whole_text(), out)

    def end(self, item: Item | None, out: list[bytes]) -> None:
        if item is not None:
            self.begin(item, out)
            self._whole(item.arguments, out)
        self.ended = True
        if self._ignored:
            return
        if self._wrapped is not None:
            self._unfold(self._wrapped.take(), item, out)
        elif self._call is not None:
            _close(self._state, self._call, out)
        else:
            raise AnswerUnusableError("a tool call without a name")

    def _add(self, text: str, out: list[bytes]) -> None:
        if not text or self._ignored:
            return
        if self._call is not None:
            fragment = self._call.add(text)
            self._state.written += utf8_length(fragment)
            self._state.writer.arguments(self._call, fragment, out)
        elif self._wrapped is not None:
            self._wrapped.add(text)
        else:
            self._early = self._early or Pieces(self._state.held)
            self._early.add(text)

    def _whole(self, arguments: str, out: list[bytes]) -> None:
        """Takes the whole arguments, and writes what is new in them."""
        if not arguments:
            return
        if self._call is None:
            pieces = self._wrapped if self._wrapped is not None else self._early
            if pieces is None or not (said := pieces.take()):
                self._add(arguments, out)
            else:
                pieces.add(arguments if arguments.startswith(said) else said)
            return
        rest = self._call.beyond(arguments)
        if rest:
            self._add(rest, out)
        elif rest is None and not self._call.has(arguments):
            self._state.notice("tool_calls.arguments")

    def _unfold(self, arguments: str, item: Item | None, out: list[bytes]) -> None:
        state = self._state
        inner = list(_inside(arguments))
        if not inner:  # a call like any other, as far as anybody can tell
            name = item.name if item is not None and item.name else "parallel"
            inner = [(name, arguments)]
        state.calls -= 1
        for number, (name, text) in enumerate(inner):
            if self._asked.one_call and state.calls:
                return
            id = item.id if item is not None and not number else ""
            call = _opened(state, name, id, out)
            state.writer.arguments(call, call.add(text), out)
            state.written += utf8_length(text)
            _close(state, call, out)


def _opened(state: AnswerState, name: str, id: str, out: list[bytes]) -> CallSlot:
    """Returns a new call, with its block open. An id that this answer has used already is replaced."""
    own = id if id and id not in state.ids else None
    state.ids.add(id)
    state.held.bytes += SLOT_BYTES + len(id)
    call = CallSlot(state.calls, own, state.held)
    state.calls += 1
    call.call_it(name)
    state.writer.close(out)
    state.writer.queue(call)
    state.writer.advance(out)
    return call


def _close(state: AnswerState, call: CallSlot, out: list[bytes]) -> None:
    state.writer.close(out)
    state.readable = state.readable and call.readable


def _inside(arguments: str) -> Iterator[tuple[str, str]]:
    """Yields names and arguments of the calls inside a wrapper."""
    uses: Any = (read_arguments(arguments) or {}).get("tool_uses")
    for use in map(object_of, uses if is_list(uses) else ()):
        name, given = use.get("recipient_name"), object_of(use.get("parameters"))
        if isinstance(name, str) and name.removeprefix(_FUNCTIONS):
            yield name.removeprefix(_FUNCTIONS), msgspec.json.encode(given).decode()
