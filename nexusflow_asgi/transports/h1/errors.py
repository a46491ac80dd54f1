"""Errors of a connection that neither the operating system nor a library reports.

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
    """The connection cannot be used."""


class AnswerTooEarlyError(BrokenConnectionError):
    """Bytes came before the request was written: they answer another call, or none."""


class ConnectionEndedError(BrokenConnectionError):
    """The peer closed the connection before the end of its answer."""


class HeadTooLargeError(BrokenConnectionError):
    """More than HEAD_BYTES came before the body."""


class ProxyRefusedError(BrokenConnectionError):
    """The proxy refused to open a tunnel."""
