"""Bounds on a connection whose caller is not authenticated yet, and the answer to data beyond them."""

from http import HTTPStatus
from typing import Final

from msgspec import Struct

from nexusflow_asgi.calls import new_request_id
from nexusflow_core.errors import NexusFlowError, error_body
from nexusflow_core.exchange.heads import error_headers

__all__ = ["DEFAULT", "ServerLimits", "refusal"]


class ServerLimits(Struct, frozen=True, kw_only=True):
    """Bounds of a server that unknown clients can reach.

    `head_bytes`: request line and headers (beyond it 431), and framing within a chunked body. `url_bytes`: the
    URL (beyond it 414). `head_seconds`: from the first to the last byte of a head. `idle_seconds`: without a
    request. `waiting`: connections without a request; a new one closes the oldest. `held_bytes`: data sent
    ahead of an answer. `stalled_seconds`: for a closing connection whose client reads nothing.
    """

    head_bytes: int = 160 * 1024
    url_bytes: int = 16 * 1024
    head_seconds: float = 30.0
    idle_seconds: float = 30.0
    waiting: int = 4096
    held_bytes: int = 64 * 1024
    stalled_seconds: float = 5.0


DEFAULT: Final = ServerLimits()


def refusal(error: NexusFlowError) -> bytes:
    """Returns the answer to data that never becomes a request: head and body, in Anthropic's error shape."""
    request_id = new_request_id()
    body = error_body(error, request_id)
    lines = [b"HTTP/1.1 %d %s" % (error.status, HTTPStatus(error.status).phrase.encode()), b"connection: close"]
    lines += [name + b": " + value for name, value in error_headers(error, request_id, len(body))]
    return b"\r\n".join([*lines, b"", body])
