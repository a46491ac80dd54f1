"""Slots: writes the items of an answer one after the other, although their events may interleave."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from enum import Enum, auto
from heapq import heappop, heappush
from typing import Any, Generic, Protocol, TypeVar

from nexusflow_core.translation.text_part import AnswerState

__all__ = ["Slot", "Slots", "Step"]

_SLOT_BYTES = 1000
"""Estimated memory of a slot without its texts, in bytes."""
_EVENT_BYTES = 700


class Step(Enum):
    """The step of an item that an event reports."""

    BEGINS = auto()
    CONTINUES = auto()
    ENDS = auto()


class _Typed(Protocol):
    @property
    def type(self) -> str: ...


_Item = TypeVar("_Item", bound=_Typed)
_Item_co = TypeVar("_Item_co", bound=_Typed, covariant=True)


class _Placed(Protocol[_Item_co]):
    @property
    def place(self) -> int | str | None:
        """The item's index, else its id, else None."""

    @property
    def step(self) -> Step: ...

    def its_item(self) -> _Item_co | None: ...


_Event = TypeVar("_Event", bound=_Placed[Any])


class Slot(ABC, Generic[_Event, _Item]):
    """One item of an answer. While it is live, its methods append bytes of Messages events to `out`."""

    kind = ""
    """The type of its item."""
    opens_at_once = False
    """True if the block opens with the item, before any content."""

    def __init__(self, state: AnswerState) -> None:
        self.ended = False
        self.index = self.number = 0
        self.waiting: list[_Event] = []
        """Events that arrived while another slot was live."""
        self._state = state
        state.held.bytes += _SLOT_BYTES

    def begin(self, item: _Item, out: list[bytes]) -> None:
        """Takes the item at its beginning, while the slot is live. Most items write nothing here."""
        return

    @abstractmethod
    def take(self, event: _Event, out: list[bytes]) -> None:
        """Takes an event between the beginning and the end of the item."""

    @abstractmethod
    def end(self, item: _Item | None, out: list[bytes]) -> None:
        """Takes the whole item, writes its missing parts, and closes its block. None: no whole item arrived."""

    def wait(self, event: _Event, size: int) -> None:
        """Keeps an event of `size` bytes until the slot is live."""
        self.waiting.append(event)
        self._state.held.bytes += _EVENT_BYTES + size


class Slots(Generic[_Event, _Item]):
    """The slots of one answer, by index, or by id for vendors without indices.

    Only the live slot writes. Events of other slots wait. `make` returns the slot of a new item by its type.
    """

    def __init__(self, state: AnswerState, make: Callable[[str], Slot[_Event, _Item]]) -> None:
        self.live: Slot[_Event, _Item] | None = None
        self._state = state
        self._make = make
        self._all: list[Slot[_Event, _Item]] = []
        self._by_place: dict[int | str, Slot[_Event, _Item]] = {}
        self._waiting: list[tuple[int, int, Slot[_Event, _Item]]] = []  # a heap: index, number, slot

    def give(self, event: _Event, kind: str, size: int, out: list[bytes]) -> None:
        """Gives an event of `size` bytes to the slot of its item, or keeps it while another slot is live.

        `kind`: the item's type.
        """
        slot = self._find(event, kind)
        if slot.ended:
            return
        if self.live is not None and self.live is not slot:
            if not slot.waiting:
                heappush(self._waiting, (slot.index, slot.number, slot))
            slot.wait(event, size)
            return
        self._give(slot, event, out)
        while self.live is None and self._state.found is None and self._waiting:
            self._resume(heappop(self._waiting)[2], out)

    def finish(self, items: Sequence[_Item], out: list[bytes]) -> None:
        """Takes the items of the whole answer, and writes parts that no event had, in order."""
        whole = list(self._matched(items))
        ends = {slot.number: item for slot, item in whole if slot is not None}
        live = self.live
        unended = [slot for slot in self._all if not slot.ended]
        for slot in sorted(unended, key=lambda one: (one is not live, one.index)):
            self.live = slot
            self._resume(slot, out)
            if not slot.ended and self._state.found is None:
                slot.end(ends.get(slot.number), out)
        for known, item in whole:
            if known is None and self._state.found is None:
                slot = self._make(item.type)
                slot.begin(item, out)
                slot.end(item, out)

    def _find(self, event: _Event, kind: str) -> Slot[_Event, _Item]:
        """Returns the slot of an event, or a new slot. Without a place, it is the last slot of its kind."""
        place, last = event.place, self._all[-1] if self._all else None
        if place is None and last is not None and last.kind == kind and not last.ended:
            return last
        slot = self._by_place.get(place) if place is not None else None
        if slot is None:
            slot = self._make(kind)
            slot.number = len(self._all)
            slot.index = place if isinstance(place, int) else slot.number
            self._all.append(slot)
            if place is not None:
                self._by_place[place] = slot
        return slot

    def _resume(self, slot: Slot[_Event, _Item], out: list[bytes]) -> None:
        """Gives a slot its waiting events."""
        waiting, slot.waiting = slot.waiting, []
        for event in waiting:
            self._give(slot, event, out)

    def _give(self, slot: Slot[_Event, _Item], event: _Event, out: list[bytes]) -> None:
        """Gives an event to a slot that may write. A slot is live from its first content to its end."""
        if event.step is Step.ENDS:
            slot.end(event.its_item(), out)
            self.live = None if slot.ended else slot
        elif event.step is Step.CONTINUES:
            self.live = slot
            slot.take(event, out)
        elif slot.opens_at_once and (item := event.its_item()) is not None:
            self.live = slot
            slot.begin(item, out)

    def _matched(self, items: Sequence[_Item]) -> Iterator[tuple[Slot[_Event, _Item] | None, _Item]]:
        """Yields each item of the whole answer with its slot, or None. Matches both by type and order.

        Some vendors change indices and ids in the last event.
        """
        kinds: dict[str, list[Slot[_Event, _Item]]] = {}
        for slot in sorted(self._all, key=lambda one: -one.index):
            kinds.setdefault(slot.kind, []).append(slot)
        for item in items:
            of_kind = kinds.get(item.type)
            yield (of_kind.pop() if of_kind else None), item
