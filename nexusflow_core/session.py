"""Session: the session, agent and payer that a client's headers and body state."""

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from nexusflow_core.peek import Peek
from nexusflow_core.upstream import Headers, derived, header

__all__ = ["Session", "read_session"]

_MAX_ID = 128
_PAYER = b'"user_profile"'


class Session(Struct, frozen=True):
    """Ids that Claude Code sends with each call, or None. `bill_to`: the body's payer, if not the caller."""

    session_id: str | None = None
    agent_id: str | None = None
    parent_agent_id: str | None = None
    bill_to: str | None = None


class _Policy(Struct):
    bill_to: str = ""


class _Body(Struct):
    billing_policy: _Policy | None = None


_IDS = (b"x-claude-code-session-id", b"x-claude-code-agent-id", b"x-claude-code-parent-agent-id")
_NAMES = frozenset(_IDS)
_NONE = Session()
_body = msgspec.json.Decoder(_Body)


def read_session(headers: Headers, seen: Peek) -> Session:
    """Returns the ids in a call's headers, and the payer in its body.

    An id of more than 128 characters, or with unprintable ones, is ignored.
    """
    named = derived(headers, "session", _of_headers)
    if seen.noted and "billing_policy" in seen.noted and _PAYER in seen.text:
        return replace(named, bill_to=_payer(seen.text))
    return named


def _of_headers(headers: Headers) -> Session:
    found = [pair for pair in headers if pair[0] in _NAMES]
    return Session(*[_id(found, name) for name in _IDS]) if found else _NONE


def _id(headers: Headers, name: bytes) -> str | None:
    value = (header(headers, name) or b"").strip()
    fits = 0 < len(value) <= _MAX_ID and all(0x20 <= byte < 0x7F for byte in value)
    return value.decode("ascii") if fits else None


def _payer(text: bytes) -> str | None:
    try:
        policy = _body.decode(text).billing_policy
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    return "user_profile" if policy is not None and policy.bill_to == "user_profile" else None
