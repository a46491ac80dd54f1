"""Keeps aiohttp's pool clean: a connection accepts bytes only while an answer is due.

aiohttp does not check whether bytes arrived on a kept connection. A response that arrived while no call waited
would answer the next caller's request, and all later callers of this connection would get the previous answer.
The connection's protocol object sees every byte, so it records the state of the connection.
"""

import enum
import os
import select
import socket
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any, cast

import aiohttp
from aiohttp.client_proto import ResponseHandler

from nexusflow_asgi.transports.failures import HEAD_BYTES

__all__ = ["AnswerTooEarlyError", "GuardedConnector", "GuardedHandler", "HeadTooLargeError", "Phase", "guarded"]


class Phase(enum.Enum):
    """The state of a connection."""

    NEW = "no request has gone out on it"
    TAKEN = "a request is being made ready"
    ASKED = "an answer is due"
    IDLE = "its last answer is over"
    SPOILED = "unexpected bytes came"


class AnswerTooEarlyError(aiohttp.ClientError):
    """Bytes came before the request was written: they answer another call, or none."""


class HeadTooLargeError(aiohttp.ClientError):
    """More bytes came before the body than any head has."""


class GuardedHandler(ResponseHandler):
    """The protocol object of one connection. Its defaults are class members, since `guarded` adopts objects."""

    phase: Phase = Phase.NEW
    requests: int = 0  # requests it was used for
    received: int = 0  # bytes since the current request began
    _ours: bool = False  # True if the current request is this transport's, not the host's
    _clean: bool = True  # True if no bytes had come when the pool returned the connection
    _poll: Callable[[int], Any] | None = None
    _writer: Any = None  # aiohttp's writer of the current request
    _answer: Any = None  # the body of the final answer, once its head has arrived

    def set_response_params(self, **params: Any) -> None:
        """Called by aiohttp for each request, as soon as it has a connection."""
        self._clean = self.phase in (Phase.NEW, Phase.IDLE) and not self.should_close
        self._ours, self._writer, self._answer, self.received = False, None, None, 0
        self.requests += 1
        if self.phase is not Phase.SPOILED:
            self.phase = Phase.TAKEN
        super().set_response_params(**params)

    def adopt(self) -> None:
        """Starts guarding an object that aiohttp made for a host's session."""
        self.phase, self.requests, self._clean = Phase.TAKEN, 1, not self.should_close
        if self.transport is not None:
            self.transport.set_protocol(self)

    def begin(self) -> bool:
        """Call it before a request is written. Returns False if the connection must not be used."""
        self._ours = True
        return self._clean and self.phase is Phase.TAKEN and self.is_connected() and not self._has_unread()

    def begun(self, writer: Any) -> None:
        """Call it once aiohttp writes the request, or will do so in the loop's next turn."""
        self._writer = writer
        if self.phase is Phase.TAKEN:
            self.phase = Phase.ASKED

    def data_received(self, data: bytes) -> None:
        if data and self._nothing_due():
            self._spoil()
            return
        super().data_received(data)
        self.received += len(data)
        if self._answer is None:
            if self._ours and self.received > HEAD_BYTES:
                self._give_up(HeadTooLargeError())
        elif self._answer.is_eof() and self.phase is not Phase.SPOILED:
            self._end()

    def feed_data(self, data: Any, size: int = 0) -> None:
        """Called by aiohttp's parser for each head."""
        message, _ = data
        if self._answer is not None:
            self._spoil()
            return
        if 100 <= message.code < 200 and message.code != 101:
            if not self._ours:
                super().feed_data(data, size)
            return  # nothing waits for 1xx answers, and there may be any number
        self._answer = self._payload
        super().feed_data(data, size)

    def connection_lost(self, exc: BaseException | None) -> None:
        if exc is not None and self._ours and self._answer is None:
            self._take_unread()
        body, self._writer = self._payload, None
        super().connection_lost(exc)
        # After garbage in a chunked body, aiohttp's parser would let the reader wait for ever.
        if body is not None and not body.is_eof() and body.exception() is None:
            body.set_exception(aiohttp.ClientPayloadError("the connection broke"))

    def _take_unread(self) -> None:
        """Reads the rest of the socket after a failed write: it may hold the server's answer."""
        transport = self.transport
        if transport is None or transport.get_extra_info("ssl_object") is not None:
            return
        with suppress(OSError, ValueError, AttributeError):
            fileno = transport.get_extra_info("socket").fileno()
            with socket.socket(fileno=os.dup(fileno)) as second:
                second.setblocking(False)
                for _ in range(_MOST_PIECES):
                    if not (data := second.recv(HEAD_BYTES)):
                        break
                    self.data_received(data)

    def _nothing_due(self) -> bool:
        if self._upgraded:
            return False  # the host's web socket
        if self.phase is Phase.TAKEN:
            return self._ours
        if self.phase is Phase.ASKED:
            return self._writer is not None and not self._writer.output_size
        return True

    def _end(self) -> None:
        """Ends the answer. If its last piece contains more bytes, the connection is spoiled."""
        self.phase, self._writer = Phase.IDLE, None
        try:
            more = self._parser is not None and self._parser.feed_eof() is not None
        except Exception:  # any parser error means garbage after the answer
            more = True
        if more or self._tail:
            self._spoil()

    def _spoil(self) -> None:
        """Closes the connection. A call whose request was never written gets AnswerTooEarlyError."""
        waited = self.phase in (Phase.TAKEN, Phase.ASKED) and self._answer is None
        self.phase = Phase.SPOILED
        if waited:
            self._give_up(AnswerTooEarlyError())
            return
        self.force_close()
        if self.transport is not None:
            self.transport.close()

    def _give_up(self, error: aiohttp.ClientError) -> None:
        self.phase = Phase.SPOILED
        self.set_exception(error)
        if self.transport is not None:
            self.transport.abort()

    def _has_unread(self) -> bool:
        """True if the socket has unread bytes, or its end. It never blocks.

        A new TLS connection is not checked: it may hold the server's session tickets.
        """
        if self._poll is None:
            transport = self.transport
            if transport is None or (self.requests < 2 and transport.get_extra_info("ssl_object") is not None):
                return False
            self._poll = _poll(transport.get_extra_info("socket"))
        return bool(self._poll(0))


_MOST_PIECES = 8
"""Bound on the reads after a failed write."""


def _poll(raw: Any) -> Callable[[int], Any]:
    """Returns a function that is true if a read from this socket would not block."""
    if not hasattr(select, "poll"):  # Windows
        return lambda _: select.select([raw], [], [], 0)[0]
    poll = select.poll()
    poll.register(raw.fileno(), select.POLLIN)
    return poll.poll


class GuardedConnector(aiohttp.TCPConnector):
    """A pool of connections that are guarded from their first byte."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)  # pyright: ignore[reportUnknownMemberType]
        self._factory: Any = partial(GuardedHandler, loop=self._loop)


def guarded(handler: ResponseHandler) -> GuardedHandler:
    """Returns a connection's protocol object as a guarded one.

    An object of a host's session is adopted on first use. The event loop may have stored its methods, so the
    protocol is set again.
    """
    if isinstance(handler, GuardedHandler):
        return handler
    handler.__class__ = GuardedHandler
    adopted = cast(GuardedHandler, handler)
    adopted.adopt()
    return adopted
