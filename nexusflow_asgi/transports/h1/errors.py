"""Why a connection cannot be used, where neither the operating system nor a library says so.

BrokenConnectionError
    AnswerTooEarlyError
    ConnectionEndedError
    HeadTooLargeError
    ProxyRefusedError
"""

__all__ = [
    "AnswerTooEarlyError",
    "BrokenConnectionError",
    "ConnectionEndedError",
    "HeadTooLargeError",
    "ProxyRefusedError",
]


class BrokenConnectionError(Exception):
    """Why a connection cannot be used, where no library says so."""


class AnswerTooEarlyError(BrokenConnectionError):
    """Bytes came before the request was written: they answer somebody else, or nobody."""


class ConnectionEndedError(BrokenConnectionError):
    """The peer closed the connection before the end of its answer."""


class HeadTooLargeError(BrokenConnectionError):
    """More than HEAD_BYTES came without a byte of body."""


class ProxyRefusedError(BrokenConnectionError):
    """The proxy opens no tunnel."""
