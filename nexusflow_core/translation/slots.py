"""Slots: orders the items of an answer, whose events may interleave. Only one item has an open block."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from heapq import heappop, heappush
from typing import Generic, Protocol, TypeVar

from nexusflow_core.translation.text_part import AnswerState

__all__ = ["SLOT_BYTES", "Slot", "Slots"]

SLOT_BYTES = 1000
"""Memory of a slot beside its texts, in bytes."""
_EVENT_BYTES = 700


class _Placed(Protocol):
    @property
    def place(self) -> int | str | None:
        """What identifies the item of an event: its index, else its id."""


class _Typed(Protocol):
    @property
    def type(self) -> str: ...


_Event = TypeVar("_Event", bound=_Placed)
_Item = TypeVar("_Item", bound=_Typed)


class Slot(ABC, Generic[_Event, _Item]):
    """One item, as its events arrive. While it is live, its methods append the bytes of events to `out`."""

    kind = ""
    """The type of its item."""
    opens_at_once = False
    """Its block opens with the item, before any of its content."""

    def __init__(self, state: AnswerState) -> None:
        self.ended = False
        self.index = self.number = 0
        self.waiting: list[_Event] = []
        """Events that came while another slot was live."""
        self._state = state
        state.held.bytes += SLOT_BYTES

    def begin(self, item: _Item, out: list[bytes]) -> None:
        """Takes the item as it begins. Called while the slot is live. Most items have nothing to write then."""
        return

    @abstractmethod
    def take(self, event: _Event, out: list[bytes]) -> None:
        """Takes an event between the item's beginning and its end."""

    @abstractmethod
    def end(self, item: _Item | None, out: list[bytes]) -> None:
        """Takes the whole item, writes what is missing, and closes its block. None: it never came whole."""

    def wait(self, event: _Event, size: int) -> None:
        """Keeps an event until the slot is live. `size`: its bytes."""
        self.waiting.append(event)
        self._state.held.bytes += _EVENT_BYTES + size


class Slots(Generic[_Event, _Item]):
    """The slots of one answer, by output index, or by the item's id where the vendor gives no index."""

    def __init__(self) -> None:
        self.live: Slot[_Event, _Item] | None = None
        self.all: list[Slot[_Event, _Item]] = []
        self._by_place: dict[int | str, Slot[_Event, _Item]] = {}
        self._waiting: list[tuple[int, int, Slot[_Event, _Item]]] = []  # a heap: index, number, slot

    def find(self, event: _Event, kind: str) -> Slot[_Event, _Item] | None:
        """Returns the slot of an event; None for a new item. Without a place it is the last one of its kind."""
        place = event.place
        if place is not None:
            return self._by_place.get(place)
        last = self.all[-1] if self.all else None
        return last if last is not None and last.kind == kind and not last.ended else None

    def add(self, slot: Slot[_Event, _Item], place: int | str | None) -> None:
        """Adds the slot of a new item."""
        slot.number = len(self.all)
        slot.index = place if isinstance(place, int) else slot.number
        self.all.append(slot)
        if place is not None:
            self._by_place[place] = slot

    def hold(self, slot: Slot[_Event, _Item], event: _Event, size: int) -> None:
        """Keeps an event of a slot that is not live."""
        if not slot.waiting:
            heappush(self._waiting, (slot.index, slot.number, slot))
        slot.wait(event, size)

    def next(self) -> Slot[_Event, _Item] | None:
        """Returns the waiting slot with the lowest index, which waits no more; None without one."""
        return heappop(self._waiting)[2] if self._waiting else None

    def matched(self, items: Sequence[_Item]) -> Iterator[tuple[Slot[_Event, _Item] | None, _Item]]:
        """Yields the items of a whole answer, each with its slot: the first with the first of its type.

        Indices and ids of the last event need not be those of the others.
        """
        kinds: dict[str, list[Slot[_Event, _Item]]] = {}
        for slot in sorted(self.all, key=lambda one: -one.index):
            kinds.setdefault(slot.kind, []).append(slot)
        for item in items:
            of_kind = kinds.get(item.type)
            yield (of_kind.pop() if of_kind else None), item
