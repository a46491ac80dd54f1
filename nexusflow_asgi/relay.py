"""Obeys the orders of an Exchange: opens, reads and closes the upstream, writes to the client."""

import time
from collections.abc import Callable
from contextlib import nullcontext

import anyio
from starlette.types import Receive, Send

from nexusflow_asgi.hooks import logger
from nexusflow_asgi.transports import Transport, TransportResponse
from nexusflow_asgi.watch import Watch, open_watch
from nexusflow_core.errors import InternalError, NexusFlowError, UpstreamError
from nexusflow_core.exchange import Close, Exchange, Read
from nexusflow_core.exchange import Send as SendOrder
from nexusflow_core.upstream import Upstream

__all__ = ["Relay"]

_now = time.monotonic


class Relay:
    """One call's I/O. `transport_for` gives the transport of an upstream on this event loop."""

    def __init__(self, exchange: Exchange, transport_for: Callable[[Upstream], Transport], send: Send) -> None:
        self._exchange = exchange
        self._transport_for = transport_for
        self._send = send
        self._upstream: TransportResponse | None = None
        self._head_sent = False
        self._body_ended = False
        self._watch: Watch | None = None

    async def run(self, receive: Receive) -> None:
        """Performs orders until there is nothing left to do; whatever happens, the upstream is closed."""
        exchange = self._exchange
        async with open_watch(exchange, receive) as watch:
            self._watch = watch
            try:
                await self._write(exchange.start(_now()))
                while not isinstance(exchange.order, Close):
                    with watch:
                        await self._obey(watch)
                    await self._write(watch.take())
                await self._write(watch.take())
                await self._close_upstream()
            except Exception:  # a defect of ours: the client is told so, the log is told what
                logger.exception("call %s failed inside the gateway", exchange.request_id)
                await self._write(exchange.fail(InternalError("internal error"), _now()))
            finally:
                with anyio.CancelScope(shield=True) if self._upstream is not None else nullcontext():
                    await self._close_upstream()

    def stop(self, error: NexusFlowError) -> None:
        """Ends the call from outside: the client gets this error in the place where its answer stands."""
        if self._watch is not None:
            self._watch.fail(error)

    async def _obey(self, watch: Watch) -> None:
        order = self._exchange.order
        try:
            if isinstance(order, SendOrder):
                await self._close_upstream()
                transport = self._transport_for(order.request.upstream)
                self._upstream = upstream = await transport.send(order.request)
                out = self._exchange.receive_head(upstream.status, upstream.headers, _now())
                await self._write(out)
            elif isinstance(order, Read) and self._upstream is not None:
                await self._read_on(order, self._upstream, watch)
        except UpstreamError as error:
            await self._write(self._exchange.transport_failed(error, _now()))
        except NexusFlowError as error:  # what this transport cannot carry is nobody else's fault
            await self._write(self._exchange.fail(error, _now()))

    async def _read_on(self, order: Read, upstream: TransportResponse, watch: Watch) -> None:
        """The hot loop: one pass a chunk."""
        exchange, read, send = self._exchange, upstream.read, self._send
        while exchange.order is order:
            data = await read()
            now = _now()
            out = exchange.receive_data(data, now) if data else exchange.receive_eof(now)
            if out or not data:
                watch.writing = True
                if self._head_sent and exchange.order is order:
                    try:
                        await send({"type": "http.response.body", "body": out, "more_body": True})
                    except OSError:
                        self._nobody_listens()
                else:
                    await self._write(out)
                watch.writing = False
            if order.until < watch.due:
                watch.arm()

    async def _write(self, body: bytes) -> None:
        """Sends what there is, the head before it; ends the answer where the exchange has ended it."""
        order, head = self._exchange.order, self._exchange.response_head
        if head is None or self._body_ended or not (body or isinstance(order, Close)):
            return
        try:
            if not self._head_sent:
                self._head_sent = self._body_ended = True  # nothing follows a head that the server refuses
                await self._send(
                    {"type": "http.response.start", "status": head.status, "headers": head.headers}
                )
                self._body_ended = False
            if isinstance(order, Close):
                self._body_ended = True
                if not order.whole:
                    return  # the server cuts the connection: the only honest end of a body that broke off
            await self._send({"type": "http.response.body", "body": body, "more_body": not self._body_ended})
        except OSError:
            self._nobody_listens()

    def _nobody_listens(self) -> None:
        """What a server's `send` may raise once the client is gone: no server must, and most do not."""
        self._body_ended = True
        self._exchange.client_gone(_now())

    async def _close_upstream(self) -> None:
        upstream, self._upstream = self._upstream, None
        if upstream is not None:
            await upstream.aclose()
