"""Everything that can go wrong, as one tree: whose fault, which HTTP status, which wire `type`.

NexusFlowError
├── CallerError            the client's request cannot be served as it is
│   ├── InvalidRequest         400 invalid_request_error
│   ├── AuthenticationFailed   401 authentication_error
│   ├── PermissionDenied       403 permission_error
│   ├── NotFound               404 not_found_error
│   ├── MethodNotAllowed       405 invalid_request_error
│   ├── RequestTimeout         408 invalid_request_error
│   ├── RequestTooLarge        413 request_too_large
│   ├── PathTooLong            414 invalid_request_error
│   ├── UnsupportedMediaType   415 invalid_request_error
│   ├── RateLimited            429 rate_limit_error
│   └── HeadersTooLarge        431 invalid_request_error
├── UpstreamError          the upstream failed us; nothing the client did
│   ├── UpstreamUnreachable    502 api_error       no connection
│   ├── UpstreamProtocolError  502 api_error       closed early, garbage, a redirect
│   │   └── AnswerUnusable         502 api_error       came whole, and cannot be translated
│   ├── UpstreamTimeout        504 timeout_error
│   └── UpstreamStatus         as it said          an error answer of the upstream's own
├── GatewayError           our own fault or state
│   ├── InternalError          500 api_error
│   └── Overloaded             529 overloaded_error
├── ConfigError            the operator's; carries the path in the configuration
│   └── ConfigErrors           several of them
├── InvalidUsage           a usage object that cannot be; offline, and inside of metering
├── UnknownModel           no price for a model; offline, and inside of metering
└── EventTooLarge          a server-sent event over its bound; on the wire it is a 502 api_error
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, TypeVar, cast

import msgspec

__all__ = [
    "AnswerUnusable",
    "AuthenticationFailed",
    "CallerError",
    "ConfigError",
    "ConfigErrors",
    "EventTooLarge",
    "GatewayError",
    "HeadersTooLarge",
    "InternalError",
    "InvalidRequest",
    "InvalidUsage",
    "MethodNotAllowed",
    "NexusFlowError",
    "NotFound",
    "Overloaded",
    "PathTooLong",
    "PermissionDenied",
    "RateLimited",
    "RequestTimeout",
    "RequestTooLarge",
    "UnknownModel",
    "UnsupportedMediaType",
    "UpstreamError",
    "UpstreamProtocolError",
    "UpstreamStatus",
    "UpstreamTimeout",
    "UpstreamUnreachable",
    "error_body",
    "error_event",
    "kept",
]

MAX_TYPE = 100
"""Bound on the characters of an error type that an upstream made up: records have it once an attempt."""

E = TypeVar("E", bound="NexusFlowError")

MAX_MESSAGE = 4000
"""Bound on the characters of a message that goes to a client: it may repeat what a caller or an upstream
wrote."""


class NexusFlowError(Exception):
    """Root of the tree. `status` is the HTTP status, `type` Anthropic's error type on the wire.

    `headers` go out with the answer (`retry-after`, `allow`), `details` in its body: clients go by their
    `error_code`. `reason` is one word for the record, where the type says too little. The message is meant for
    the client: it never holds a key, a URL with credentials or a body.
    """

    status: int = 500
    type: str = "api_error"
    reason: str = ""

    def __init__(
        self,
        message: str,
        *,
        headers: Mapping[str, str] | None = None,
        details: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.headers: Mapping[str, str] = headers or {}
        self.details = details

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickled by what it holds, since subclasses are made of other arguments than the message. An error
        that cannot be unpickled would hang the parent of a worker that raises it."""
        return _unpickled, (type(self), self.args, {**vars(self), "headers": dict(self.headers)})


class CallerError(NexusFlowError):
    """The client's request cannot be served as it is."""

    status = 400
    type = "invalid_request_error"


class InvalidRequest(CallerError):
    """400: malformed or contradictory; the message says where (`model: Field required`)."""


class AuthenticationFailed(CallerError):
    """401: no credential, or a wrong one."""

    status = 401
    type = "authentication_error"


class PermissionDenied(CallerError):
    """403: a known caller, not allowed to do this. For hooks."""

    status = 403
    type = "permission_error"


class NotFound(CallerError):
    """404: a path or model that is not served here."""

    status = 404
    type = "not_found_error"


class MethodNotAllowed(CallerError):
    """405: a path that is served, with another method."""

    status = 405


class RequestTimeout(CallerError):
    """408: the request's body did not arrive in time."""

    status = 408


class RequestTooLarge(CallerError):
    """413: the body is over the limit, as sent or after inflation."""

    status = 413
    type = "request_too_large"


class PathTooLong(CallerError):
    """414: the path, or the whole URL, is over its bound."""

    status = 414


class UnsupportedMediaType(CallerError):
    """415: a body that is not declared to be JSON, where nobody authenticates."""

    status = 415


class RateLimited(CallerError):
    """429: too many calls. For hooks; give `retry-after` in whole seconds."""

    status = 429
    type = "rate_limit_error"


class HeadersTooLarge(CallerError):
    """431: request line and headers are over their bound."""

    status = 431


