"""Prompt caching: markers checked as Anthropic checks them and put where the vendor takes them, and the key
that keeps a conversation on one cache."""

import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import msgspec
from msgspec import Struct

from nexusflow_core.dialects.openai_chat.parts import Part
from nexusflow_core.dialects.openai_chat.vendors import Vendor
from nexusflow_core.errors import InvalidRequest
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
from nexusflow_core.translation.losses import Losses, dotted
from nexusflow_core.translation.turns import Placed
from nexusflow_core.untyped import is_blank, is_list, is_object, is_zero, object_of

__all__ = ["BILLING", "CacheMarkers", "cache_key"]

BILLING = "x-anthropic-billing-header:"
"""Claude Code's billing header changes with every call, so no prefix behind it would ever match."""

_MOST = 4
_CARRIERS = {
    "cache_control": ("text",),
    "prompt_cache_breakpoint": ("text", "image_url", "file", "input_audio"),
}
"""The kinds of parts that can be marked, by the marker's name."""


class _Mark(Struct, frozen=True):
    """A marker of the request: the block or tool that has it, where it counts, and how long it asks to live."""

    path: str
    at: str
    ttl: str
    members: Mapping[str, Any]


class CacheMarkers:
    """The markers of one request, for one vendor. Raises InvalidRequest where Anthropic would.

    `on` and its kin are given parts as they are made, and mark them; `close` names what found no place.
    """

    def __init__(self, request: MessagesRequest, model: str, vendor: Vendor, losses: Losses) -> None:
        self._vendor = vendor
        self._losses = losses
        self._body: dict[str, Any] = {}
        self._placed = 0
        marks = list(_marks(request))
        automatic = _automatic(request, marks)
        _check(marks, automatic)
        self._wanted: dict[str, _Mark] = {}
        if vendor.takes_markers(model):
            self._plan(request, marks, automatic)
        elif not vendor.caches_itself:
            for mark in [*marks, *([automatic] if automatic else ())]:
                losses.hint(_named(mark.path), "this upstream takes no cache markers")
        self.active = bool(self._wanted)
        """Text stays in parts all over the request, so that moving a marker leaves the rest as it was."""

    def _plan(self, request: MessagesRequest, marks: Sequence[_Mark], automatic: _Mark | None) -> None:
        texts = [i for i, block in enumerate(request.system) if block.text and not _is_billing(block)]
        for mark in [*marks, *([automatic] if automatic else ())]:
            self._name_what_is_lost(mark)
        for mark in marks:
            at = mark.at
            if at.startswith("tools["):  # tools take no markers, but stand before the system prompt
                at = f"system[{texts[-1]}]" if texts else at
            before = self._wanted.get(at)
            if before is not None and before.ttl != mark.ttl:
                self._losses.hint(_named(before.path), "the marker behind it holds")
            self._wanted[at] = mark
        if automatic is None:
            return
        if self._vendor.cache_top_level:
            self._body["cache_control"] = self._marker(automatic)["cache_control"]
        elif self._vendor.cache_markers == "cache_control":
            self._wanted.setdefault(automatic.at, automatic)
        # Where breakpoints are marked, one more is set by the vendor itself, at the end: nothing to ask for.

    # Marking

    def on(self, parts: list[Part], path: str) -> list[Part]:
        """The parts that were made of the block at `path`, marked where it was."""
        if path in self._wanted and parts and self._carries(parts[-1]):
            parts[-1] = {**parts[-1], **self._take(path)}
        return parts

    def on_rest(self, parts: list[Part], blocks: Iterable[Placed]) -> None:
        """Marks that a block's own parts could not carry go to the last part of its message that can."""
        if not self._wanted:
            return
        last = next((i for i in reversed(range(len(parts))) if self._carries(parts[i])), None)
        for path, _ in blocks:
            if path in self._wanted and last is not None:
                parts[last] = {**parts[last], **self._take(path)}

    def on_message(self, message: Part, blocks: Sequence[Placed]) -> Part:
        """A message whose content is one text, made of these blocks."""
        content = message.get("content")
        if not self.active or not content or (message["role"] == "tool" and not self._vendor.cache_results):
            return message
        if message["role"] == "assistant" and not any(path in self._wanted for path, _ in blocks):
            return message
        parts: list[Part] = [{"type": "text", "text": content}] if isinstance(content, str) else content
        self.on_rest(parts, blocks)
        return {**message, "content": parts}

    def text(self, parts: list[Part]) -> str | list[Part]:
        """Texts as the content of a message: one, or in parts where there are markers."""
        return parts if self.active else "\n\n".join(part["text"] for part in parts)

    def close(self) -> None:
        """Names the markers that no part could carry."""
        for mark in self._wanted.values():
            self._losses.hint(_named(mark.path), "there is no part here that can carry it")
        self._wanted.clear()

    def body(self) -> dict[str, Any]:
        """Members of the request beside its messages."""
        if self._vendor.cache_markers == "prompt_cache_breakpoint" and self._placed == _MOST:
            # Beside the breakpoint that the vendor sets itself only three would be written.
            return {"prompt_cache_options": {"mode": "explicit"}}
        return self._body

    def _carries(self, part: Part) -> bool:
        return part["type"] in _CARRIERS.get(self._vendor.cache_markers or "", ())

    def _take(self, path: str) -> Part:
        self._placed += 1
        return self._marker(self._wanted.pop(path))

    def _name_what_is_lost(self, mark: _Mark) -> None:
        """Of a marker that goes along."""
        for name in mark.members:
            if name not in ("type", "ttl"):
                self._losses.hint(f"{_named(mark.path)}.{name}", "unknown here")
        if mark.ttl not in self._vendor.cache_ttls:
            self._losses.hint(f"{_named(mark.path)}.ttl", "this upstream has one lifetime only")

    def _marker(self, mark: _Mark) -> Part:
        """The mark in the vendor's words."""
        if self._vendor.cache_markers == "prompt_cache_breakpoint":
            return {"prompt_cache_breakpoint": {"mode": "explicit"}}
        ttl = {"ttl": mark.ttl} if len(self._vendor.cache_ttls) > 1 and "ttl" in mark.members else {}
        return {"cache_control": {"type": "ephemeral", **ttl}}


