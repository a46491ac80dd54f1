"""Keeps aiohttp's pool clean: a connection takes bytes only while an answer is due.

The library hands out a kept connection without a look at what came on it meanwhile. A response that arrived
there while nobody waited would be the answer to the next caller's request, and each later caller of that
connection would get the answer of the one before. So the connection's protocol object, which sees every byte,
notes what it is waiting for.
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
    """What a connection waits for."""

    NEW = "no request has gone out on it"
    TAKEN = "a request is being made ready"
    ASKED = "an answer is due"
    IDLE = "its last answer is over"
    SPOILED = "bytes came that nobody asked for"


class AnswerTooEarlyError(aiohttp.ClientError):
    """Bytes came before the request was written: they answer somebody else, or nobody."""


class HeadTooLargeError(aiohttp.ClientError):
    """More came before the body than any head takes."""


class GuardedHandler(ResponseHandler):
    """The protocol object of one connection. With defaults on the class `guarded` adopts a library's own."""

    phase: Phase = Phase.NEW
    requests: int = 0  # that it was handed out for
    received: int = 0  # bytes, since the current request was begun
    _ours: bool = False  # the current request is of this transport, not of the host's
    _clean: bool = True  # nothing had come as the connection was handed out
    _poll: Callable[[int], Any] | None = None
    _writer: Any = None  # the library's writer of the current request
    _answer: Any = None  # the body of the final answer, once its head has come

    def set_response_params(self, **params: Any) -> None:
        """The library calls this for each request, as soon as it has a connection."""
        self._clean = self.phase in (Phase.NEW, Phase.IDLE) and not self.should_close
        self._ours, self._writer, self._answer, self.received = False, None, None, 0
        self.requests += 1
        if self.phase is not Phase.SPOILED:
            self.phase = Phase.TAKEN
        super().set_response_params(**params)

    def adopt(self) -> None:
        """The library made this object, for a host's session, and has just handed its connection out."""
        self.phase, self.requests, self._clean = Phase.TAKEN, 1, not self.should_close
        if self.transport is not None:
            self.transport.set_protocol(self)

    def begin(self) -> bool:
        """A request of ours is about to be written. Returns False where that must not be."""
        self._ours = True
        return self._clean and self.phase is Phase.TAKEN and self.is_connected() and not self._has_unread()

    def begun(self, writer: Any) -> None:
        """The library has begun to write the request, or will do so in the loop's next turn."""
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
        """The library's parser has a head."""
        message, _ = data
        if self._answer is not None:
            self._spoil()
            return
        if 100 <= message.code < 200 and message.code != 101:
            if not self._ours:
                super().feed_data(data, size)
            return  # nobody waits for one of ours, and there may be any number
        self._answer = self._payload
        super().feed_data(data, size)

    def connection_lost(self, exc: BaseException | None) -> None:
        if exc is not None and self._ours and self._answer is None:
            self._take_unread()
        body, self._writer = self._payload, None
        super().connection_lost(exc)
        # The parser, where it meets garbage in a chunked body, leaves whoever waits for the body waiting.
        if body is not None and not body.is_eof() and body.exception() is None:
            body.set_exception(aiohttp.ClientPayloadError("the connection broke"))

    def _take_unread(self) -> None:
        """A write failed: what the server had answered may lie in the socket, which is closed after this."""
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
            return False  # a web socket of the host's
        if self.phase is Phase.TAKEN:
            return self._ours
        if self.phase is Phase.ASKED:
            return self._writer is not None and not self._writer.output_size
        return True

    def _end(self) -> None:
        """The answer is over. Of what came behind it in the same piece the parser has begun a next one."""
        self.phase, self._writer = Phase.IDLE, None
        try:
            more = self._parser is not None and self._parser.feed_eof() is not None
        except Exception:  # garbage behind the answer, whatever the parser calls it: the connection is closed
            more = True
        if more or self._tail:
            self._spoil()

    def _spoil(self) -> None:
        """Closes the connection. Whoever waits for an answer to a request that was never written is told so."""
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
        """True if the socket holds bytes, or its end, that nobody has read. Never waits.

        With TLS a new connection may hold the server's session tickets.
        """
        if self._poll is None:
            transport = self.transport
            if transport is None or (self.requests < 2 and transport.get_extra_info("ssl_object") is not None):
                return False
            self._poll = _poll(transport.get_extra_info("socket"))
        return bool(self._poll(0))


_MOST_PIECES = 8
"""Reads of what a server had answered when its connection broke."""


def _poll(raw: Any) -> Callable[[int], Any]:
    """Returns a function that tells whether a read from this socket would not wait: there is something, or it
    was closed."""
    if not hasattr(select, "poll"):  # Windows
        return lambda _: select.select([raw], [], [], 0)[0]
    poll = select.poll()
    poll.register(raw.fileno(), select.POLLIN)
    return poll.poll


class GuardedConnector(aiohttp.TCPConnector):
    """A pool whose connections are guarded from their first byte on."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)  # pyright: ignore[reportUnknownMemberType]
        self._factory: Any = partial(GuardedHandler, loop=self._loop)


def guarded(handler: ResponseHandler) -> GuardedHandler:
    """Returns the protocol object of a connection as a guarded one. One of a host's own session is adopted as
    it is first used here; the event loop may have kept its methods, and is told to look again."""
    if isinstance(handler, GuardedHandler):
        return handler
    handler.__class__ = GuardedHandler
    adopted = cast(GuardedHandler, handler)
    adopted.adopt()
    return adopted
