"""All errors as one tree, with the cause, the HTTP status and the wire `type` of each.

Every exception class ends in `Error`, here and in the rest of both packages; nothing else does.

NexusFlowError
├── CallerError                     the client's request cannot be served as it is
│   ├── InvalidRequestError             400 invalid_request_error
│   ├── AuthenticationFailedError       401 authentication_error
│   ├── PermissionDeniedError           403 permission_error
│   ├── NotFoundError                   404 not_found_error
│   ├── MethodNotAllowedError           405 invalid_request_error
│   ├── RequestTimeoutError             408 invalid_request_error
│   ├── RequestTooLargeError            413 request_too_large
│   ├── PathTooLongError                414 invalid_request_error
│   ├── UnsupportedMediaTypeError       415 invalid_request_error
│   ├── RateLimitedError                429 rate_limit_error
│   ├── CapReachedError                 429 billing_error
│   └── HeadersTooLargeError            431 invalid_request_error
├── UpstreamError                   the upstream failed; the client did nothing wrong
│   ├── UpstreamUnreachableError        502 api_error       no connection
│   ├── UpstreamProtocolError           502 api_error       closed early, garbage, a redirect
│   │   └── AnswerUnusableError             502 api_error       a whole answer that cannot be translated
│   ├── UpstreamTimeoutError            504 timeout_error
│   └── UpstreamStatusError             the upstream's      an error answer of the upstream
├── GatewayError                    the gateway's own fault or state
│   ├── InternalError                   500 api_error
│   └── OverloadedError                 529 overloaded_error
├── ConfigError                     the operator's mistake; has the path in the configuration
│   └── CombinedConfigError             several of them
├── InvalidUsageError               an impossible usage object; offline and in metering
├── UnknownModelError               no price for a model; offline and in metering
└── EventTooLargeError              a server-sent event over its bound; 502 api_error on the wire
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, TypeVar, cast

import msgspec

__all__ = [
    "AnswerUnusableError",
    "AuthenticationFailedError",
    "CallerError",
    "CapReachedError",
    "CombinedConfigError",
    "ConfigError",
    "EventTooLargeError",
    "GatewayError",
    "HeadersTooLargeError",
    "InternalError",
    "InvalidRequestError",
    "InvalidUsageError",
    "MethodNotAllowedError",
    "NexusFlowError",
    "NotFoundError",
    "OverloadedError",
    "PathTooLongError",
    "PermissionDeniedError",
    "RateLimitedError",
    "RequestTimeoutError",
    "RequestTooLargeError",
    "UnknownModelError",
    "UnsupportedMediaTypeError",
    "UpstreamError",
    "UpstreamProtocolError",
    "UpstreamStatusError",
    "UpstreamTimeoutError",
    "UpstreamUnreachableError",
    "error_body",
    "kept",
]

MAX_TYPE = 100
"""Bound on the characters of an upstream's error type. Each attempt records it."""

E = TypeVar("E", bound="NexusFlowError")

MAX_MESSAGE = 4000
"""Bound on the characters of a message to a client: it may quote a caller or an upstream."""


class NexusFlowError(Exception):
    """Root of the tree. `status` is the HTTP status, `type` Anthropic's error type.

    `headers` are sent with the answer (`retry-after`, `allow`), `details` in its body: clients read their
    `error_code`. `reason` is one word for the record, if `type` is too general. The message is for the client:
    it never contains a key, a body, or a URL with credentials.
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
        """Pickles the error's members, since subclasses take other arguments than the message.

        An error that cannot be unpickled would hang the parent of the worker process that raised it.
        """
        return _unpickled, (type(self), self.args, {**vars(self), "headers": dict(self.headers)})


class CallerError(NexusFlowError):
    """The gateway cannot serve the client's request; the reason lies with the caller."""

    status = 400
    type = "invalid_request_error"


class InvalidRequestError(CallerError):
    """400: malformed or contradictory. The message names the place (`model: Field required`)."""


class AuthenticationFailedError(CallerError):
    """401: no credential, or a wrong one."""

    status = 401
    type = "authentication_error"


class PermissionDeniedError(CallerError):
    """403: the caller is known, but not allowed to do this. For hooks."""

    status = 403
    type = "permission_error"


class NotFoundError(CallerError):
    """404: a path or model that is not served here."""

    status = 404
    type = "not_found_error"


class MethodNotAllowedError(CallerError):
    """405: the path is served, but not with this method."""

    status = 405


class RequestTimeoutError(CallerError):
    """408: the request body did not arrive in time."""

    status = 408


class RequestTooLargeError(CallerError):
    """413: the body is larger than the limit, as sent or after inflation; or headers and query are."""

    status = 413
    type = "request_too_large"


class PathTooLongError(CallerError):
    """414: the path or the whole URL is longer than its bound."""

    status = 414


class UnsupportedMediaTypeError(CallerError):
    """415: the body is not declared as JSON, on a gateway without authentication."""

    status = 415


class RateLimitedError(CallerError):
    """429: too many calls. For hooks: give `retry-after` in whole seconds."""

    status = 429
    type = "rate_limit_error"


