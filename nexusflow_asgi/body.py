"""Reads a request's body under its limits."""

import asyncio

import anyio
from starlette.types import Receive, Scope

from nexusflow_asgi.backend import runs_on_asyncio
from nexusflow_core.config import Limits
from nexusflow_core.errors import CallerError, RequestTimeout, RequestTooLarge

__all__ = ["ClientDisconnected", "check_head", "read_body"]


class ClientDisconnected(CallerError):
    """The client left while its request was still arriving; nobody is there to be told."""


def check_head(scope: Scope, limits: Limits) -> None:
    """Raises RequestTooLarge for headers and a query beyond their bound: servers have bounds of their own, or
    none."""
    size = len(scope.get("query_string", b"")) + sum(
        [len(name) + len(value) for name, value in scope["headers"]]
    )
    if size > limits.header_bytes:
        raise RequestTooLarge(f"Request headers exceed the maximum size of {limits.header_bytes} bytes")


async def read_body(receive: Receive, limits: Limits, *, keep: bool = True) -> bytes:
    """The whole body; nothing of it where it is not to be kept, for a caller who is refused.

    Raises RequestTooLarge, RequestTimeout or ClientDisconnected.
    A body over the limit is still read, unkept, for as much again: several servers break the connection of
    a client that is answered while it sends, and it would never see why.
    """
    try:
        if runs_on_asyncio():
            async with asyncio.timeout(limits.body_seconds):  # a tenth of anyio's price
                return await _collect(receive, limits.body_bytes, keep)
        with anyio.fail_after(limits.body_seconds):
            return await _collect(receive, limits.body_bytes, keep)
    except TimeoutError:
        raise RequestTimeout(f"the request body took longer than {limits.body_seconds:g} s to arrive") from None


async def _collect(receive: Receive, limit: int, keep: bool) -> bytes:
    pieces: list[bytes] = []
    size = 0
    more = True
    while more and size <= 2 * limit:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnected("the client left")
        piece: bytes = message.get("body", b"")
        size += len(piece)
        if size <= limit and keep:
            pieces.append(piece)
        else:
            pieces.clear()
        more = message.get("more_body", False)
    if size > limit:
        raise RequestTooLarge(f"Request exceeds the maximum size of {limit} bytes")
    return pieces[0] if len(pieces) == 1 else b"".join(pieces)
