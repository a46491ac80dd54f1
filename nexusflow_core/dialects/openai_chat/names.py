"""Names and ids that one side takes and the other does not: mapped by rule, the same way every time."""

import hashlib
import re
from array import array
from collections.abc import Container, Iterable
from typing import Literal

__all__ = ["ToolNames", "UsedIds", "answer_id", "tool_id", "upstream_id"]

_MAX_NAME = 64
_MAX_ID = 40
_OURS = re.compile(r"[a-zA-Z0-9_-]{1,64}")
_NINE = re.compile(r"[a-zA-Z0-9]{9}")


class ToolNames:
    """Tool names as the upstream knows them, at most 64 characters, and back again."""

    def __init__(self, names: Iterable[str]) -> None:
        self._shown = {self.sent(name): name for name in names}

    @staticmethod
    def sent(name: str) -> str:
        """A long name is cut and ends in a hash of the whole."""
        return name if len(name) <= _MAX_NAME else f"{name[: _MAX_NAME - 9]}_{_hash(name)[:8]}"

    def shown(self, name: str) -> str:
        """The name that the client gave the tool."""
        return self._shown.get(name, name)


def upstream_id(id: str, form: Literal["any", "nine"]) -> str:
    """A tool call's id as the upstream takes it; the same for the call and for its result."""
    if form == "nine":
        return id if _NINE.fullmatch(id) else _hash(id)[:9]
    return id if len(id) <= _MAX_ID else f"call_{_hash(id)[:24]}"


class UsedIds:
    """The ids of a conversation's calls, in eight bytes each: a stream holds them while it is open, and
    a conversation may have thousands. One in 2^64 passes for another, and gets a new id for nothing."""

    __slots__ = ("_hashes",)

    def __init__(self, ids: Iterable[str] = ()) -> None:
        self._hashes = array("q", map(hash, ids))

    def __contains__(self, id: object) -> bool:
        return hash(id) in self._hashes


def tool_id(id: str | None, request_id: str, index: int, taken: Container[str] = ()) -> str:
    """A call's id for the client: the upstream's own where Anthropic would take it back, and where no call has
    it that is `taken` already; else a new one."""
    if id and _OURS.fullmatch(id) and id not in taken:
        return id
    seed = f"{request_id} {index} {id}"
    while (made := f"toolu_{_hash(seed)[:24]}") in taken:  # a host may give all its requests one id
        seed += "+"
    return made


def answer_id(request_id: str) -> str:
    """The id of the answer to a request."""
    return f"msg_{_hash(request_id)[:24]}"


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()