_HEAD = 1000
"""Characters of an unmarked system prompt that a key goes by: some clients write the time at its end, or the
tokens that are left."""

_SESSION = re.compile(r"session_([0-9a-fA-F-]{36})")


def cache_key(request: MessagesRequest, model: str, tools: Any, tenant: str) -> str:
    """Returns one key for all calls of a tenant that begin alike, which does not tell who that is: by the
    session that Claude Code names, else by the tools and the beginning of the system prompt."""
    session = _session(request.metadata.get("user_id"))
    begins = [session] if session else [_beginning(request.system), tools]
    return hashlib.sha256(msgspec.json.encode(["nexusflow", tenant, model, *begins])).hexdigest()[:32]


def _session(user_id: Any) -> str | None:
    """The session in a user id of Claude Code: `user_..._session_UUID`, or a JSON object as text."""
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
    """The system prompt up to its first marker, which says that it stays; without one the head of its first
    text."""
    texts = [block for block in system if block.text and not _is_billing(block)]
    marked = next((i for i, block in enumerate(texts) if not is_zero(block.cache_control)), None)
    if marked is not None:
        return [block.text for block in texts[: marked + 1]]
    return [block.text[:_HEAD] for block in texts[:1]]


# What Anthropic checks


def _marks(request: MessagesRequest) -> Iterator[_Mark]:
    """Every marker, in the order in which the prefix is built."""
    for index, tool in enumerate(request.tools):
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
    """The usual case, found quickly."""
    if isinstance(block, TextBlock | ToolUseBlock):
        return block.cache_control is None
    return isinstance(block, ToolResultBlock) and block.cache_control is None and not is_list(block.content)


def _mark_of(block: Block, path: str, at: str | None = None) -> Iterator[_Mark]:
    whole = block.data if isinstance(block, OtherBlock) else {}
    given = getattr(block, "cache_control", None) or whole.get("cache_control")
    if given is not None and isinstance(block, TextBlock) and not block.text:
        raise InvalidRequest(f"{dotted(path)}: cache_control cannot be set for empty text blocks")
    yield from _mark(given, path, at)


def _mark(given: Any, path: str, at: str | None = None) -> Iterator[_Mark]:
    if is_zero(given):
        return
    name = dotted(_named(path))
    if not is_object(given):
        raise InvalidRequest(f"{name}: Input should be a valid dictionary")
    if given.get("type") != "ephemeral":
        raise InvalidRequest(f"{name}.type: Input should be 'ephemeral'")
    ttl = given.get("ttl")
    if ttl not in (None, "", "5m", "1h"):
        raise InvalidRequest(f"{name}.ephemeral.ttl: Input should be '5m' or '1h'")
    members = {member: value for member, value in given.items() if not is_blank(value)}
    yield _Mark(path, at or path, ttl or "5m", members)


def _automatic(request: MessagesRequest, marks: Sequence[_Mark]) -> _Mark | None:
    """The marker of the whole request, at the last block that can have one; None where that has one already."""
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
        return _Mark("", at, found.ttl, found.members)
    if own.ttl != found.ttl:
        raise InvalidRequest(
            f"cache_control: the last block, {dotted(at)}, has a cache_control of another ttl, {own.ttl!r}"
        )
    return None


def _check(marks: Sequence[_Mark], automatic: _Mark | None) -> None:
    ordered = [*marks, *([automatic] if automatic else ())]
    if len(ordered) > _MOST:
        raise InvalidRequest(
            f"A maximum of {_MOST} blocks with cache_control may be provided. Found {len(ordered)}."
        )
    short = False
    for mark in ordered:
        if mark.ttl == "1h" and short:
            raise InvalidRequest(
                f"{dotted(_named(mark.path))}.ttl: a ttl='1h' cache_control block must not come after a "
                "ttl='5m' cache_control block. Note that blocks are processed in the following order: "
                "`tools`, `system`, `messages`."
            )
        short = short or mark.ttl == "5m"


def _named(path: str) -> str:
    return f"{path}.cache_control" if path else "cache_control"


def _is_billing(block: TextBlock) -> bool:
    return block.text.startswith(BILLING)
