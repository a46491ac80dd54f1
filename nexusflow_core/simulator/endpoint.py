"""Shared parts of the simulated endpoints: credentials, bodies of bounded depth, ids, and responses."""

import hashlib
from collections.abc import Callable, Iterable
from typing import Any

import msgspec
from msgspec import Struct

from nexusflow_core.errors import CallerError, InvalidRequestError, NexusFlowError, UpstreamStatusError
from nexusflow_core.messages import read_body
from nexusflow_core.simulator.cache import CacheAt
from nexusflow_core.untyped import is_list, is_object
from nexusflow_core.upstream import Headers

__all__ = ["Endpoint", "SimulatedResponse", "decode_body", "json_response", "made_id", "stream_response"]

MAX_DEPTH = 128
"""Maximum depth of a body. Tool schemas reach about 30. The interpreter's recursion limit is far higher."""


class SimulatedResponse(Struct, frozen=True):
    """Status, headers, and the body in chunks: one chunk per stream event, or a single chunk.

    `chunks` can be iterated several times. A stream's chunks are made during iteration.
    """

    status: int
    headers: Headers
    chunks: Iterable[bytes]

    @property
    def body(self) -> bytes:
        """The whole body."""
        return b"".join(self.chunks)


class Endpoint(Struct, frozen=True):
    """One endpoint. A request needs a header in `credentials`. `answer` may raise CallerError."""

    credentials: tuple[bytes, ...]
    no_credential: UpstreamStatusError
    answer: Callable[[bytes, CacheAt], SimulatedResponse]
    refuse: Callable[[NexusFlowError, bytes], SimulatedResponse]

    def __call__(self, headers: Headers, body: bytes, cache: CacheAt) -> SimulatedResponse:
        """Returns the answer to a request. Never raises. The cache remembers the request."""
        if not any(name.lower() in self.credentials and value.strip() for name, value in headers):
            return self.refuse(self.no_credential, body)
        try:
            return self.answer(body, cache)
        except CallerError as error:
            return self.refuse(error, body)


def json_response(status: int, value: Any, headers: Headers) -> SimulatedResponse:
    """Returns a response of one JSON value."""
    headers = [(b"content-type", b"application/json"), *headers]
    return SimulatedResponse(status, headers, (msgspec.json.encode(value),))


def stream_response(chunks: Iterable[bytes], headers: Headers) -> SimulatedResponse:
    """Returns a response of server-sent events."""
    return SimulatedResponse(200, [(b"content-type", b"text/event-stream; charset=utf-8"), *headers], chunks)


def decode_body(body: bytes) -> dict[str, Any]:
    """Returns a body that is a JSON object, safe for recursion.

    Raises InvalidRequestError or RequestTooLargeError.
    """
    value = read_body(body)
    if _is_deeper(value, MAX_DEPTH):
        raise InvalidRequestError("The request body nests too deeply")
    return value


def made_id(prefix: str, body: bytes, nth: int = 0) -> str:
    """Returns an id that depends only on the request's body and a running number."""
    digest = hashlib.sha256(body + b"\0" + prefix.encode() + str(nth).encode())
    return prefix + digest.hexdigest()[:24]


def _is_deeper(value: Any, levels: int) -> bool:
    inner = value.values() if is_object(value) else value if is_list(value) else None
    return inner is not None and (levels == 0 or any(_is_deeper(each, levels - 1) for each in inner))