class CapReachedError(CallerError):
    """429: a cap on spending, requests or tokens refuses the call. The message has scope, window and time."""

    status = 429
    type = "billing_error"


class HeadersTooLargeError(CallerError):
    """431: request line and headers are larger than their bound."""

    status = 431


class UpstreamError(NexusFlowError):
    """The upstream failed. `retryable`: another attempt may succeed. `reason`: one word such as "dns".

    `cause` is the text of the operating system or TLS. It goes to the host's log, never to the client.
    `counts`: the failure shows bad health of the target; False if the caller's request may be the cause.
    """

    status = 502
    retryable: bool = True
    counts: bool = True
    cause: str = ""
    refuses: Sequence[str] = ()
    """The parts of the request that the upstream does not take, see `Call.without`."""

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


class UpstreamUnreachableError(UpstreamError):
    """502: no connection could be made. The upstream received nothing of the call."""


class UpstreamProtocolError(UpstreamError):
    """502: the connection broke, or the data was not a valid answer (garbage, a redirect, a cut body)."""


class AnswerUnusableError(UpstreamProtocolError):
    """502: the answer arrived but cannot be translated: no choices, arguments that are not JSON, too large.

    The caller's prompt may be the cause, so it does not count against the target.
    """

    counts = False


class UpstreamTimeoutError(UpstreamError):
    """504: the upstream was silent for longer than its time limit."""

    status = 504
    type = "timeout_error"


_PASSING = frozenset({"api_error", "overloaded_error", "rate_limit_error", "timeout_error"})


class UpstreamStatusError(UpstreamError):
    """The upstream answered with an error. A relayed route sends the upstream's body instead of this."""

    regained_at: datetime | None = None
    """The UTC moment from which an upstream without money serves again, if it stated one."""

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
        # Retryable: 408, 409, 429 and every 5xx, including 529. The caller caused any other 4xx. A stream of
        # status 200 that begins with an error has only its type.
        self.retryable = status in (408, 409, 429) or status >= 500 or (status < 400 and type in _PASSING)


class GatewayError(NexusFlowError):
    """The gateway's own fault or state."""


class InternalError(GatewayError):
    """500: a defect of the gateway. The cause is logged and never shown to the client."""


class OverloadedError(GatewayError):
    """529: no room for the call at this moment, or the process is closing."""

    status = 529
    type = "overloaded_error"


class InvalidUsageError(NexusFlowError):
    """An impossible usage object: a negative or fractional count, or parts that exceed their whole."""


class UnknownModelError(NexusFlowError):
    """No price row for a model, or none at that time. The cost is unknown, which is not 0."""


class ConfigError(NexusFlowError):
    """A wrong configuration. `path`: the setting, such as `routes[0].targets[1]`; `place`: file and line."""

    def __init__(self, path: str, why: str, *, place: str = "") -> None:
        super().__init__(": ".join(part for part in (place, path, why) if part))
        self.path = path
        self.why = why
        self.place = place


class CombinedConfigError(ConfigError):
    """Several mistakes in one configuration, one per line. `path`, `why` and `place` are the first one's."""

    def __init__(self, errors: Sequence[ConfigError]) -> None:
        first = errors[0]
        super().__init__(first.path, first.why, place=first.place)
        self._mistakes = tuple((error.path, error.why, error.place) for error in errors)
        self.message = "\n".join(str(error) for error in errors)
        self.args = (self.message,)

    @property
    def errors(self) -> tuple[ConfigError, ...]:
        """Each mistake as a separate error."""
        return tuple(ConfigError(path, why, place=place) for path, why, place in self._mistakes)


class EventTooLargeError(NexusFlowError):
    """A server-sent event is larger than its bound. The rest of the stream cannot be parsed."""

    status = 502


def _unpickled(cls: type[NexusFlowError], args: tuple[Any, ...], members: dict[str, Any]) -> NexusFlowError:
    error = cls.__new__(cls, *args)
    vars(error).update(members)
    return error


def kept(error: E) -> E:
    """Returns the error without traceback and causes.

    Their frames hold the request, so a stored error would keep the whole body until the garbage collector runs.
    """
    linked: list[BaseException | None] = [error]
    while linked:
        if (one := linked.pop()) is not None:
            linked += (one.__cause__, one.__context__)
            if isinstance(one, BaseExceptionGroup):
                linked += cast("BaseExceptionGroup[BaseException]", one).exceptions
            # A library's frame may hold the same exception that has the frame in its traceback.
            one.__traceback__ = one.__context__ = one.__cause__ = None
    return error


def error_body(error: NexusFlowError, request_id: str) -> bytes:
    """Returns Anthropic's JSON body of an error: `{"type":"error","error":{"type","message"},"request_id"}`."""
    shown: dict[str, Any] = {"type": error.type, "message": error.message[:MAX_MESSAGE]}
    if error.details is not None:
        shown["details"] = error.details
    return msgspec.json.encode({"type": "error", "error": shown, "request_id": request_id})
