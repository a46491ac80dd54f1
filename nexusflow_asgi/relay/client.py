"""Client: sends the answer of a call, one message at a time."""

import time
from typing import Any, Protocol

import anyio
from starlette.types import Send

from nexusflow_asgi.backend import means_closed
from nexusflow_core.dialect import ResponseHead
from nexusflow_core.exchange import Close, Exchange
from nexusflow_core.upstream import Headers

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

    def answer_now(self, status: int, headers: Headers, body: bytes, *, last: bool) -> bool: ...
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
        if not self._head_sent and not last and self.server is not None and self._begin(self.server, body):
            return not self._body_ended
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

    def answer_now(self, body: bytes) -> bool:
        """Sends the whole answer if the server need not wait for that. Returns False if nothing was sent."""
        server, order = self.server, self._exchange.order
        if server is None or self._head_sent or self.pinging is not None:
            return False
        return isinstance(order, Close) and order.whole and self._begin(server, body, last=True)

    def _begin(self, server: SendsNow, body: bytes, *, last: bool = False) -> bool:
        """Sends the head with this piece of the body. Returns False if the server would have to wait."""
        head = self._exchange.response_head
        if head is None:
            return False
        self._head_sent = self._body_ended = True  # if the server refuses the head, nothing may follow
        try:
            sent = server.answer_now(head.status, self._headers(head), body, last=last)
        except Exception as error:  # each server has its own error for a client that has left
            self.failed(error)
            return True
        self._head_sent = sent
        self._body_ended = sent and last
        return sent

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
        headers = self._headers(head)
        await self._send({"type": "http.response.start", "status": head.status, "headers": headers})
        self._body_ended = False

    def _headers(self, head: ResponseHead) -> Headers:
        if self._keeps_server_headers:
            return head.headers
        return [pair for pair in head.headers if pair[0] not in _SERVER_HEADERS]
