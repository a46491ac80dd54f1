"""What the simulated endpoints share: credentials, bodies of bounded depth, ids, and responses."""

import hashlib
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

import msgspec
from msgspec import Struct

from nexusflow_core.errors import CallerError, InvalidRequestError, NexusFlowError, UpstreamStatusError
from nexusflow_core.messages import read_body
from nexusflow_core.simulator.cache import CacheAt
from nexusflow_core.untyped import is_list, is_object
from nexusflow_core.upstream import Headers

__all__ = ["Endpoint", "Service", "SimulatedResponse", "decode_body", "made_id", "read_as"]

MAX_DEPTH = 128
"""Maximum depth of a body. Tool schemas reach about 30. The interpreter's recursion limit is far higher."""

S = TypeVar("S", bound=Struct)


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


class Service(Struct, frozen=True):
    """One service. A request needs a header in `credentials`.

    `headers` are those of an answer, or of an error. `error_json` is the body of an error. Both get the
    request's body, to make ids.
    """

    credentials: tuple[bytes, ...]
    no_credential: UpstreamStatusError
    headers: Callable[[bytes, NexusFlowError | None], Headers]
    error_json: Callable[[NexusFlowError, bytes], Any]

    def answer(self, made: Any, body: bytes) -> SimulatedResponse:
        """Returns an answer: the JSON of a dict or of Raw, else server-sent events."""
        headers = self.headers(body, None)
        if isinstance(made, dict | msgspec.Raw):
            return _json_response(200, made, headers)
        return SimulatedResponse(200, [(b"content-type", b"text/event-stream; charset=utf-8"), *headers], made)

    def refuse(self, error: NexusFlowError, body: bytes) -> SimulatedResponse:
        """Returns an error before the first byte of an answer."""
        more = [(name.encode(), value.encode()) for name, value in error.headers.items()]
        return _json_response(error.status, self.error_json(error, body), [*self.headers(body, error), *more])


class Endpoint(Struct, frozen=True):
    """One endpoint of a service. `answer` returns JSON, or the chunks of a stream.

    It may raise CallerError, or an error that the user requested.
    """

    service: Service
    answer: Callable[[bytes, CacheAt], Any]

    def __call__(self, headers: Headers, body: bytes, cache: CacheAt) -> SimulatedResponse:
        """Returns the answer to a request. Never raises. The cache remembers the request."""
        service = self.service
        if not any(name.lower() in service.credentials and value.strip() for name, value in headers):
            return service.refuse(service.no_credential, body)
        try:
            return service.answer(self.answer(body, cache), body)
        except (CallerError, UpstreamStatusError) as error:
            return service.refuse(error, body)


def decode_body(body: bytes) -> dict[str, Any]:
    """Returns a body that is a JSON object, safe for recursion.

    Raises InvalidRequestError or RequestTooLargeError.
    """
    value = read_body(body)
    if _is_deeper(value, MAX_DEPTH):
        raise InvalidRequestError("The request body nests too deeply")
    return value


def read_as(body: bytes, form: type[S]) -> S:
    """Returns a body in the form of a Struct. Raises InvalidRequestError or RequestTooLargeError."""
    try:
        return msgspec.convert(decode_body(body), form)
    except msgspec.ValidationError as error:
        raise InvalidRequestError(str(error)) from None


def made_id(prefix: str, body: bytes, nth: int = 0) -> str:
    """Returns an id that depends only on the request's body and a running number."""
    digest = hashlib.sha256(body + b"\0" + prefix.encode() + str(nth).encode())
    return prefix + digest.hexdigest()[:24]


def _json_response(status: int, value: Any, headers: Headers) -> SimulatedResponse:
    content_type = (b"content-type", b"application/json")
    return SimulatedResponse(status, [content_type, *headers], (msgspec.json.encode(value),))


def _is_deeper(value: Any, levels: int) -> bool:
    inner = value.values() if is_object(value) else value if is_list(value) else None
    return inner is not None and (levels == 0 or any(_is_deeper(each, levels - 1) for each in inner))
