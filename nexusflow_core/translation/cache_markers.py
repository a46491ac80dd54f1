"""Prompt caching: checks a request's markers as Anthropic does, and makes a cache key for its beginning.

The key keeps a conversation on one cache.
"""

import hashlib
import re
from collections.abc import Container, Iterator, Mapping, Sequence
from typing import Any

import msgspec
from msgspec import Struct

from nexusflow_core.errors import InvalidRequestError
from nexusflow_core.messages import (
    Block,
    MessagesRequest,
    OtherBlock,
    RedactedThinkingBlock,
    TextBlock,
    ThinkingBlock,
    ToolResultBlock,
    ToolUseBlock,
)
from nexusflow_core.translation.context import Translation
from nexusflow_core.translation.losses import dotted
from nexusflow_core.untyped import is_blank, is_list, is_object, is_zero, object_of

__all__ = ["MOST_MARKERS", "CacheMarker", "WantedMarkers", "cache_key", "checked_marks", "is_billing", "named"]

_BILLING = "x-anthropic-billing-header:"
"""Claude Code's billing header changes with every call, so it would break every cached prefix."""

MOST_MARKERS = 4


class CacheMarker(Struct, frozen=True):
    """A marker: the block or tool that has it, its effective place, and its time to live."""

    path: str
    at: str
    ttl: str
    members: Mapping[str, Any]


def checked_marks(request: MessagesRequest) -> tuple[list[CacheMarker], CacheMarker | None]:
    """Returns the markers in the order of the prefix, and the automatic marker of the whole request.

    Raises InvalidRequestError in the same cases as Anthropic.
    """
    marks = list(_marks(request))
    automatic = _automatic(request, marks)
    _check(marks, automatic)
    return marks, automatic


class WantedMarkers:
    """A request's markers by the place where each is wanted, for an upstream that `takes` markers.

    Raises InvalidRequestError in the same cases as Anthropic. Lists what an upstream does not take: members,
    lifetimes beside `ttls`, and all markers where it neither takes any nor `caches_itself`.
    """

    def __init__(
        self, translation: Translation, *, takes: bool, caches_itself: bool, ttls: Container[str]
    ) -> None:
        self._losses = translation.losses
        marks, automatic = checked_marks(translation.request)
        every = [*marks, *([automatic] if automatic else ())]
        self._wanted: dict[str, CacheMarker] = {}
        self._automatic = automatic if takes else None
        texts = [
            i for i, block in enumerate(translation.request.system) if block.text and not is_billing(block)
        ]
        for mark in every:
            if takes:
                self._list_dropped_members(mark, ttls)
            elif not caches_itself:
                translation.losses.hint(named(mark.path), "this upstream takes no cache markers")
        for mark in marks if takes else ():
            on_tool = mark.at.startswith("tools[")  # tools take no markers, but precede the system prompt
            self._want(mark, f"system[{texts[-1]}]" if on_tool and texts else mark.at)

    def _want(self, mark: CacheMarker, at: str) -> None:
        before = self._wanted.get(at)
        if before is not None and before.ttl != mark.ttl:
            self._losses.hint(named(before.path), "the marker behind it holds")
        self._wanted[at] = mark

    def close(self) -> None:
        """Lists the markers that no part could carry."""
        for mark in self._wanted.values():
            self._losses.hint(named(mark.path), "there is no part here that can carry it")
        self._wanted.clear()

    def _list_dropped_members(self, mark: CacheMarker, ttls: Container[str]) -> None:
        for name in mark.members:
            if name not in ("type", "ttl"):
                self._losses.hint(f"{named(mark.path)}.{name}", "unknown here")
        if mark.ttl not in ttls:
            self._losses.hint(f"{named(mark.path)}.ttl", "this upstream has one lifetime only")


def named(path: str) -> str:
    """Returns the path of a marker's `cache_control`; "" means the whole request."""
    return f"{path}.cache_control" if path else "cache_control"


def is_billing(block: TextBlock) -> bool:
    """True if a system text is the client's billing header, which must not precede a cached prefix."""
    return block.text.startswith(_BILLING)


_HEAD = 1000
"""Characters of an unmarked system prompt that the key depends on. Some clients write the time, or the number
of remaining tokens, at its end."""

_SESSION = re.compile(r"session_([0-9a-fA-F-]{36})")


def cache_key(translation: Translation, body: dict[str, Any]) -> str:
    """Returns one key for all calls of a tenant with the same beginning. It does not reveal the tenant.

    It depends on Claude Code's session, else on the tools and the beginning of the system prompt. The tools in
    the upstream's `body` may be replaced by their JSON, so that they are encoded once.
    """
    session = _session(translation.request.metadata.get("user_id"))
    begins = session or _beginning(translation.request.system)
    hashed = hashlib.sha256(
        msgspec.json.encode(["nexusflow", translation.tenant, translation.model, begins])[:-1]
    )
    if not session:
        tools = msgspec.json.encode(body.get("tools"))
        if "tools" in body:
            body["tools"] = msgspec.Raw(tools)
        hashed.update(b",")
        hashed.update(tools)
    hashed.update(b"]")
    return hashed.hexdigest()[:32]


