"""Cycle: answers one HTTP/1.1 request, like uvicorn's cycle with fewer writes and checks.

One write sends the head with the first piece of the body. ASGI requires that: a server "must not start sending
the response to the client until it has received at least one Response Body event".
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, Final

from uvicorn.protocols.http.flow_control import HIGH_WATER_LIMIT
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, RequestResponseCycle

from nexusflow_asgi.server.limits import LazyEvent
from nexusflow_core.upstream.headers import is_header_name, with_control

__all__ = ["Cycle"]

_FRAMING: Final = frozenset((b"content-length", b"transfer-encoding", b"connection"))
_WITHOUT_BODY: Final = (204, 304)
_KNOWN_SIZES: Final = 1024
_SIZES: Final = [b"%x\r\n" % size for size in range(_KNOWN_SIZES)]
"""The line before each small chunk: to make it takes as long as to join it with the chunk."""


class Cycle(RequestResponseCycle):
    """Answers a request. `head` is the rendered head, and b"" after it is written.

    `protocol` is the connection: its socket, flow and settings. `task` runs the app, and is one of `tasks`.
    """

    head = b""
    task: "asyncio.Task[None]"
    disconnected = response_started = response_complete = False
    more_body = True
    chunked_encoding = None
    expected_content_length = 0
    _arrived: bytes | bytearray = b""
    """What `receive` has not returned yet, joined at once: small pieces would take 40 times their size."""

    gone: Callable[[], None] | None = None
    """Called once the client has left before the end of the answer."""

    def __init__(self, protocol: Any, scope: Any, *, keep_alive: bool, expects_100: bool = False) -> None:
        # The same attributes as uvicorn's own, whose `__init__` takes much longer.
        self.scope = scope
        self.transport = protocol.transport
        self.flow = protocol.flow
        self.logger = protocol.logger
        self.default_headers = protocol.server_state.default_headers
        self.message_event: Any = LazyEvent()
        self.on_response = protocol.on_response_complete
        self.tasks = protocol.tasks
        self.keep_alive = keep_alive
        self.waiting_for_100_continue = expects_100

    def when_gone(self, callback: Callable[[], None] | None) -> bool:
        """Sets `gone`. Returns False if `receive` must be awaited instead: it has more to tell than that."""
        known = not (self.more_body or self._arrived or self.disconnected or self.response_complete)
        self.gone = callback if known else None
        if self.gone is not None:
            self.flow.resume_reading()  # as `receive` does: otherwise nobody notices
        return known

    def add_body(self, piece: bytes) -> None:
        """Keeps a piece of the request's body for `receive`. Stops reading if many bytes wait."""
        if not self._arrived:
            self._arrived = piece
        else:
            if isinstance(self._arrived, bytes):
                self._arrived = bytearray(self._arrived)
            self._arrived += piece
        if len(self._arrived) > HIGH_WATER_LIMIT:
            self.flow.pause_reading()
        self.message_event.set()

    async def receive(self) -> Any:
        """Returns what has arrived of the body, or that the client has left."""
        if self.waiting_for_100_continue and not self.transport.is_closing():
            self.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            self.waiting_for_100_continue = False
        if not self.disconnected and not self.response_complete:
            self.flow.resume_reading()
            await self.message_event.wait()
            self.message_event.clear()
        if self.disconnected or self.response_complete:
            return {"type": "http.disconnect"}
        arrived, self._arrived = self._arrived, b""
        return {"type": "http.request", "body": bytes(arrived), "more_body": self.more_body}

    def take_body(self) -> bytes | None:
        """Returns the whole body if it has arrived and `receive` has returned nothing of it; else None.

        A caller that knows this server saves a turn through `receive`.
        """
        if self.more_body or self.disconnected or self.response_complete or self.waiting_for_100_continue:
            return None
        self.flow.resume_reading()  # the client may leave
        self.message_event.clear()
        arrived, self._arrived = self._arrived, b""
        return bytes(arrived)

    async def run_asgi(self, app: Any) -> None:
        """Runs the app. Leaves to uvicorn what it does about an app that raises or does not answer."""
        try:
            left: Any = None
            try:
                result = await app(self.scope, self.receive, self.send)
                if result is not None or not self.response_complete:
                    left = _Left(result, None)
            except BaseException as error:  # uvicorn logs it, and answers
                left = _Left(None, error)
            if left is not None:
                if self.head and not self.disconnected:  # no body was sent: write the head, uvicorn closes
                    self._write(b"")
                await super().run_asgi(left)
        finally:
            self.on_response = _nothing  # it refers to the connection, which refers to this
            self.tasks.discard(self.task)

    async def send(self, message: Any) -> None:
        if self.flow.write_paused and not self.disconnected:
            await self.flow.drain()
        if self.disconnected:
            return
        expected = "http.response.body" if self.response_started else "http.response.start"
        if self.response_complete or message["type"] != expected:
            raise RuntimeError(f"unexpected ASGI message {message['type']!r}")
        if message["type"] == "http.response.start":
            self._start(message["status"], [*self.default_headers, *message.get("headers", ())])
        else:
            self._go_on(message.get("body", b""), last=not message.get("more_body", False))

    def send_now(self, body: bytes) -> None:
        """Sends a piece of the body, as `send` does where it need not wait; drops it if the client is gone.

        A caller inside a callback of the event loop needs it. It looks at `flow.write_paused` before.
        """
        transport: Any = self.transport  # a ClosingTransport
        if transport.is_closing():
            return
        if self.chunked_encoding and body and not self.head and self.scope["method"] != "HEAD":
            size = len(body)
            transport.write_now((_SIZES[size] if size < _KNOWN_SIZES else b"%x\r\n" % size) + body + b"\r\n")
        else:
            self._go_on(body, last=False)

    def answer_now(
        self, status: int, headers: Sequence[tuple[bytes, bytes]], body: bytes, *, last: bool
    ) -> bool:
        """Sends a head with a piece of its body, as two calls of `send` do.

        Returns False if they would have to wait for the client; then nothing is sent.
        """
        if self.flow.write_paused:
            return False
        if not self.disconnected:
            if self.response_started:
                raise RuntimeError("an answer has already begun")
            self._start(status, [*self.default_headers, *headers])
            self._go_on(body, last=last)
        return True

    def _start(self, status: int, headers: list[tuple[bytes, bytes]]) -> None:
        """Renders the head into `head`. Raises RuntimeError for a name or value that HTTP forbids."""
        self.response_started = True
        self.waiting_for_100_continue = False
        self.scope["headers"] = []  # frees them: the app has read them, and the answer may take an hour
        names = b"".join([name for name, _ in headers])
        if not is_header_name(names):
            raise RuntimeError("Invalid HTTP header name.")
        if with_control(headers):
            raise RuntimeError("Invalid HTTP header value.")
        if names != names.lower():
            headers = [(name.lower(), value) for name, value in headers]
        for name, value in headers:
            if name in _FRAMING:
                self._frame(name, value)
        lines = [b": ".join(pair) for pair in headers]
        if not self.keep_alive and b"connection: close" not in lines:
            lines.append(b"connection: close")
        if self.chunked_encoding is None and self.scope["method"] != "HEAD" and status not in _WITHOUT_BODY:
            self.chunked_encoding = True
            lines.append(b"transfer-encoding: chunked")
        self.head = STATUS_LINE[status] + b"\r\n".join([*lines, b"", b""])

    def _frame(self, name: bytes, value: bytes) -> None:
        if name == b"content-length" and self.chunked_encoding is None:
            self.expected_content_length = int(value.decode())
            self.chunked_encoding = False
        elif name == b"transfer-encoding" and value.lower() == b"chunked":
            self.expected_content_length = 0
            self.chunked_encoding = True
        elif name == b"connection" and b"close" in [token.strip() for token in value.lower().split(b",")]:
            self.keep_alive = False

    def _go_on(self, body: bytes, *, last: bool) -> None:
        """Writes a piece of the body. Raises RuntimeError if the body's length differs from Content-Length."""
        if self.scope["method"] == "HEAD":
            self.expected_content_length = 0
            body = b""
        elif self.chunked_encoding:
            if body:
                body = b"%x\r\n%b\r\n" % (len(body), body)
            if last:
                body += b"0\r\n\r\n"
        else:
            if len(body) > self.expected_content_length:
                raise RuntimeError("Response content longer than Content-Length")
            self.expected_content_length -= len(body)
        self._write(body)
        if last:
            if self.expected_content_length:
                raise RuntimeError("Response content shorter than Content-Length")
            self.response_complete = True
            self.message_event.set()
            if not self.keep_alive:
                self.transport.close()
            self.on_response()

    def _write(self, data: bytes) -> None:
        if self.head:
            data, self.head = self.head + data, b""
        if data:
            self.transport.write(data)


class _Left:
    """An app that ends as another one has ended: with its result or its error."""

    def __init__(self, result: Any, error: BaseException | None) -> None:
        self._result = result
        self._error = error

    async def __call__(self, *asgi: Any) -> Any:
        error, self._error = self._error, None
        if error is not None:
            raise error
        return self._result


def _nothing() -> None:
    """Replaces the callback of an answer that is over."""
