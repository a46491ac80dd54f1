"""HTTP/1.1 for strangers: uvicorn's protocol on httptools, with bounds on what comes before a request.

Theory of operation. A connection is in one of the states of `State`. While it waits for a request, or has
begun to get one, its bytes are counted before the parser sees them and two timers run: uvicorn's keep-alive
timer until the first byte of a head, ours from there to its last. A head over a bound, or late, is answered
here and the connection ends. So does one whose body has no content for as many bytes; trailers are dropped.

A request behind one that is being answered is parsed and kept, as uvicorn does it; what follows that is held
unparsed. uvicorn would stop reading there, and so not notice that the client leaves.
"""

import asyncio
import enum
from typing import Any, cast
from weakref import WeakKeyDictionary

import httptools
from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle
from uvicorn.server import ServerState

from nexusflow_asgi.server.closing import ClosingTransport
from nexusflow_asgi.server.limits import DEFAULT, ServerLimits
from nexusflow_asgi.server.refusals import refusal
from nexusflow_core.errors import (
    HeadersTooLargeError,
    InvalidRequestError,
    MethodNotAllowedError,
    NexusFlowError,
    PathTooLongError,
    RequestTimeoutError,
)

__all__ = ["GatewayProtocol", "State"]

_MAX_PIPELINED = 32
_DISCARDED_BYTES = 1024 * 1024
_HOP_BY_HOP = (b"upgrade", b"http2-settings", b"connection")


class State(enum.Enum):
    """Where a connection is in its present request."""

    WAITING = enum.auto()  # for the first byte of a head
    HEAD = enum.auto()  # between its first and its last
    BODY = enum.auto()  # the head is whole, the body is arriving
    ANSWER = enum.auto()  # the request is whole: what arrives now is the next head
    REFUSED = enum.auto()  # answered here, or not to be read any further


_COUNTED = (State.WAITING, State.HEAD, State.ANSWER)
_waiting: WeakKeyDictionary[ServerState, dict["GatewayProtocol", None]] = WeakKeyDictionary()
"""Of each server the connections without a request, the oldest first."""


class _RefusedError(Exception):
    """Raised in the parser's callbacks: it stops there."""


