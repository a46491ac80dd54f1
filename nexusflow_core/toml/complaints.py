"""Complaints: collects all mistakes of a file, so that its author can correct them at once."""

from collections.abc import Iterable

from nexusflow_core.errors import CombinedConfigError, ConfigError
from nexusflow_core.toml.places import Places

__all__ = ["Complaints", "meant", "printable"]

_MOST = 50
_LONGEST_NAME = 100
_MOST_NAMES = 1000


class Complaints:
    """Collects mistakes in the order found. The first 50 are kept, further ones are counted."""

    def __init__(self, source: str = "", places: Places | None = None) -> None:
        self._source = source
        self._places = places or Places("")
        self._found: list[tuple[int, ConfigError]] = []
        self._more = 0

    @property
    def count(self) -> int:
        """The number of mistakes."""
        return len(self._found) + self._more

    @property
    def full(self) -> bool:
        """True if further mistakes are only counted: they need no good description."""
        return len(self._found) >= _MOST

    def meant(self, name: str, known: Iterable[str]) -> str:
        """Returns the hint of `meant`, or "" if further mistakes are only counted."""
        return "" if self.full else meant(name, known)

    def add(self, path: str, why: str, *, at: str = "") -> None:
        """Records one mistake at `path`, such as `routes[0].targets[1]`, with the line of `at` or of `path`."""
        if self.full:
            self._more += 1
            return
        line = self._places.line(at or path)
        place = f"{self._source}:{line}" if self._source and line else self._source
        if line and not place:
            place = f"line {line}"
        self._found.append((line or 0, ConfigError(printable(path), printable(why), place=printable(place))))

    def raise_any(self) -> None:
        """Raises CombinedConfigError with all mistakes in order of lines. Without mistakes it returns."""
        found = [error for _, error in sorted(self._found, key=lambda one: one[0])]
        if self._more:
            found.append(ConfigError("", f"and {self._more} more"))
        if found:
            raise CombinedConfigError(found)


def meant(name: str, known: Iterable[str]) -> str:
    """Returns ` (did you mean 'x'?)`, or the list of known names if none is similar."""
    from difflib import get_close_matches

    names = [other for other in known if len(other) <= _LONGEST_NAME][:_MOST_NAMES]
    near = get_close_matches(name.lower(), names, 1, 0.6) if len(name) <= _LONGEST_NAME else []
    if near:
        return f" (did you mean {near[0]!r}?)"
    return f" (there are: {', '.join(names[:20]) or 'none'}{' ...' if len(names) > 20 else ''})"


def printable(text: str) -> str:
    """Returns the text, at most 500 characters, unable to start a new line or move a cursor."""
    text = text if len(text) <= 500 else text[:500] + "..."
    return text if text.isprintable() else ascii(text)[1:-1]
