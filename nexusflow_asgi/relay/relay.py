"""Relay: obeys the orders of an Exchange. It opens, reads and closes the upstream, and writes to the client."""

import logging
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import NoReturn, assert_never

import anyio
import anyio.to_thread
from starlette.types import Receive, Send

from nexusflow_asgi.hooks import logger
from nexusflow_asgi.relay.client import Client, SendsNow
from nexusflow_asgi.relay.watch import LAST_WORDS_SECONDS, Watch, YoungCalls, open_watch
from nexusflow_asgi.transports import Transport, TransportResponse
from nexusflow_core.errors import InternalError, NexusFlowError, UpstreamError, UpstreamUnreachableError
from nexusflow_core.exchange import Close, Exchange, Read, Sleep
from nexusflow_core.exchange import Send as SendOrder
from nexusflow_core.upstream import Upstream

__all__ = ["Relay", "answer_nobody"]

_now = time.monotonic

_NOBODY = 499
"""Logged by proxies for a client that left before its answer began."""

_PIECE = 64 * 1024
"""Bytes per piece of a large last body. Each piece has its own deadline, so a slow client can get it all."""


class Relay:
    """The I/O of one call. `transport_for` returns an upstream's transport on this event loop."""

    def __init__(
        self,
        exchange: Exchange,
        transport_for: Callable[[Upstream], Transport],
        send: Send,
        *,
        young: YoungCalls | None,
        upstream_server_headers: bool = False,
        workers: anyio.CapacityLimiter | None = None,
    ) -> None:
        self._young = young
        self._workers = workers
        self._stopped: NexusFlowError | None = None
        self._exchange = exchange
        self._transport_for = transport_for
        self._send = send
        self._client = Client(exchange, send, upstream_server_headers=upstream_server_headers)
        self._upstream: TransportResponse | None = None
        self._watch: Watch | None = None

    async def run(self, receive: Receive) -> None:
        """Obeys orders until the order is Close and the answer is sent. It always closes the upstream."""
        exchange = self._exchange
        started = await self._start_apart() if self._workers is not None else None
        async with open_watch(exchange, receive, self._client, self._young) as watch:
            self._watch = watch
            try:
                out = exchange.start(_now()) if started is None else started()
                if self._stopped is not None:
                    watch.fail(self._stopped)
                    out += watch.take()
                while not isinstance(exchange.order, Close):
                    with watch:
                        out = await self._obey(watch)
                    out += watch.take()
                if self._upstream is not None:
                    await self._give_back()
                if not self._client.answer_now(out):
                    await self._end(out, watch)
            except Exception:  # a defect of the gateway: the client gets an error, the log the cause
                logger.exception("call %s failed inside the gateway", exchange.request_id)
                await self._give_back()
                await self._end(exchange.fail(InternalError("internal error"), _now()), watch)
            finally:
                if self._upstream is not None:
                    with anyio.CancelScope(shield=True):
                        await self._close_upstream()

    def stop(self, error: NexusFlowError) -> None:
        """Ends the call from outside: the client gets this error instead of the rest of its answer."""
        if self._watch is None:
            self._stopped = error
        else:
            self._watch.fail(error)

    async def _start_apart(self) -> Callable[[], bytes]:
        """Starts the exchange in a thread. Returns a function that returns the bytes, or raises."""

        def start() -> Callable[[], bytes]:
            try:
                out = self._exchange.start(_now())
            except Exception as error:  # raised again on the loop, where the relay handles it
                return partial(_raise, error)
            return lambda: out

        return await anyio.to_thread.run_sync(start, limiter=self._workers)

    async def _obey(self, watch: Watch) -> bytes:
        """Obeys one order. Returns bytes to send only after the order has become Close."""
        exchange, order = self._exchange, self._exchange.order
        try:
            match order:
                case SendOrder():
                    if self._upstream is not None:
                        await self._close_upstream()
                    transport = self._transport_for(order.request.upstream)
                    self._upstream = upstream = await transport.send(order.request)
                    if exchange.order is order:
                        out = exchange.receive_head(upstream.status, upstream.headers, _now())
                        if out or not isinstance(following := exchange.order, Read):
                            return out
                        if (whole := _whole_body(upstream)) is not None:
                            return self._receive_whole(whole, following)
                        if following.until < watch.due:
                            watch.arm()
                        return await self._read_on(following, watch)
                case Read():
                    return await self._read_on(order, watch)
                case Sleep():
                    await self._close_upstream()
                    await anyio.sleep_forever()  # the watch interrupts it
                case Close():  # the watch has changed the order
                    pass
                case _:
                    assert_never(order)
        except UpstreamError as error:
            self._log_cause(error)
            return exchange.transport_failed(error, _now())
        except NexusFlowError as error:  # this transport cannot send the request
            return exchange.fail(error, _now())
        return b""

    def _receive_whole(self, body: bytes, order: Read) -> bytes:
        """Reports a body that came with its head. Returns the bytes to send."""
        exchange, now = self._exchange, _now()
        out = exchange.receive_data(body, now) if body else b""
        if exchange.order is order:
            out += exchange.receive_eof(now)
        if isinstance(exchange.order, Close):
            self._upstream = None  # read to its end, so there is nothing to close
        return out

    def _log_cause(self, error: UpstreamError) -> None:
        """Logs the operating system's text. A connection that cannot be made is a warning for the operator."""
        if error.cause:
            level = logging.WARNING if isinstance(error, UpstreamUnreachableError) else logging.INFO
            request_id = self._exchange.request_id
            logger.log(level, "call %s: %s: %s: %s", request_id, error.message, error.reason, error.cause)

    async def _read_on(self, order: Read, watch: Watch) -> bytes:
        """Reads until the order changes. Returns the last bytes to send. The hot loop: one pass per chunk."""
        if self._upstream is None:
            raise InternalError("there is nothing to read from")
        exchange, client, read = self._exchange, self._client, self._upstream.read
        pump = getattr(self._upstream, "pump", None)
        server = client.server if pump is not None else None
        short_cut = _ShortCut(exchange, order, client, server, watch) if server is not None else None
        while True:
            if pump is not None and short_cut is not None and client.may_write_now():
                await pump(short_cut.take)
                out = short_cut.last()
                if exchange.order is not order:
                    return out
            data = await read()
            if client.pinging is not None:
                await client.pinged()
            if exchange.order is not order:  # the watch has changed it
                return b""
            now = _now()
            out = exchange.receive_data(data, now) if data else exchange.receive_eof(now)
            if exchange.order is not order:
                return out
            if out and not await client.write(out):
                return b""
            data = out = b""  # not kept until the next chunk
            if order.until < watch.due:
                watch.arm()

    async def _end(self, body: bytes, watch: Watch) -> None:
        """Sends the last bytes. Does not wait for a client that stops reading."""
        closed = _now()
        if self._exchange.response_head is None:
            await answer_nobody(self._send)
            return
        for at in range(0, len(body) or 1, _PIECE):
            watch.end_by(self._exchange.rest_until(_now(), closed))
            taken = False
            with watch:
                taken = await self._client.write(body[at : at + _PIECE], last=at + _PIECE >= len(body))
            if not taken:
                return

    async def _give_back(self) -> None:
        """Closes the upstream before the last bytes are sent, since the client may be slow."""
        try:
            await self._close_upstream()
        except Exception:  # the client still gets the last bytes
            logger.exception("call %s: its upstream could not be closed", self._exchange.request_id)

    async def _close_upstream(self) -> None:
        upstream, self._upstream = self._upstream, None
        if upstream is not None:
            await upstream.aclose()


