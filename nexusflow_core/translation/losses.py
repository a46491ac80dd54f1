"""What a request asks for and this upstream cannot be given: named, or refused where `strict` says so."""

from collections.abc import Sequence

from nexusflow_core.errors import InvalidRequestError
from nexusflow_core.record import MAX_LISTED, Loss, and_more

__all__ = ["ESTIMATED", "Losses", "dotted", "warning"]

ESTIMATED = "estimated"
"""Why of a loss that is none: the number is there, but it is ours."""

NOT_LISTED = "not listed one by one"
"""Why of the last entry of a list of losses that was cut."""

_MAX_WARNING = 1000
_MAX_PATH = 200


class Losses:
    """Collects losses, MAX_LISTED at most. `strict` refuses those that could change the answer; hints are only
    named."""

    def __init__(self, *, strict: bool = False) -> None:
        self.found: list[Loss] = []
        """The first losses. The last entry stands for all others once there are more than MAX_LISTED."""
        self._more = 0
        self._strict = strict

    def add(self, path: str, why: str) -> None:
        """Lists a loss, or counts it where MAX_LISTED are listed already."""
        if len(self.found) < MAX_LISTED:
            self.found.append(Loss(path, why))
            return
        self._more += 1
        self.found[MAX_LISTED:] = [Loss(and_more(self._more), NOT_LISTED)]

    def drop(self, path: str, why: str) -> None:
        """A member that could change the answer does not go along. Raises InvalidRequestError under
        `strict`."""
        if self._strict:
            raise InvalidRequestError(f"{dotted(_printable(path))}: {why}")
        self.add(_printable(path), why)

    def hint(self, path: str, why: str) -> None:
        """A member about cost or routing alone does not go along."""
        self.add(_printable(path), why)

    def unknown(self, path: str) -> None:
        """A member that nobody here knows. Raises InvalidRequestError under `strict`, as Anthropic does."""
        path = _printable(path)
        if self._strict:
            raise InvalidRequestError(f"{dotted(path)}: Extra inputs are not permitted")
        self.add(path, "unknown here")


def warning(losses: Sequence[Loss]) -> bytes | None:
    """The `x-nexusflow-warning` header: `top_k dropped; cache_control dropped`. None where nothing is lost."""
    if not losses:
        return None
    named = list(dict.fromkeys(map(_said, losses)))
    text = named[0]
    for number, name in enumerate(named[1:], 1):
        if len(text) + len(name) > _MAX_WARNING:
            left = named[number:]
            cut = int(left.pop().split()[1]) if losses[-1].why == NOT_LISTED else 0
            text += f"; {and_more(len(left) + cut)}"
            break
        text += f"; {name}"
    return text.encode("ascii")


def _said(loss: Loss) -> str:
    """In ASCII: what a header takes of a path in other letters is several times as long."""
    path = loss.path.encode("ascii", "backslashreplace").decode()
    if loss.why == NOT_LISTED:
        return path
    return f"{path} {'estimated' if loss.why == ESTIMATED else 'dropped'}"


def dotted(path: str) -> str:
    """`messages[0].content[1]` as `messages.0.content.1`: how errors are named."""
    return path.replace("[", ".").replace("]", "")


def _printable(path: str) -> str:
    """The client's own words go into a header: no line breaks, and not without bound."""
    path = path[:_MAX_PATH]
    return path if path.isprintable() else "".join(char if char.isprintable() else "?" for char in path)
