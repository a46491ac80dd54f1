"""What is wrong with a file, collected: a person mends all of it at once."""

from collections.abc import Iterable

from nexusflow_core.errors import ConfigError, ConfigErrors
from nexusflow_core.toml.places import Places

__all__ = ["Complaints", "meant", "printable"]

_MOST = 50
_LONGEST_NAME = 100
_MOST_NAMES = 1000


class Complaints:
    """Collects mistakes in the order in which they are found; the first 50 are kept, the rest is counted."""

    def __init__(self, source: str = "", places: Places | None = None) -> None:
        self._source = source
        self._places = places or Places("")
        self._found: list[tuple[int, ConfigError]] = []
        self._more = 0

    @property
    def count(self) -> int:
        """How many there are."""
        return len(self._found) + self._more

    @property
    def full(self) -> bool:
        """True: further mistakes are only counted, so there is no need to describe them well."""
        return len(self._found) >= _MOST

    def meant(self, name: str, known: Iterable[str]) -> str:
        """Returns what `meant` does, and "" once further mistakes are only counted."""
        return "" if self.full else meant(name, known)

    def add(self, path: str, why: str, *, at: str = "") -> None:
        """Notes one mistake at `path`, such as `routes[0].targets[1]`, with the line of `at` or of itself."""
        if self.full:
            self._more += 1
            return
        line = self._places.line(at or path)
        place = f"{self._source}:{line}" if self._source and line else self._source
        if line and not place:
            place = f"line {line}"
        self._found.append((line or 0, ConfigError(printable(path), printable(why), place=printable(place))))

    def raise_any(self) -> None:
        """Raises ConfigErrors with all that was found, by line; returns where there is nothing."""
        found = [error for _, error in sorted(self._found, key=lambda one: one[0])]
        if self._more:
            found.append(ConfigError("", f"and {self._more} more"))
        if found:
            raise ConfigErrors(found)


def meant(name: str, known: Iterable[str]) -> str:
    """Returns ` (did you mean 'x'?)`, or the names that there are where none is near."""
    from difflib import get_close_matches

    names = [other for other in known if len(other) <= _LONGEST_NAME][:_MOST_NAMES]
    near = get_close_matches(name.lower(), names, 1, 0.6) if len(name) <= _LONGEST_NAME else []
    if near:
        return f" (did you mean {near[0]!r}?)"
    return f" (there are: {', '.join(names[:20]) or 'none'}{' ...' if len(names) > 20 else ''})"


def printable(text: str) -> str:
    """Returns the text, unable to begin a line of its own or to move a cursor; at most 500 characters."""
    text = text if len(text) <= 500 else text[:500] + "..."
    return text if text.isprintable() else ascii(text)[1:-1]
