"""Ids of tool calls and answers, and names of tools. Unacceptable ones are mapped by fixed rules."""

import hashlib
import re
from array import array
from bisect import bisect_left
from collections.abc import Container, Iterable
from typing import Literal, TypeAlias

__all__ = ["CallIds", "IdForm", "ToolNames", "UsedIds", "answer_id", "tool_id"]

IdForm: TypeAlias = Literal["any", "nine", "functions"]
"""Accepted ids. `nine`: exactly nine letters and digits. `functions`: `functions.NAME:N`."""

_MAX_ID = 40
_OURS = re.compile(r"[a-zA-Z0-9_-]{1,64}")
_NINE = re.compile(r"[a-zA-Z0-9]{9}")
_FUNCTIONS = re.compile(r"functions\.[a-zA-Z0-9_.-]+:(\d{1,6})")
_FN = "toolu_fn"
_NUMBERED = re.compile(_FN + r"(\d{1,6})_[0-9a-f]{24}")
"""Our replacement of `functions.NAME:N`: the number N, and a hash that makes it unique over turns."""


class CallIds:
    """The upstream's ids of a conversation's calls. Ask for them in the order of the calls.

    Some models read a call's name only from ids `functions.NAME:N`, and return nothing for other forms. Such a
    model gets its own numbers back; other models' calls are numbered through the conversation. `known`: the ids
    in the conversation, which show whether such a model made one.
    """

    def __init__(self, form: IdForm, known: Iterable[str] = ()) -> None:
        self._form = form
        if form == "any" and any(id.startswith(_FN) and _NUMBERED.fullmatch(id) for id in known):
            self._form = "functions"
        self._count = 0
        self._sent: set[str] = set()
        self._tried: dict[str, int] = {}  # by name: the numbers up to this one are taken

    def sent(self, id: str, name: str) -> str:
        """Returns the id of the next call. `name` is the upstream's name of the tool."""
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
    """The ids of a conversation's calls, as 8-byte hashes: a stream keeps them, and there may be thousands.

    A collision, one in 2^64, only causes an unnecessary new id.
    """

    __slots__ = ("_hashes",)

    def __init__(self, ids: Iterable[str] = ()) -> None:
        self._hashes = array("q", sorted(map(hash, ids)))

    def __contains__(self, id: object) -> bool:
        sought = hash(id)
        at = bisect_left(self._hashes, sought)
        return at < len(self._hashes) and self._hashes[at] == sought


def tool_id(id: str | None, request_id: str, index: int, taken: Container[str] = ()) -> str:
    """Returns a call's id for the client: the upstream's, if it is valid at Anthropic and not `taken`.

    Otherwise it is derived. For `functions.NAME:N` it keeps the number.
    """
    if id and _OURS.fullmatch(id) and id not in taken:
        return id
    seed = f"{request_id} {index} {id}"
    numbered = _FUNCTIONS.fullmatch(id) if id else None
    start = f"toolu_fn{int(numbered[1])}_" if numbered else "toolu_"
    while (made := f"{start}{_hash(seed)[:24]}") in taken:  # a host may use one id for all requests
        seed += "+"
    return made


def answer_id(request_id: str) -> str:
    """Returns the id of the answer to a request."""
    return f"msg_{_hash(request_id)[:24]}"


_MAX_NAME = 64


class ToolNames:
    """Maps tool names to at most 64 characters for the upstream, and back."""

    def __init__(self, names: Iterable[str]) -> None:
        self._shown = {self.sent(name): name for name in names if len(name) > _MAX_NAME}

    @staticmethod
    def sent(name: str) -> str:
        """Returns the upstream's name. A long name is cut, and ends in a hash of the whole."""
        return name if len(name) <= _MAX_NAME else f"{name[: _MAX_NAME - 9]}_{_hash(name)[:8]}"

    def shown(self, name: str) -> str:
        """Returns the client's name of a tool."""
        return self._shown.get(name, name)


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()
