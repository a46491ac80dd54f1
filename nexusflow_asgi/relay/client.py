"""Client: sends the answer of a call, one message at a time."""

import time
from typing import Any, Protocol

import anyio
from starlette.types import Send

from nexusflow_asgi.backend import means_closed
from nexusflow_core.dialect import ResponseHead
from nexusflow_core.exchange import Close, Exchange

__all__ = ["Client", "SendsNow"]

_SERVER_HEADERS = frozenset((b"server", b"date"))
"""The host's server adds both, and they must not appear twice."""


class _Flow(Protocol):
    write_paused: bool


class SendsNow(Protocol):
    """A server that can send a piece of the body without waiting: our own.

    Only a `send` without middleware around it has this. `send_now` may be called after the head, and not while
    `flow.write_paused`.
    """

    flow: _Flow

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
        self.server: SendsNow | None = server if hasattr(server, "send_now") else None

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
        except Exception as error:  # few servers raise from `send`; none has to
            self.failed(error)
            return False
        self.writing = False
        return True

    def may_write_now(self) -> bool:
        """True if the head has been sent, and `server.send_now` would not wait."""
        server = self.server
        return self._head_sent and server is not None and self.pinging is None and not server.flow.write_paused

    def failed(self, error: Exception) -> None:
        """Notes in the exchange that the client is gone, if this error of a `send` says so; else raises it."""
        if not means_closed(error):
            raise error
        self._body_ended = True
        self._exchange.client_gone(time.monotonic())

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
        except Exception as error:  # as in `write`
            self.failed(error)
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
