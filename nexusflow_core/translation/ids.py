"""Ids of tool calls and of answers, and names of tools. What the other side does not take is mapped by rule,
the same way every time."""

import hashlib
import re
from array import array
from bisect import bisect_left
from collections.abc import Container, Iterable
from typing import Literal, TypeAlias

__all__ = ["CallIds", "IdForm", "ToolNames", "UsedIds", "answer_id", "tool_id"]

IdForm: TypeAlias = Literal["any", "nine", "functions"]
"""`nine`: exactly nine letters and digits; `functions`: `functions.NAME:N`."""

_MAX_ID = 40
_OURS = re.compile(r"[a-zA-Z0-9_-]{1,64}")
_NINE = re.compile(r"[a-zA-Z0-9]{9}")
_FUNCTIONS = re.compile(r"functions\.[a-zA-Z0-9_.-]+:(\d{1,6})")
_NUMBERED = re.compile(r"toolu_fn(\d{1,6})_[0-9a-f]{24}")
"""Ours for an id of that form: its number, and a hash that sets it apart from the same id of another turn."""


class CallIds:
    """The ids of a conversation's calls as the upstream takes them; asked for in the order of the calls.

    Some models read their calls' names from ids `functions.NAME:N` alone, and end their turn in silence over
    any other form. Such a model gets the number back that it gave. Calls of another model are counted on over
    the conversation. `known`: the ids in the conversation, of which one may tell that such a model made it.
    """

    def __init__(self, form: IdForm, known: Iterable[str] = ()) -> None:
        self._form = form
        if form == "any" and any(_NUMBERED.fullmatch(id) for id in known):
            self._form = "functions"
        self._count = 0
        self._sent: set[str] = set()
        self._tried: dict[str, int] = {}  # by name: all numbers up to this one that were tried are taken

    def sent(self, id: str, name: str) -> str:
        """The id of the next call, of the tool that the upstream knows by this name."""
        if self._form == "nine":
            return id if _NINE.fullmatch(id) else _hash(id)[:9]
        if self._form == "any":
            return id if len(id) <= _MAX_ID else f"call_{_hash(id)[:24]}"
        given = _NUMBERED.fullmatch(id)
        made = f"functions.{name}:{int(given[1]) if given else self._count}"
        number = max(self._count, self._tried.get(name, 0))
        while made in self._sent:
            made = f"functions.{name}:{number}"
            number += 1
            self._tried[name] = number
        self._count += 1
        self._sent.add(made)
        return made


class UsedIds:
    """The ids of a conversation's calls, in eight bytes each: a stream holds them while it is open, and
    a conversation may have thousands. One in 2^64 passes for another, and gets a new id for nothing."""

    __slots__ = ("_hashes",)

    def __init__(self, ids: Iterable[str] = ()) -> None:
        self._hashes = array("q", sorted(map(hash, ids)))

    def __contains__(self, id: object) -> bool:
        sought = hash(id)
        at = bisect_left(self._hashes, sought)
        return at < len(self._hashes) and self._hashes[at] == sought


def tool_id(id: str | None, request_id: str, index: int, taken: Container[str] = ()) -> str:
    """Returns a call's id for the client: the upstream's own where Anthropic takes it and it is not `taken`,
    else a new one. Of an id `functions.NAME:N` the new one keeps the number."""
    if id and _OURS.fullmatch(id) and id not in taken:
        return id
    seed = f"{request_id} {index} {id}"
    numbered = _FUNCTIONS.fullmatch(id) if id else None
    start = f"toolu_fn{int(numbered[1])}_" if numbered else "toolu_"
    while (made := f"{start}{_hash(seed)[:24]}") in taken:  # a host may give all its requests one id
        seed += "+"
    return made


def answer_id(request_id: str) -> str:
    """The id of the answer to a request."""
    return f"msg_{_hash(request_id)[:24]}"


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
