"""Answers to data that never becomes a request: Anthropic's error shape as bytes, and the connection ends."""

from http import HTTPStatus

from nexusflow_asgi.calls import new_request_id
from nexusflow_core.errors import NexusFlowError, error_body
from nexusflow_core.exchange.heads import error_headers

__all__ = ["refusal"]


def refusal(error: NexusFlowError) -> bytes:
    """Returns the whole answer as bytes, head and body."""
    request_id = new_request_id()
    body = error_body(error, request_id)
    lines = [b"HTTP/1.1 %d %s" % (error.status, HTTPStatus(error.status).phrase.encode()), b"connection: close"]
    lines += [name + b": " + value for name, value in error_headers(error, request_id, len(body))]
    return b"\r\n".join([*lines, b"", body])
