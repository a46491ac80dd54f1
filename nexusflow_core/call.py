"""Call: one request of one client, unchanged."""

from collections.abc import Mapping
from datetime import datetime
from hashlib import sha256
from typing import Any, Literal, TypeAlias

from msgspec import Struct
from msgspec.structs import force_setattr, replace

from nexusflow_core.budgets import Cap
from nexusflow_core.json_spans import MAX_VALUES
from nexusflow_core.peek import Peek, inflate, peek
from nexusflow_core.session import Session, read_session
from nexusflow_core.upstream import Credential, Headers, derived, header

__all__ = ["Call", "Endpoint", "Principal"]

Endpoint: TypeAlias = Literal["messages", "count_tokens"]

_LONG_ID = 90
"""Characters above which a caller's scope has a hash of its id: scopes are keys in a database."""


def _content_encoding(headers: Headers) -> str:
    return (header(headers, b"content-encoding") or b"").decode("latin-1").strip().lower()


class Principal(Struct, frozen=True):
    """The caller. `id` and `metadata` go into the record, and are strings. An integer `id` becomes a string.

    `consumes` names credential headers that belong to the host and must not be sent upstream:
    `("authorization",)` for a host that authenticates its own users by bearer tokens.

    `scopes` names whom its calls count for, such as `("user:u1", "team:red")`: caps are set for scopes, and the
    record lists them. Every caller also has the scope `caller:ID`. `caps` limit this caller beside the
    configured ones.

    `models`: the names and patterns of the models that it may use and see, such as `("claude-haiku-*",)`; all
    if empty.
    """

    id: str
    metadata: Mapping[str, str] = {}
    consumes: tuple[str, ...] = ()
    scopes: tuple[str, ...] = ()
    models: tuple[str, ...] = ()
    caps: tuple[Cap, ...] = ()

    def __post_init__(self) -> None:
        number: Any = self.id
        if isinstance(number, int) and not isinstance(number, bool):
            force_setattr(self, "id", str(number))


class Call(Struct, frozen=True, kw_only=True):
    """One `POST` to messages or count_tokens, unchanged.

    `headers` are the client's without credentials. `credential` is its own key for an upstream, if it sent one.
    `started_at` is UTC. `body` is as received; `seen` is the result of a peek at it. `max_values` bounds the
    JSON values of a body that must be decoded.
    """

    endpoint: Endpoint
    request_id: str
    started_at: datetime
    headers: Headers = ()
    query: bytes = b""
    body: bytes = b""
    credential: Credential | None = None
    principal: Principal | None = None
    seen: Peek | None = None
    session: Session = Session()
    max_values: int = MAX_VALUES
    served_as: str | None = None
    """The model whose route serves the call instead, because a soft cap is used up."""
    without: frozenset[str] = frozenset()
    """Parts that an upstream refused, and that are left out of the next attempt: `summaries` of its reasoning,
    `reasoning` of earlier turns, and `NAME/PART` for a member or a beta at the upstream of this name."""

    @property
    def model(self) -> str:
        """The body's model; "" if the body was not read."""
        return self.seen.model if self.seen else ""

    @property
    def scopes(self) -> tuple[str, ...]:
        """Whom this call counts for: `caller:ID`, and the scopes of the principal; each once."""
        who = self.principal
        if who is None:
            return ("caller:anonymous",)
        id = who.id if len(who.id) <= _LONG_ID else sha256(who.id.encode()).hexdigest()
        return (f"caller:{id}",) if not who.scopes else tuple(dict.fromkeys((f"caller:{id}", *who.scopes)))

    @property
    def text(self) -> bytes:
        """The body's JSON text, inflated if it was compressed."""
        return self.seen.text if self.seen else self.body

    @property
    def stream(self) -> bool:
        """True if the body asks for a stream."""
        return self.seen is not None and self.seen.stream

    @property
    def marked(self) -> bool:
        """True if the body may contain thinking that the gateway has marked."""
        return self.seen is not None and self.seen.marked

    def may_have(self, member: str) -> bool:
        """True if the body may have this member: `thread` or `billing_policy`."""
        return self.seen is None or member in self.seen.noted

    @property
    def content_encoding(self) -> str:
        """The body's content encoding, in lower case; "" if it is not compressed."""
        encoding = derived(self.headers, "content-encoding", _content_encoding)
        return "" if encoding == "identity" else encoding

    def look(self, limit: int) -> "Call":
        """Returns this call with `seen` filled in, see `read`."""
        return self.read(self.body, limit)

    def read(self, body: bytes, limit: int) -> "Call":
        """Returns this call with its body, and a peek at it. A compressed body is inflated, to at most `limit`
        bytes.

        Raises InvalidRequestError or RequestTooLargeError.
        """
        encoding = self.content_encoding
        text = inflate(body, encoding, limit) if encoding else body
        seen = peek(text)
        return replace(self, body=body, seen=seen, session=read_session(self.headers, seen))

    def answered(self) -> "Call":
        """Returns the part that a record needs. The rest is large or secret, and an answer may take an hour."""
        seen = None if self.seen is None else replace(self.seen, text=b"")
        return replace(self, headers=(), query=b"", body=b"", credential=None, seen=seen)

    def __repr__(self) -> str:
        return f"Call({self.endpoint}, {self.request_id}, {self.model!r}, {len(self.body)} bytes)"
