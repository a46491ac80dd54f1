"""Names of tools that one side takes and the other does not: mapped by rule, the same way every time."""

import hashlib
from collections.abc import Iterable

__all__ = ["ToolNames"]

_MAX_NAME = 64


class ToolNames:
    """Tool names as the upstream knows them, at most 64 characters, and back again."""

    def __init__(self, names: Iterable[str]) -> None:
        self._shown = {self.sent(name): name for name in names if len(name) > _MAX_NAME}

    @staticmethod
    def sent(name: str) -> str:
        """A long name is cut and ends in a hash of the whole."""
        return name if len(name) <= _MAX_NAME else f"{name[: _MAX_NAME - 9]}_{_hash(name)[:8]}"

    def shown(self, name: str) -> str:
        """The name that the client gave the tool."""
        return self._shown.get(name, name)


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()
