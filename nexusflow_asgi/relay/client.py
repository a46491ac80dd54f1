"""Client: sends the answer of a call, one message at a time."""

import time
from typing import Any, Protocol

import anyio
from starlette.types import Send

from nexusflow_asgi.backend import means_closed
from nexusflow_core.dialect import ResponseHead
from nexusflow_core.exchange import Close, Exchange

__all__ = ["Client"]

_SERVER_HEADERS = frozenset((b"server", b"date"))
"""The host's server adds both, and they must not appear twice."""


class _SendsNow(Protocol):
    """A server whose `send` seldom waits: our own. Only a `send` without middleware around it has this."""

    def may_send_now(self) -> bool: ...
    def send_now(self, body: bytes) -> None: ...


class Client:
    """Sends one answer. Only this class sets these two:

    `writing`: bytes are on their way to the client, so the silence is not the upstream's. `pinging`: a ping is
    on its way, beside the relay; nothing else may be sent until it is delivered.
    """

    def __init__(self, exchange: Exchange, send: Send, *, upstream_server_headers: bool) -> None:
        self.writing = False
        self.pinging: anyio.Event | None = None
        self._exchange = exchange
        self._send = send
        self._keeps_server_headers = upstream_server_headers
        self._head_sent = False
        self._body_ended = False
        server: Any = getattr(send, "__self__", None)
        self._server: _SendsNow | None = server if hasattr(server, "send_now") else None

    async def write(self, body: bytes, *, last: bool = False) -> bool:
        """Sends these bytes, after the head if it has not been sent. Returns False if the client is gone."""
        head = self._exchange.response_head
        if head is None or self._body_ended:
            return False
        if self.pinging is not None:
            await self.pinged()
        self.writing = True
        try:
            if not self._head_sent:
                await self._send_head(head)
            if last:
                self._body_ended = True
                order = self._exchange.order
                if isinstance(order, Close) and not order.whole:
                    return False  # the server cuts the connection, which shows that the body is incomplete
            await self._send({"type": "http.response.body", "body": body, "more_body": not last})
        except Exception as error:
            if not means_closed(error):
                raise
            self._nobody_listens()
            return False
        self.writing = False
        return True

    @property
    def sends_now(self) -> bool:
        """True if the server can send without waiting, at times."""
        return self._server is not None

    def may_write_now(self) -> bool:
        """True if `write_now` may be called."""
        server = self._server
        return self._head_sent and self.pinging is None and server is not None and server.may_send_now()

    def write_now(self, body: bytes) -> None:
        """Sends these bytes without waiting. Notes in the exchange if the client is gone."""
        try:
            if self._server is not None:
                self._server.send_now(body)
        except Exception as error:  # each server has its own error for a client that has left
            if not means_closed(error):
                raise
            self._nobody_listens()

    async def pinged(self) -> None:
        """Returns once no ping is being sent. Received upstream data waits for it."""
        self.writing = True
        while self.pinging is not None:
            await self.pinging.wait()
        self.writing = False

    def begin_ping(self) -> bool:
        """Returns True if a ping may be sent now; then call `send_ping`. False while another one is sent."""
        if self.pinging is not None:
            return False
        self.pinging = anyio.Event()
        return True

    async def send_ping(self, data: bytes) -> bool:
        """Sends the ping that has begun. Returns False if the client is gone."""
        done = self.pinging
        try:
            await self._send({"type": "http.response.body", "body": data, "more_body": True})
        except Exception as error:
            if not means_closed(error):
                raise
            self._exchange.client_gone(time.monotonic())
            return False
        finally:
            self.pinging = None
            if done is not None:
                done.set()
        return True

    async def _send_head(self, head: ResponseHead) -> None:
        self._head_sent = self._body_ended = True  # if the server refuses the head, nothing may follow
        headers = head.headers
        if not self._keeps_server_headers:
            headers = [pair for pair in headers if pair[0] not in _SERVER_HEADERS]
        await self._send({"type": "http.response.start", "status": head.status, "headers": headers})
        self._body_ended = False

    def _nobody_listens(self) -> None:
        """Notes that the client is gone. Few servers raise from `send` then; none has to."""
        self._body_ended = True
        self._exchange.client_gone(time.monotonic())