def _session(user_id: Any) -> str | None:
    """Returns the session in Claude Code's user id: `user_..._session_UUID`, or a JSON object as text."""
    if not isinstance(user_id, str):
        return None
    if user_id.startswith("{"):
        try:
            session = object_of(msgspec.json.decode(user_id)).get("session_id")
        except (msgspec.DecodeError, UnicodeError, RecursionError):
            return None
        return session if isinstance(session, str) and session else None
    found = _SESSION.search(user_id)
    return found[1] if found else None


def _beginning(system: Sequence[TextBlock]) -> list[str]:
    """Returns the system prompt up to its first marker, or the beginning of its first text."""
    texts = [block for block in system if block.text and not is_billing(block)]
    marked = next((i for i, block in enumerate(texts) if not is_zero(block.cache_control)), None)
    if marked is not None:
        return [block.text for block in texts[: marked + 1]]
    return [block.text[:_HEAD] for block in texts[:1]]


# Checks


def _marks(request: MessagesRequest) -> Iterator[CacheMarker]:
    """Yields every marker, in the order of the prefix."""
    for index, tool in enumerate(request.tools):
        if tool.cache_control is not None:
            yield from _mark(tool.cache_control, f"tools[{index}]")
    for index, text in enumerate(request.system):
        yield from _mark_of(text, f"system[{index}]")
    for number, message in enumerate(request.messages):
        for index, block in enumerate(message.content):
            if _surely_unmarked(block):
                continue
            path = f"messages[{number}].content[{index}]"
            if isinstance(block, ToolResultBlock) and isinstance(block.content, list):
                for position, inner in enumerate(block.content):
                    yield from _mark_of(inner, f"{path}.content[{position}]", at=path)
            yield from _mark_of(block, path)


def _surely_unmarked(block: Block) -> bool:
    """True for most blocks, decided quickly."""
    if isinstance(block, (TextBlock, ToolUseBlock)):
        return block.cache_control is None
    return isinstance(block, ToolResultBlock) and block.cache_control is None and not is_list(block.content)


def _mark_of(block: Block, path: str, at: str | None = None) -> Iterator[CacheMarker]:
    whole = block.data if isinstance(block, OtherBlock) else {}
    given = getattr(block, "cache_control", None) or whole.get("cache_control")
    if given is not None and isinstance(block, TextBlock) and not block.text:
        raise InvalidRequestError(f"{dotted(path)}: cache_control cannot be set for empty text blocks")
    yield from _mark(given, path, at)


def _mark(given: Any, path: str, at: str | None = None) -> Iterator[CacheMarker]:
    if is_zero(given):
        return
    name = dotted(named(path))
    if not is_object(given):
        raise InvalidRequestError(f"{name}: Input should be a valid dictionary")
    if given.get("type") != "ephemeral":
        raise InvalidRequestError(f"{name}.type: Input should be 'ephemeral'")
    ttl = given.get("ttl")
    if ttl not in (None, "", "5m", "1h"):
        raise InvalidRequestError(f"{name}.ephemeral.ttl: Input should be '5m' or '1h'")
    members = {member: value for member, value in given.items() if not is_blank(value)}
    yield CacheMarker(path, at or path, ttl or "5m", members)


def _automatic(request: MessagesRequest, marks: Sequence[CacheMarker]) -> CacheMarker | None:
    """Returns the marker of the whole request, at the last possible block; None if that block has one."""
    found = next(_mark(request.extra.get("cache_control"), ""), None)
    if found is None:
        return None
    thinking = ThinkingBlock | RedactedThinkingBlock
    last = [
        f"messages[{number}].content[{index}]"
        for number, message in enumerate(request.messages)
        for index, block in enumerate(message.content)
        if not isinstance(block, thinking) and getattr(block, "text", True)
    ]
    at = last[-1] if last else ""
    own = next((mark for mark in marks if mark.path == at), None)
    if own is None:
        return CacheMarker("", at, found.ttl, found.members)
    if own.ttl != found.ttl:
        raise InvalidRequestError(
            f"cache_control: the last block, {dotted(at)}, has a cache_control of another ttl, {own.ttl!r}"
        )
    return None


def _check(marks: Sequence[CacheMarker], automatic: CacheMarker | None) -> None:
    ordered = [*marks, *([automatic] if automatic else ())]
    if len(ordered) > MOST_MARKERS:
        raise InvalidRequestError(
            f"A maximum of {MOST_MARKERS} blocks with cache_control may be provided. Found {len(ordered)}."
        )
    short = False
    for mark in ordered:
        if mark.ttl == "1h" and short:
            raise InvalidRequestError(
                f"{dotted(named(mark.path))}.ttl: a ttl='1h' cache_control block must not come after a "
                "ttl='5m' cache_control block. Note that blocks are processed in the following order: "
                "`tools`, `system`, `messages`."
            )
        short = short or mark.ttl == "5m"
