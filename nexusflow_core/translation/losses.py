"""Losses: collects the fields that this upstream cannot be given. They are listed, or refused if `strict`."""

from collections.abc import Sequence

from nexusflow_core.errors import InvalidRequestError
from nexusflow_core.record import MAX_LISTED, Loss, and_more

__all__ = ["ESTIMATED", "Losses", "dotted", "warning"]

ESTIMATED = "estimated"
"""The `why` of an entry that reports an estimated number instead of a dropped field."""

NOT_LISTED = "not listed one by one"
"""The `why` of the last entry of a list that was cut short."""

_MAX_WARNING = 1000
_MAX_PATH = 200


class Losses:
    """Collects dropped fields, at most MAX_LISTED. `strict` refuses a field that could change the answer.

    Hints are only listed.
    """

    def __init__(self, *, strict: bool = False) -> None:
        self.found: list[Loss] = []
        """The first dropped fields. Above MAX_LISTED, one last entry counts the rest."""
        self._more = 0
        self._strict = strict

    def add(self, path: str, why: str) -> None:
        """Lists a dropped field, or counts it if the list is full."""
        if len(self.found) < MAX_LISTED:
            self.found.append(Loss(path, why))
            return
        self._more += 1
        self.found[MAX_LISTED:] = [Loss(and_more(self._more), NOT_LISTED)]

    def drop(self, path: str, why: str) -> None:
        """Drops a member that could change the answer. Raises InvalidRequestError if `strict`."""
        if self._strict:
            raise InvalidRequestError(f"{dotted(_printable(path))}: {why}")
        self.add(_printable(path), why)

    def hint(self, path: str, why: str) -> None:
        """Drops a member that only affects cost or routing."""
        self.add(_printable(path), why)

    def unknown(self, path: str) -> None:
        """Drops an unknown member. Raises InvalidRequestError if `strict`, as Anthropic does."""
        path = _printable(path)
        if self._strict:
            raise InvalidRequestError(f"{dotted(path)}: Extra inputs are not permitted")
        self.add(path, "unknown here")


def warning(losses: Sequence[Loss]) -> bytes | None:
    """Returns the `x-nexusflow-warning` header, such as `top_k dropped; tokens estimated`, or None."""
    if not losses:
        return None
    named = list(dict.fromkeys(map(_listed, losses)))
    text = named[0]
    for number, name in enumerate(named[1:], 1):
        if len(text) + len(name) > _MAX_WARNING:
            left = named[number:]
            cut = int(left.pop().split()[1]) if losses[-1].why == NOT_LISTED else 0
            text += f"; {and_more(len(left) + cut)}"
            break
        text += f"; {name}"
    return text.encode("ascii")


def _listed(loss: Loss) -> str:
    """Returns an entry in ASCII. Other letters of a path are escaped, which makes them several times longer."""
    path = loss.path.encode("ascii", "backslashreplace").decode()
    if loss.why == NOT_LISTED:
        return path
    return f"{path} {'estimated' if loss.why == ESTIMATED else 'dropped'}"


def dotted(path: str) -> str:
    """Returns `messages[0].content[1]` as `messages.0.content.1`, the form of paths in errors."""
    return path.replace("[", ".").replace("]", "")


def _printable(path: str) -> str:
    """Returns a client's path without line breaks and of bounded length: it goes into a header."""
    path = path[:_MAX_PATH]
    return path if path.isprintable() else "".join(char if char.isprintable() else "?" for char in path)
