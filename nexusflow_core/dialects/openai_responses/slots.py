"""Slot: one item of the output, as its events arrive. One slot is live at a time: it may write, others wait."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from heapq import heappop, heappush

from msgspec import Struct, field

from nexusflow_core.dialects.openai_responses.context import ResponsesAsked
from nexusflow_core.dialects.openai_responses.schema import Event, Item
from nexusflow_core.translation.held import Held, Pieces
from nexusflow_core.translation.stops import StopFinder
from nexusflow_core.translation.writer import MessageWriter

__all__ = ["SLOT_BYTES", "Slot", "Slots", "Told"]

SLOT_BYTES = 1000
"""Memory of a slot beside its texts, in bytes."""
_EVENT_BYTES = 700
_MOST_NOTICED = 100
_LONGEST_NAME = 80


class Told(Struct):
    """What all slots of one answer share: where they write, and what the answer's end must know."""

    asked: ResponsesAsked
    writer: MessageWriter
    held: Held
    noticed: list[str]
    refusal: Pieces
    stops: StopFinder | None
    """Finds the client's stop strings, in one text at a time."""
    found: str | None = None
    """The stop string that was found here, or None."""
    calls: int = 0
    readable: bool = True
    """Each call has arguments that are an object."""
    written: int = 0
    """Bytes of all texts, for an estimate."""
    ids: set[str] = field(default_factory=set[str])

    def notice(self, name: str) -> None:
        """Lists a dropped part of the answer, each once."""
        name = "".join(char for char in name[:_LONGEST_NAME] if char.isalnum() or char in "_.:-") or "unknown"
        if name not in self.noticed and len(self.noticed) < _MOST_NOTICED:
            self.noticed.append(name)


class Slot(ABC):
    """One item. Its methods append the bytes of events to `out`."""

    kind = ""
    """The type of its item."""
    opens_at_once = False
    """Its block opens with the item, before any of its content."""

    def __init__(self, told: Told) -> None:
        self.ended = False
        self.index = self.number = 0
        self.waiting: list[Event] = []
        """Events that came while another slot was live."""
        self._told = told
        told.held.bytes += SLOT_BYTES

    def begin(self, item: Item, out: list[bytes]) -> None:
        """Takes the item as it begins. Called while the slot is live. Most items have nothing to write then."""
        return

    @abstractmethod
    def take(self, event: Event, out: list[bytes]) -> None:
        """Takes an event between the item's beginning and its end."""

    @abstractmethod
    def end(self, item: Item | None, out: list[bytes]) -> None:
        """Takes the whole item, writes what is missing, and closes its block. None: it never came whole."""

    def wait(self, event: Event, size: int) -> None:
        """Keeps an event until the slot is live. `size`: its bytes."""
        self.waiting.append(event)
        self._told.held.bytes += _EVENT_BYTES + size


class Slots:
    """The slots of one answer, by output index, or by the item's id where the vendor gives no index."""

    def __init__(self) -> None:
        self.live: Slot | None = None
        self.all: list[Slot] = []
        self._by_place: dict[int | str, Slot] = {}
        self._waiting: list[tuple[int, int, Slot]] = []  # a heap: index, number, slot

    def find(self, event: Event, kind: str) -> Slot | None:
        """Returns the slot of an event; None for a new item. Without a place it is the last one of its kind."""
        place = event.place
        if place is not None:
            return self._by_place.get(place)
        last = self.all[-1] if self.all else None
        return last if last is not None and last.kind == kind and not last.ended else None

    def add(self, slot: Slot, place: int | str | None) -> None:
        """Adds the slot of a new item."""
        slot.number = len(self.all)
        slot.index = place if isinstance(place, int) else slot.number
        self.all.append(slot)
        if place is not None:
            self._by_place[place] = slot

    def hold(self, slot: Slot, event: Event, size: int) -> None:
        """Keeps an event of a slot that is not live."""
        if not slot.waiting:
            heappush(self._waiting, (slot.index, slot.number, slot))
        slot.wait(event, size)

    def next(self) -> Slot | None:
        """Returns the waiting slot with the lowest index, which waits no more; None without one."""
        return heappop(self._waiting)[2] if self._waiting else None

    def matched(self, items: list[Item]) -> Iterator[tuple[Slot | None, Item]]:
        """Yields the items of a whole answer, each with its slot: the first with the first of its type.

        Indices and ids of the last event need not be those of the others.
        """
        kinds: dict[str, list[Slot]] = {}
        for slot in sorted(self.all, key=lambda one: -one.index):
            kinds.setdefault(slot.kind, []).append(slot)
        for item in items:
            of_kind = kinds.get(item.type)
            yield (of_kind.pop() if of_kind else None), item
