"""Call: one request of one client, as it came."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Literal, TypeAlias

from msgspec import Struct
from msgspec.structs import force_setattr, replace

from nexusflow_core.json_spans import MAX_VALUES
from nexusflow_core.peek import Peek, inflate, peek
from nexusflow_core.session import Session, read_session
from nexusflow_core.upstream import Credential, Headers, header

__all__ = ["Call", "Endpoint", "Principal"]

Endpoint: TypeAlias = Literal["messages", "count_tokens"]


class Principal(Struct, frozen=True):
    """Who calls. `id` and `metadata` go into the record. `id` is text; the number of a user becomes text.

    `consumes` names the credential headers that were spent on knowing this principal and must not travel
    on: `("authorization",)` for a host that signs its own users in with a bearer token.
    """

    id: str
    metadata: Mapping[str, str] = {}
    consumes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        number: Any = self.id
        if isinstance(number, int) and not isinstance(number, bool):
            force_setattr(self, "id", str(number))


class Call(Struct, frozen=True, kw_only=True):
    """One `POST` to messages or count_tokens, as it came.

    `headers` are the client's without the credentials; `credential` is its own key for an upstream, if it
    brought one. `started_at` is UTC. `body` is untouched; `seen` is what a look at it showed. `max_values`
    bounds the JSON values of a body that must be decoded.
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

    @property
    def model(self) -> str:
        """The model that the body names; "" where the body was not read."""
        return self.seen.model if self.seen else ""

    @property
    def text(self) -> bytes:
        """The body's JSON text, inflated where the body is compressed."""
        return self.seen.text if self.seen else self.body

    @property
    def stream(self) -> bool:
        return self.seen is not None and self.seen.stream

    @property
    def content_encoding(self) -> str:
        """The body's encoding, "" for a plain one."""
        encoding = (header(self.headers, b"content-encoding") or b"").decode("latin-1").strip().lower()
        return "" if encoding == "identity" else encoding

    def look(self, limit: int) -> "Call":
        """This call with `seen` filled in; a compressed body is inflated beside it, to `limit` bytes at most.

        Raises InvalidRequest or RequestTooLarge.
        """
        encoding = self.content_encoding
        text = inflate(self.body, encoding, limit) if encoding else self.body
        return replace(self, seen=peek(text), session=read_session(self.headers, text))

    def answered(self) -> "Call":
        """What a record needs of it. The rest may be large, or secret, and an answer may take an hour."""
        seen = None if self.seen is None else replace(self.seen, text=b"")
        return replace(self, headers=(), query=b"", body=b"", credential=None, seen=seen)

    def __repr__(self) -> str:
        return f"Call({self.endpoint}, {self.request_id}, {self.model!r}, {len(self.body)} bytes)"
