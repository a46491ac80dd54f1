"""One tool call of a stream, as it arrives in fragments."""

from typing import Literal

from nexusflow_core.translation.arguments import NO_ARGUMENTS, EncodedTwice, JSONEnd
from nexusflow_core.translation.held import Held, Pieces
from nexusflow_core.translation.json_lenient import Joint

__all__ = ["CallSlot"]

_HELD_BACK = tuple(sorted(NO_ARGUMENTS - {"{}"}))


class CallSlot:
    """One tool call as it arrives. `ignored`: one too many; its fragments must not reach another call."""

    def __init__(self, number: int, id: str | None, held: Held, *, ignored: bool = False) -> None:
        self.number = number
        self.id = id
        self.name = ""
        self.ignored = ignored
        self.named_again: Literal["", "by name", "by id"] = ""
        """How its name came once more behind whole arguments: what follows is another call's."""
        self.repeats_one_of: tuple[CallSlot, ...] = ()
        """Earlier calls that it may tell once more; until it is whole, nobody knows."""
        self.given: str | None = None
        """The id that it began with, be it another call's, too."""
        self.many_ids = False
        self.needs_arguments = False
        self.closed = False
        self.delta = 0
        self.thought_signature: str | None = None
        self._kept = held
        self._end = JSONEnd()
        self._joint = Joint()
        self._came = 0  # characters of arguments
        self._waiting: Pieces | None = Pieces(held)  # arguments, until the block is open
        self._held = ""  # a first fragment that may be a placeholder; `{}{"a":1}` is no JSON
        self._twice: EncodedTwice | None = None

    @property
    def begun(self) -> bool:
        """Whether arguments have come."""
        return self._end.begun or bool(self._held) or self._twice is not None

    @property
    def only_placeholder(self) -> bool:
        """Whether the arguments so far are `{}`, or something that means the same."""
        return not self._end.begun and self._held in NO_ARGUMENTS

    @property
    def ready(self) -> bool:
        """Whether its block can be opened: while no arguments have come, the name may still grow."""
        return self.begun and bool(self.name) and (not self.repeats_one_of or self.complete)

    @property
    def complete(self) -> bool:
        """Whether the arguments are a whole JSON value. A placeholder is none, before the end."""
        return self._end.reached

    @property
    def readable(self) -> bool:
        """Whether the arguments are one JSON object, or say that there are none."""
        if self._end.begun or self._twice is not None:
            return self._end.is_object
        return not self._held or self.only_placeholder

    @property
    def says_nothing(self) -> bool:
        """Whether it has neither a name nor arguments, so that there is nothing to run; or only the name once
        more, where each fragment of the call before it had an id of its own."""
        nothing = not self._end.begun and self._twice is None and (not self._held or self.only_placeholder)
        return nothing and (not self.name or (self.needs_arguments and not self._held))

    def call_it(self, name: str, *, own_id: bool = False) -> None:
        """Takes a name, or a further piece of one that comes in pieces; some vendors repeat it instead."""
        self.named_again = ("by id" if own_id else "by name") if self.complete else ""
        if not self.name or (not self.begun and name != self.name):
            self.name += name
            self._kept.bytes += len(name)

    def add(self, fragment: str) -> str:
        """Takes a fragment; returns what of it is sure to be part of the input."""
        fragment = self._joint.feed(fragment)
        if not fragment:
            return ""
        if not self._end.begun:
            fragment = self._beginning(fragment)
        elif self._end.is_object and (fragment.strip() in NO_ARGUMENTS or self.has(fragment)):
            return ""  # nothing, or the whole arguments once more
        if not fragment:
            return ""
        self._came += len(fragment)
        fragment = self._end.feed(fragment)
        if self._waiting is not None:
            self._waiting.add(fragment)
        return fragment

    def _beginning(self, fragment: str) -> str:
        """A fragment before which nothing has gone on; returns "" while it is held back."""
        if self._twice is None:
            text = self._held + fragment
            if _may_be_placeholder(text.strip()):  # in pieces too, with blanks around it
                self._held = text.strip()
                return ""
            fragment = fragment if self._held in NO_ARGUMENTS else text
            self._held = ""
            if fragment.lstrip()[:1] != '"':
                return fragment
            self._twice = EncodedTwice(self._kept)
        inside = self._twice.feed(fragment)
        if inside is None:
            return ""
        self._twice = None
        if inside.strip() in ("", *NO_ARGUMENTS):
            self._held, inside = "{}", ""
        return inside

    def opened(self) -> str:
        """Its block is open: all that has come so far. What comes from now on is not kept."""
        waiting, self._waiting = self._waiting, None
        return waiting.take() if waiting is not None else ""

    def rest(self) -> str:
        """What is left at the end: a placeholder after which nothing came means an input without members."""
        if self._twice is not None:
            return self._twice.rest()
        if half := self._joint.flush():
            return self._end.feed(half) if self._end.begun else self._held + half
        return "{}" if self._held in NO_ARGUMENTS else self._held

    # Told once more

    def repeats(self) -> bool:
        """Whether it is one of the calls that it may tell once more: of the same name and arguments."""
        told = [one for one in self.repeats_one_of if one.name == self.name and one.readable]
        return any(one._told() == self._told() for one in told)

    def has(self, arguments: str) -> bool:
        """Whether these arguments are those that have come, blanks between tokens aside."""
        other = CallSlot(0, None, Held())
        other.add(arguments)
        return other._told() == self._told()

    def beyond(self, arguments: str) -> str | None:
        """Returns what these whole arguments have beyond those that have come; None where they are others."""
        if self.complete:
            return None
        if not self._end.begun:
            return arguments
        return arguments[self._came :] if self.has(arguments[: self._came]) else None

    def _told(self) -> tuple[int, int]:
        nothing = not self._end.begun or (self._end.is_object and self._end.size == len("{}"))
        return (0, 0) if nothing else (self._end.size, self._end.digest)


def _may_be_placeholder(text: str) -> bool:
    return text == "{}" or any(word.startswith(text) for word in _HELD_BACK)