class _ShortCut:
    """Relays chunks inside the callback in which they arrive, while the order is `order`.

    A task that waits for each chunk costs more than the chunk: a future, a callback and a walk through ten
    coroutines. The relay's task waits instead until only it can go on: the client does not read, a ping is
    being sent, the order has changed, or the answer has ended.
    """

    __slots__ = ("_client", "_error", "_exchange", "_order", "_out", "_server", "_watch")

    def __init__(self, exchange: Exchange, order: Read, client: Client, server: SendsNow, watch: Watch) -> None:
        self._exchange = exchange
        self._order = order
        self._client = client
        self._server = server
        self._watch = watch
        self._out = b""
        self._error: Exception | None = None

    def take(self, data: bytes) -> bytes | None:
        """Relays a chunk. Returns None to go on; or the bytes that it leaves to the task, perhaps none."""
        exchange, order, server = self._exchange, self._order, self._server
        if exchange.order is not order or server.flow.write_paused or self._client.pinging is not None:
            return data
        try:
            out = exchange.receive_data(data, _now())
            if exchange.order is not order:
                self._out = out
                return b""
            if out:
                try:
                    server.send_now(out)
                except Exception as error:  # each server has its own error for a client that has left
                    self._client.failed(error)
                    return b""
            if order.until < self._watch.due:
                self._watch.arm()
        except Exception as error:  # `last` raises it in the relay's task
            self._error = error
            return b""
        return None

    def last(self) -> bytes:
        """Returns the bytes to send after the order has changed. Raises an error of `take`."""
        if self._error is not None:
            raise self._error
        out, self._out = self._out, b""
        return out


def _whole_body(upstream: TransportResponse) -> bytes | None:
    """Returns the whole body of an answer if it has arrived, and the transport can tell; else None."""
    take = getattr(upstream, "take_whole", None)
    body: bytes | None = take() if take is not None else None
    return body


def _raise(error: Exception) -> NoReturn:
    raise error


async def answer_nobody(send: Send) -> None:
    """Sends an empty answer after the client has left. Without one, some middleware reports a crash."""
    with anyio.move_on_after(LAST_WORDS_SECONDS), suppress(Exception):
        await send({"type": "http.response.start", "status": _NOBODY, "headers": [(b"content-length", b"0")]})
        await send({"type": "http.response.body", "body": b"", "more_body": False})
