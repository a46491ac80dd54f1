"""FunctionCallSlot: writes a function call, or the calls inside a wrapper that the model invented."""

from collections.abc import Iterator
from typing import Any

import msgspec

from nexusflow_core.dialects.openai_responses.schema import Event, Item
from nexusflow_core.dialects.openai_responses.vendors import ResponsesRequestFacts
from nexusflow_core.translation.arguments import read_arguments
from nexusflow_core.translation.call_part import CallPart
from nexusflow_core.translation.slots import Slot
from nexusflow_core.translation.text_part import AnswerState
from nexusflow_core.untyped import list_of, object_of

__all__ = ["FunctionCallSlot"]

_FUNCTIONS = "functions."


class FunctionCallSlot(Slot[Event, Item]):
    """A call. Its name opens the block. Arguments come in pieces, whole, or both."""

    kind = "function_call"
    opens_at_once = True

    def __init__(self, facts: ResponsesRequestFacts, state: AnswerState) -> None:
        super().__init__(state)
        self._facts = facts
        self._call = CallPart(state)
        self._wrapper: Item | None = None
        self._ignored = False

    def begin(self, item: Item, out: list[bytes]) -> None:
        if not item.name or self._call.opened or self._wrapper is not None:
            return
        if self._facts.one_call and self._state.calls:
            self._ignored = True
        elif item.name in self._facts.wrappers:
            self._wrapper = item
        else:
            self._call.open(item.name, item.id, out)

    def take(self, event: Event, out: list[bytes]) -> None:
        if self._ignored:
            return
        if event.type.endswith(".delta"):
            self._call.add(event.new_text(), out)
        else:
            self._call.whole(event.whole_text(), out)

    def end(self, item: Item | None, out: list[bytes]) -> None:
        self.ended = True
        if item is not None:
            self.begin(item, out)
        if self._ignored:
            return
        if item is not None:
            self._call.whole(item.arguments, out)
        if self._wrapper is not None:
            self._unfold(self._wrapper, self._call.take(), out)
        else:
            self._call.close(out)

    def _unfold(self, wrapper: Item, arguments: str, out: list[bytes]) -> None:
        inner = list(_inside(arguments)) or [(wrapper.name, arguments)]  # no calls inside: an ordinary call
        for number, (name, text) in enumerate(inner[:1] if self._facts.one_call else inner):
            call = CallPart(self._state)
            call.open(name, "" if number else wrapper.id, out)
            call.add(text, out)
            call.close(out)


def _inside(arguments: str) -> Iterator[tuple[str, str]]:
    """Yields name and JSON arguments of each call inside a wrapper."""
    uses: Any = (read_arguments(arguments) or {}).get("tool_uses")
    for use in map(object_of, list_of(uses)):
        name, given = use.get("recipient_name"), object_of(use.get("parameters"))
        if isinstance(name, str) and name.removeprefix(_FUNCTIONS):
            yield name.removeprefix(_FUNCTIONS), msgspec.json.encode(given).decode()