class GatewayProtocol(HttpToolsProtocol):
    """One connection."""

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
        *,
        limits: ServerLimits = DEFAULT,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self.timeout_keep_alive = limits.idle_seconds  # type: ignore[assignment]
        self.state = State.WAITING
        self._limits = limits
        self._waiting = _waiting.setdefault(server_state, {})
        self._closing: ClosingTransport
        self._head_bytes = 0
        self._framing_bytes = 0  # of a chunked body, since the last byte of content
        self._head_timer: asyncio.TimerHandle | None = None
        self._without_upgrade = b""  # the head of a request that offers an upgrade, without the offer
        self._running: RequestResponseCycle | None = None
        self._held: bytearray | None = None
        self._refusal: NexusFlowError | None = None
        self._discarded = 0

    # The connection

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._closing = ClosingTransport(transport, self.loop, self._limits.stalled_seconds)
        self.transport = cast(asyncio.Transport, self._closing)
        self.timeout_keep_alive_task = self.loop.call_later(
            self._limits.idle_seconds, self.timeout_keep_alive_handler
        )
        self._wait_for_a_head()

    def connection_lost(self, exc: Exception | None) -> None:
        self._no_longer_waiting()
        self._unset_keepalive_if_required()
        self._closing.lost()
        self._client_left()
        super().connection_lost(exc)

    def eof_received(self) -> bool | None:  # type: ignore[override]
        """A client that has nothing more to say is gone, here as in uvicorn; what it was sent has its time."""
        self._client_left()
        self.transport.close()
        return True

    def _client_left(self) -> None:
        """Tells the request that is being answered; uvicorn tells the one that came last."""
        running = self._running
        if running is not None and not running.response_complete:
            running.disconnected = True
            running.message_event.set()
            self.flow.resume_writing()
        self.pipeline.clear()

    # What arrives

    def data_received(self, data: bytes) -> None:
        if self.state is State.REFUSED:
            self._discard(data)
        elif self._held is not None:
            self._hold(self._held, data)
        else:
            self._parse(data)

    def _parse(self, data: bytes) -> None:
        most = self._limits.head_bytes
        while data and self.state in _COUNTED:
            piece = data[: most - self._head_bytes]
            data = data[len(piece) :]
            self._head_bytes += len(piece)
            self._feed(piece)
            if self._head_bytes >= most:
                self._refuse(HeadersTooLargeError(f"the head of a request exceeds {most} bytes"))
        if data and self.state is not State.REFUSED:
            self._feed_body(data)
        if self.state is State.HEAD and self._head_timer is None:
            self._unset_keepalive_if_required()
            self._head_timer = self.loop.call_later(self._limits.head_seconds, self._head_is_late)
        if self.pipeline and self.state is not State.REFUSED:
            self._held = bytearray()
            self.flow.resume_reading()

    def _feed_body(self, data: bytes) -> None:
        """What is no content is counted: sizes and extensions of chunks, and trailers, may be without end."""
        self._framing_bytes += len(data)
        self._feed(data)
        if self.state is State.BODY and self._framing_bytes > self._limits.head_bytes:
            self._refuse(HeadersTooLargeError(f"a body's framing exceeds {self._limits.head_bytes} bytes"))

    def _feed(self, data: bytes) -> None:
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as stopped:
            self._go_on_without_upgrade(data[stopped.args[0] :])
        except httptools.HttpParserError:
            self._refuse(self._refusal or InvalidRequestError("Invalid HTTP request received."))

    def _go_on_without_upgrade(self, rest: bytes) -> None:
        """The parser has stopped where another protocol would begin. None does: the request is read as if
        nothing had been offered, as HTTP has it."""
        head, self._without_upgrade = self._without_upgrade, b""
        if not head:
            self._refuse(self._refusal or InvalidRequestError("Invalid HTTP request received."))
            return
        self.parser = httptools.HttpRequestParser(self)
        self.parser.set_dangerous_leniencies(lenient_data_after_close=True)  # as uvicorn's own
        self._feed(head)
        if rest and self.state is not State.REFUSED:
            self._feed(rest)

    def _hold(self, held: bytearray, data: bytes) -> None:
        held += data
        if len(held) > self._limits.held_bytes:
            self.flow.pause_reading()

    def _discard(self, data: bytes) -> None:
        """A client that is still sending gets to read why it was refused, if it ends soon."""
        self._discarded += len(data)
        if self._discarded > _DISCARDED_BYTES:
            self._closing.abort()

    # The parser's callbacks

    def on_message_begin(self) -> None:
        self.state = State.HEAD
        super().on_message_begin()

    def on_url(self, url: bytes) -> None:
        super().on_url(url)
        if len(self.url) > self._limits.url_bytes:
            self._stop(PathTooLongError(f"the URL is longer than {self._limits.url_bytes} bytes"))

    def on_header(self, name: bytes, value: bytes) -> None:
        if self.state is not State.BODY:  # trailers are no headers: the caller may be admitted by then
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        self._framing_bytes = 0
        self._no_longer_waiting()
        self._unset_keepalive_if_required()
        self.state = State.BODY
        if len(self.pipeline) >= _MAX_PIPELINED:
            self._stop(InvalidRequestError("too many requests ahead of their answers"))
        if self.parser.should_upgrade():
            self._without_upgrade = self._plain_head()
        else:
            super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        self._framing_bytes = 0
        if not self._without_upgrade:
            super().on_body(body)

    def on_message_complete(self) -> None:
        if self._without_upgrade:
            return
        super().on_message_complete()
        self.state = State.ANSWER
        if self.cycle.response_complete:
            self._wait_for_a_head()

    def _plain_head(self) -> bytes:
        method = self.parser.get_method()
        if method == b"CONNECT":
            self._stop(
                MethodNotAllowedError("CONNECT is not served here", headers={"allow": "GET, HEAD, POST"})
            )
        lines = [method + b" " + self.url + b" HTTP/1.1"]
        lines += [name + b": " + value for name, value in self.headers if name not in _HOP_BY_HOP]
        tokens = [value.lower() for name, value in self.headers if name == b"connection"]
        if b"close" in [token.strip() for token in b",".join(tokens).split(b",")]:
            lines.append(b"connection: close")
        return b"\r\n".join([*lines, b"", b""])

    def _stop(self, error: NexusFlowError) -> None:
        self._refusal = error
        raise _RefusedError

    # The answer

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        self._running = cycle
        super()._start_asgi_task(cycle, app)

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self.transport.is_closing():
            return
        if self.pipeline:
            return  # the next one has begun, and another waits behind it
        if self.cycle.response_complete and not self.cycle.more_body:
            self._wait_for_a_head()
        held, self._held = self._held, None
        if held:
            self._parse(bytes(held))

    # Waiting for a request, and not any longer

    def _wait_for_a_head(self) -> None:
        self.state = State.WAITING
        self._waiting[self] = None
        if len(self._waiting) > self._limits.waiting:
            oldest = next(iter(self._waiting))
            oldest._no_longer_waiting()
            oldest._closing.abort()

    def _no_longer_waiting(self) -> None:
        self._waiting.pop(self, None)
        self._head_bytes = 0
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _head_is_late(self) -> None:
        self._refuse(
            RequestTimeoutError(f"the head of a request took longer than {self._limits.head_seconds:g} s")
        )

    def _refuse(self, error: NexusFlowError) -> None:
        """Answers, unless another answer is on its way; in any case nothing more is read."""
        if self.state is State.REFUSED:
            return
        self.state = State.REFUSED
        self._no_longer_waiting()
        self._unset_keepalive_if_required()
        self._held = None
        self.pipeline.clear()
        running = self._running
        if running is not None and not running.response_complete:
            running.keep_alive = False
        else:
            self.transport.write(refusal(error))
            self._closing.close_writing()
