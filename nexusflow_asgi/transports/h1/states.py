"""States of a connection, and its errors that neither the operating system nor a library reports.

BrokenConnectionError
    AnswerTooEarlyError
    ConnectionEndedError
    HeadTooLargeError
    ProxyRefusedError
"""

import enum

__all__ = [
    "AnswerTooEarlyError",
    "BrokenConnectionError",
    "ConnectionEndedError",
    "HeadTooLargeError",
    "Phase",
    "ProxyRefusedError",
]


class Phase(enum.Enum):
    """The state of a connection: what it waits for."""

    IDLE = "a request"
    ASKED = "the head of an answer"
    ANSWERING = "the rest of the body"
    ANSWERED = "the reader: the whole answer has arrived, and some of it may be unread"
    CLOSED = "nothing more"


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
