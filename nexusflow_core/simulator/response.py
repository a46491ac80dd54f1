"""The answer of the simulated upstream, in the pieces in which it would arrive."""

import hashlib
from collections.abc import Iterable

from msgspec import Struct

from nexusflow_core.upstream import Headers

__all__ = ["EVENT_STREAM", "JSON", "SimulatedResponse", "has_credential", "made_id"]

JSON = (b"content-type", b"application/json")
EVENT_STREAM = (b"content-type", b"text/event-stream; charset=utf-8")


class SimulatedResponse(Struct, frozen=True):
    """Status, headers, and the body in chunks: one per stream event, else a single one.

    `chunks` can be iterated several times. A stream's chunks are made during iteration.
    """

    status: int
    headers: Headers
    chunks: Iterable[bytes]

    @property
    def body(self) -> bytes:
        """All chunks together."""
        return b"".join(self.chunks)


def has_credential(headers: Headers, *names: bytes) -> bool:
    """True if one of these headers has a value."""
    return any(name.lower() in names and value.strip() for name, value in headers)


def made_id(prefix: str, body: bytes, nth: int = 0) -> str:
    """Returns an id that depends only on the request's body and a running number."""
    digest = hashlib.sha256(body + b"\0" + prefix.encode() + str(nth).encode())
    return prefix + digest.hexdigest()[:24]
