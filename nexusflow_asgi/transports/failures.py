"""Errors of transports: one word for the record, and one sentence for the host's log."""

import errno
import socket
import ssl
from collections.abc import Iterator
from typing import Final

from nexusflow_core.errors import UpstreamProtocolError, UpstreamTimeoutError, UpstreamUnreachableError

__all__ = [
    "HEAD_BYTES",
    "broken",
    "early_answer",
    "forget_traceback",
    "head_too_large",
    "slow_connect",
    "unreachable",
]

HEAD_BYTES: Final = 128 * 1024
"""Bound on the bytes before an answer's body: its head, and every 1xx answer before it."""

_MOST_TEXT = 300
_DEEPEST = 12

_WORDS: Final[dict[int | None, str]] = {
    errno.ECONNREFUSED: "refused",
    errno.ECONNRESET: "reset",
    errno.EPIPE: "reset",
    errno.ECONNABORTED: "reset",
    errno.ENETUNREACH: "no_route",
    errno.EHOSTUNREACH: "no_route",
    errno.ETIMEDOUT: "connect_timeout",
}


def unreachable(upstream: str, error: BaseException, *, proxy: bool = False) -> UpstreamUnreachableError:
    """Returns the error for a connection that could not be made. `proxy`: the proxy refused it."""
    word, text = _why(error)
    if proxy and not word:
        word = "proxy"
    return UpstreamUnreachableError(
        f"upstream {upstream}: could not connect", reason=word or "unreachable", cause=text
    )


def broken(upstream: str, error: BaseException) -> UpstreamProtocolError:
    """Returns the error for a connection that broke before the whole answer."""
    word, text = _why(error)
    name = type(error).__name__
    if not word:
        word = "closed" if any(map(_is_early_end, _chain(error))) else "garbage"
    message = f"upstream {upstream}: the connection broke ({name})"
    return UpstreamProtocolError(message, reason=word, cause=text or name)


def _is_early_end(error: BaseException) -> bool:
    """True if the connection closed before the answer's end. httpcore's errors differ only in their text."""
    return type(error).__name__ in _ENDS or str(error).startswith(_END_TEXTS)


_ENDS: Final = set(
    "ConnectionEndedError ServerDisconnectedError ReadError WriteError TransferEncodingError"
    " ContentLengthError".split()
)
_END_TEXTS: Final = ("Server disconnected without", "peer closed connection without")


def slow_connect(upstream: str, *, pool: bool = False) -> UpstreamTimeoutError:
    """Returns the error for a slow connect. `pool`: no connection became free within that time."""
    if pool:
        message, word = "no connection was free in time", "pool_timeout"
    else:
        message, word = "connecting took too long", "connect_timeout"
    return UpstreamTimeoutError(f"upstream {upstream}: {message}", reason=word, cause=message)


def early_answer(upstream: str) -> UpstreamProtocolError:
    """Returns the error for a server that sends before the request: it may speak another protocol."""
    message = f"upstream {upstream}: answered before it was asked"
    return UpstreamProtocolError(message, reason="early_answer", cause="bytes came before the request was sent")


def head_too_large(upstream: str) -> UpstreamProtocolError:
    """Returns the error for more than HEAD_BYTES without a body."""
    message = f"upstream {upstream}: the head of its answer is larger than {HEAD_BYTES} bytes"
    return UpstreamProtocolError(message, reason="head_too_large", cause="headers, or 1xx answers, without end")


def forget_traceback(error: BaseException) -> None:
    """Drops the tracebacks of an error and its causes.

    Their frames hold the request and the error itself, so the body would stay until a garbage collection.
    """
    for cause in _chain(error):
        cause.__traceback__ = None


def _why(error: BaseException) -> tuple[str, str]:
    """Returns word and text of the first known cause; ("", "") if there is none.

    Only texts of the operating system, the resolver and TLS are used. An HTTP library's text may contain the
    URL with a proxy's password.
    """
    for cause in _chain(error):
        if type(cause).__module__ not in _TRUSTED:
            continue
        if isinstance(cause, socket.gaierror):
            return "dns", _text(cause)
        if isinstance(cause, ssl.SSLCertVerificationError):
            return "certificate", getattr(cause, "verify_message", "") or _text(cause)
        if isinstance(cause, ssl.SSLError):
            return "tls", _text(cause)
        if isinstance(cause, OSError) and (word := _WORDS.get(cause.errno) or _BY_CLASS.get(type(cause))):
            return word, _text(cause)
    return "", ""


_TRUSTED: Final = ("builtins", "socket", "ssl", "asyncio.exceptions")
_BY_CLASS: Final[dict[type, str]] = {
    ConnectionRefusedError: "refused",
    ConnectionResetError: "reset",
    ConnectionAbortedError: "reset",
    BrokenPipeError: "reset",
}


def _text(error: OSError) -> str:
    return " ".join(str(error).split())[:_MOST_TEXT] or type(error).__name__


def _chain(error: BaseException) -> Iterator[BaseException]:
    """Yields an error and its causes, including those in the libraries' own attributes."""
    rest = [error]
    for _ in range(_DEEPEST):
        if not rest:
            return
        cause = rest.pop(0)
        yield cause
        led_here = [cause.__cause__, cause.__context__]
        led_here += [getattr(cause, name, None) for name in ("os_error", "certificate_error")]
        # exception groups, and httpcore's errors
        led_here += getattr(cause, "exceptions", cause.args[:1])[:_DEEPEST]
        rest += [led for led in led_here if isinstance(led, BaseException)]