class UpstreamError(NexusFlowError):
    """The upstream failed. `retryable`: another attempt, perhaps elsewhere, may succeed.

    `reason` is one word for the record, such as "dns" or "refused"; "" leaves the error's type there. `cause`
    is what the operating system or TLS said. It goes into the host's log, and never to the client. `counts`:
    it says something about the health of its target. False where the caller's request can have led to it.
    """

    status = 502
    retryable: bool = True
    counts: bool = True
    cause: str = ""

    def __init__(
        self,
        message: str,
        *,
        headers: Mapping[str, str] | None = None,
        details: Mapping[str, Any] | None = None,
        reason: str = "",
        cause: str = "",
    ) -> None:
        super().__init__(message, headers=headers, details=details)
        self.reason = reason
        self.cause = cause


class UpstreamUnreachable(UpstreamError):
    """502: no connection could be made; the upstream has seen nothing of the call."""


class UpstreamProtocolError(UpstreamError):
    """502: the connection broke, or what came was not an answer (garbage, a redirect, a cut body)."""


class AnswerUnusable(UpstreamProtocolError):
    """502: the model's answer came, and cannot be translated: no choices, arguments that are no JSON, too
    large. A caller's prompt can have led to it, so it counts against no target."""

    counts = False


class UpstreamTimeout(UpstreamError):
    """504: the upstream was silent for longer than its time limit."""

    status = 504
    type = "timeout_error"


_PASSING = frozenset({"api_error", "overloaded_error", "rate_limit_error", "timeout_error"})


class UpstreamStatus(UpstreamError):
    """The upstream answered with an error of its own. On a relayed route its body goes back as it came and
    this only names it; on a translated one this is the answer."""

    regained_at: datetime | None = None
    """When an upstream whose money is used up serves again, in UTC, where it says so."""

    def __init__(
        self,
        status: int,
        type: str,
        message: str = "",
        *,
        headers: Mapping[str, str] | None = None,
        details: Mapping[str, Any] | None = None,
        reason: str = "",
    ) -> None:
        type = type[:MAX_TYPE]
        shown = message or f"upstream answered {status} {type}"
        super().__init__(shown, headers=headers, details=details, reason=reason)
        self.status = status
        self.type = type
        # 408, 409, 429 and every 5xx pass by themselves, 529 too; other 4xx are the caller's making. A
        # stream of status 200 that begins with an error has only the error's type to go by.
        self.retryable = status in (408, 409, 429) or status >= 500 or (status < 400 and type in _PASSING)


class GatewayError(NexusFlowError):
    """Our own fault or state."""


class InternalError(GatewayError):
    """500: a defect of ours. The cause is logged and never shown to the client."""


class Overloaded(GatewayError):
    """529: no room for the call right now, or the process is closing."""

    status = 529
    type = "overloaded_error"


class InvalidUsage(NexusFlowError):
    """A usage object that cannot be: a negative or fractional count, parts that exceed their whole."""


class UnknownModel(NexusFlowError):
    """No price row for a model, or none on that day. Its cost is unknown, which is not 0."""


class ConfigError(NexusFlowError):
    """The configuration is wrong. `path` says where, as `routes[0].targets[1]`; `place`: file, line."""

    def __init__(self, path: str, why: str, *, place: str = "") -> None:
        super().__init__(": ".join(part for part in (place, path, why) if part))
        self.path = path
        self.why = why
        self.place = place


class ConfigErrors(ConfigError):
    """Several mistakes in one configuration, a line each. `path`, `why` and `place` are those of the first."""

    def __init__(self, errors: Sequence[ConfigError]) -> None:
        first = errors[0]
        super().__init__(first.path, first.why, place=first.place)
        self._mistakes = tuple((error.path, error.why, error.place) for error in errors)
        self.message = "\n".join(str(error) for error in errors)
        self.args = (self.message,)

    @property
    def errors(self) -> tuple[ConfigError, ...]:
        """Each mistake as an error of its own."""
        return tuple(ConfigError(path, why, place=place) for path, why, place in self._mistakes)


class EventTooLarge(NexusFlowError):
    """One server-sent event grew over its bound; the stream cannot be framed any further."""

    status = 502


def _unpickled(cls: type[NexusFlowError], args: tuple[Any, ...], members: dict[str, Any]) -> NexusFlowError:
    error = cls.__new__(cls, *args)
    vars(error).update(members)
    return error


def kept(error: E) -> E:
    """Returns the error, without its traceback and causes. Their frames hold the request, so an error that is
    kept without this keeps the whole body until the garbage collector finds the cycle."""
    linked: list[BaseException | None] = [error]
    while linked:
        if (one := linked.pop()) is not None:
            linked += (one.__cause__, one.__context__)
            if isinstance(one, BaseExceptionGroup):
                linked += cast("BaseExceptionGroup[BaseException]", one).exceptions
            # A library's frame may hold the very exception that has it in its traceback.
            one.__traceback__ = one.__context__ = one.__cause__ = None
    return error


def error_body(error: NexusFlowError, request_id: str) -> bytes:
    """The error as Anthropic's JSON body: `{"type":"error","error":{"type","message"},"request_id"}`."""
    shown: dict[str, Any] = {"type": error.type, "message": error.message[:MAX_MESSAGE]}
    if error.details is not None:
        shown["details"] = error.details
    return msgspec.json.encode({"type": "error", "error": shown, "request_id": request_id})


def error_event(error: NexusFlowError, request_id: str) -> bytes:
    """The error as the one `event: error` that ends a stream."""
    return b"event: error\ndata: " + error_body(error, request_id) + b"\n\n"
