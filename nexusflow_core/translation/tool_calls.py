"""CallSlot: one tool call of a stream, as it arrives in fragments."""

from typing import Literal

from nexusflow_core.translation.arguments import NO_ARGUMENTS, EncodedTwice, JSONEnd
from nexusflow_core.translation.held import Held, Pieces
from nexusflow_core.translation.json_lenient import Joint

__all__ = ["CallSlot"]

_HELD_BACK = tuple(sorted(NO_ARGUMENTS - {"{}"}))


class CallSlot:
    """One tool call as it arrives. `ignored`: a surplus call; its fragments must not reach another call."""

    def __init__(self, number: int, id: str | None, held: Held, *, ignored: bool = False) -> None:
        self.number = number
        self.id = id
        self.name = ""
        self.ignored = ignored
        self.named_again: Literal["", "by name", "by id"] = ""
        """Set if its name arrived again after complete arguments: later fragments belong to another call."""
        self.repeats_one_of: tuple[CallSlot, ...] = ()
        """Earlier calls that it may repeat. That is only known once it is complete."""
        self.given: str | None = None
        """The id that it began with, even if another call has it too."""
        self.many_ids = False
        self.needs_arguments = False
        self.closed = False
        self.delta = 0
        self.thought_signature: str | None = None
        self._kept = held
        self._end = JSONEnd()
        self._joint = Joint()
        self._came = 0  # characters of arguments so far
        self._waiting: Pieces | None = Pieces(held)  # arguments, until the block is open
        self._held = ""  # a first fragment that may be a placeholder: `{}{"a":1}` is not JSON
        self._twice: EncodedTwice | None = None

    @property
    def begun(self) -> bool:
        """True if arguments have arrived."""
        return self._end.begun or bool(self._held) or self._twice is not None

    @property
    def only_placeholder(self) -> bool:
        """True if the arguments so far are `{}` or an equivalent."""
        return not self._end.begun and self._held in NO_ARGUMENTS

    @property
    def ready(self) -> bool:
        """True if its block can be opened. Before any arguments, the name may still grow."""
        return self.begun and bool(self.name) and (not self.repeats_one_of or self.complete)

    @property
    def complete(self) -> bool:
        """True if the arguments are a complete JSON value. A placeholder is not, before the end."""
        return self._end.reached

    @property
    def readable(self) -> bool:
        """True if the arguments are one JSON object, or a placeholder for none."""
        if self._end.begun or self._twice is not None:
            return self._end.is_object
        return not self._held or self.only_placeholder

    @property
    def says_nothing(self) -> bool:
        """True if it has neither name nor arguments, or only a repeated name.

        The latter matters if each fragment of the previous call had its own id.
        """
        nothing = not self._end.begun and self._twice is None and (not self._held or self.only_placeholder)
        return nothing and (not self.name or (self.needs_arguments and not self._held))

    def call_it(self, name: str, *, own_id: bool = False) -> None:
        """Takes a name, or a further piece of it. Some vendors repeat the whole name instead."""
        self.named_again = ("by id" if own_id else "by name") if self.complete else ""
        if not self.name or (not self.begun and name != self.name):
            self.name += name
            self._kept.bytes += len(name)

    def add(self, fragment: str) -> str:
        """Takes a fragment. Returns the part that surely belongs to the input."""
        fragment = self._joint.feed(fragment)
        if not fragment:
            return ""
        if not self._end.begun:
            fragment = self._beginning(fragment)
        elif self._end.is_object and (fragment.strip() in NO_ARGUMENTS or self.has(fragment)):
            return ""  # a placeholder, or the whole arguments again
        if not fragment:
            return ""
        self._came += len(fragment)
        fragment = self._end.feed(fragment)
        if self._waiting is not None:
            self._waiting.add(fragment)
        return fragment

    def _beginning(self, fragment: str) -> str:
        """Returns the first fragment to pass on, or "" while it is held back."""
        if self._twice is None:
            text = self._held + fragment
            if _may_be_placeholder(text.strip()):  # also in pieces and between blanks
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
        """Returns all arguments so far. Call it once the block is open; later ones are not stored."""
        waiting, self._waiting = self._waiting, None
        return waiting.take() if waiting is not None else ""

    def rest(self) -> str:
        """Returns the rest at the end. A placeholder without more means an input without members."""
        if self._twice is not None:
            return self._twice.rest()
        if half := self._joint.flush():
            return self._end.feed(half) if self._end.begun else self._held + half
        return "{}" if self._held in NO_ARGUMENTS else self._held

    # Repeated calls

    def repeats(self) -> bool:
        """True if it repeats one of `repeats_one_of`: the same name and arguments."""
        earlier = [one for one in self.repeats_one_of if one.name == self.name and one.readable]
        return any(one._fingerprint() == self._fingerprint() for one in earlier)

    def has(self, arguments: str) -> bool:
        """True if these arguments equal those received, apart from blanks between tokens."""
        other = CallSlot(0, None, Held())
        other.add(arguments)
        return other._fingerprint() == self._fingerprint()

    def beyond(self, arguments: str) -> str | None:
        """Returns the part of these whole arguments beyond those received; None if they differ."""
        if self.complete:
            return None
        if not self._end.begun:
            return arguments
        return arguments[self._came :] if self.has(arguments[: self._came]) else None

    def _fingerprint(self) -> tuple[int, int]:
        nothing = not self._end.begun or (self._end.is_object and self._end.size == len("{}"))
        return (0, 0) if nothing else (self._end.size, self._end.digest)


def _may_be_placeholder(text: str) -> bool:
    return text == "{}" or any(word.startswith(text) for word in _HELD_BACK)
