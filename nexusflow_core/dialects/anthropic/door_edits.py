"""Edits for a cloud's door: betas and members that it refuses. Text is cut out, and never written anew."""

import re
from collections.abc import Set

import msgspec

from nexusflow_core.dialects.anthropic.doors import Door, beta_allowed
from nexusflow_core.json_spans import members, spliced
from nexusflow_core.routing import Target
from nexusflow_core.untyped import MALFORMED, object_of
from nexusflow_core.upstream import Headers

__all__ = ["betas_of_member", "edit_for_door"]

_BETA = b"anthropic-beta"

_MOST_BETAS = 100
"""Bound on the betas of one call that are looked at. The rest is dropped."""

_NEEDS_BETA = {
    "context_management": ("context-management-", "compact-"),
    "safeguards": ("dangerous-tool-use-",),
}
"""Members that a door refuses without one of these betas."""

_CACHE_CONTROL = re.compile(rb'(?<!\\)"cache_control"\s*+:\s*+(\{[^{}"]*+(?:"[^"\\]*+"[^{}"]*+)*+\})')
_SCOPE = b'"scope"'


def betas_of_member(name: str) -> tuple[str, ...]:
    """Returns the beginnings of betas that belong to a member of the body."""
    return _NEEDS_BETA.get(name, (name.replace("_", "-"),))


def edit_for_door(
    door: Door, text: bytes, headers: Headers, target: Target, refused: Set[str] = frozenset()
) -> tuple[bytes, list[tuple[bytes, bytes]], tuple[str, ...]]:
    """Returns body and headers without what the door refuses, and the edits. Unchanged text is the same object.

    `refused`: members and betas that the cloud refused in an earlier attempt. A member that would change the
    answer stays: the cloud refuses it, and its error says so.
    """
    kept, cut = _betas(door, headers, refused)
    edits = [f"anthropic-beta:{beta}" for beta in cut]
    sent = [pair for pair in headers if pair[0] != _BETA]
    if kept:
        sent.append((_BETA, ",".join(kept).encode("latin-1")))
    if door.betas is None:
        return text, list(headers), ()
    gone = _refused_members(door, text, target, kept, cut)
    gone |= refused & {name for name, _, _ in members(text)} if refused else set()
    if gone:
        text = spliced(text, dict.fromkeys(gone))
        edits += sorted(gone)
    if not door.cache_scope and _SCOPE in text:
        scoped = _CACHE_CONTROL.sub(_without_scope, text)
        if scoped != text:
            text = scoped
            edits.append("cache_control.scope")
    return text, (sent if cut else list(headers)), tuple(edits)


def _betas(door: Door, headers: Headers, refused: Set[str]) -> tuple[list[str], list[str]]:
    """Returns the betas to send, each once and under the door's name, and the refused or renamed ones.

    A refused member takes its betas along.
    """
    with_members = tuple(begin for name in refused for begin in betas_of_member(name))
    listed = b",".join([value for name, value in headers if name == _BETA]).decode("latin-1")
    kept: dict[str, None] = {}
    cut: dict[str, None] = {}
    for beta in [name for part in listed.split(",") if (name := part.strip())]:
        name = door.renamed_betas.get(beta, beta)
        taken = name in refused or name.startswith(with_members)
        if not taken and beta_allowed(door, name) and len(kept) < _MOST_BETAS:
            kept[name] = None
        if name != beta or name not in kept:
            cut[beta[:100]] = None
    return list(kept), list(cut)[:_MOST_BETAS]


def _refused_members(door: Door, text: bytes, target: Target, kept: list[str], cut: list[str]) -> set[str]:
    """Returns the names of the members to cut."""
    gone: set[str] = set()
    for name, start, end in members(text):
        if name in door.dropped:
            gone.add(name)
        elif name == "inference_geo":
            gone |= {name} if _covers(target, text[start:end]) else set()
        elif name in _NEEDS_BETA:
            needed = _NEEDS_BETA[name]
            if any(beta.startswith(needed) for beta in cut) and not any(b.startswith(needed) for b in kept):
                gone.add(name)
        elif name == "metadata" and door.user_id is not None and not _plain_user(door.user_id, text[start:end]):
            gone.add(name)
    return gone


def _covers(target: Target, value: bytes) -> bool:
    """True if the target runs where `inference_geo` asks for. Otherwise the cloud must refuse it."""
    place = target.upstream.place.region or ""
    if value in (b"null", b'"global"'):
        return True
    return value == b'"us"' and place.startswith("us-") and not (target.model or "").startswith("global.")


def _plain_user(pattern: re.Pattern[str], value: bytes) -> bool:
    """True if `metadata.user_id` has the form that the door accepts, or is absent."""
    try:
        user = object_of(msgspec.json.decode(value)).get("user_id")
    except MALFORMED:
        return True
    return not isinstance(user, str) or pattern.fullmatch(user) is not None


def _without_scope(found: re.Match[bytes]) -> bytes:
    """Returns a `cache_control` without its scope. Only a marker of prompt caching has the type `ephemeral`."""
    if _SCOPE not in found[1] or b'"ephemeral"' not in found[1]:
        return found[0]
    return found[0][: found.start(1) - found.start()] + spliced(found[1], {"scope": None})
