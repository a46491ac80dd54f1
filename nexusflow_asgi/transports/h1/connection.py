"""One HTTP/1.1 connection on asyncio. It sees every byte, and accepts bytes only while an answer is due.

Unexpected bytes close the connection. Otherwise they would answer the next caller's request, and each later
caller would get the previous answer.
"""

import asyncio
import ssl
from collections.abc import Callable
from typing import Any, Final, cast

from httptools import HttpParserError, HttpParserUpgrade, HttpResponseParser

from nexusflow_asgi.transports.failures import HEAD_BYTES, forget_traceback
from nexusflow_asgi.transports.h1.states import (
    AnswerTooEarlyError,
    ConnectionEndedError,
    HeadTooLargeError,
    Phase,
)
from nexusflow_asgi.transports.h1.tls import Tls, decrypted
from nexusflow_asgi.transports.h1.unread import poll_of, unread_bytes
from nexusflow_core.upstream.headers import ends_with_connection

__all__ = ["Connection"]

_PIECE: Final = 256 * 1024
"""Bytes of a large body that are written at once. Other calls run between two pieces."""

_MOST_UNREAD: Final = 64 * 1024
"""Bound on the unread bytes of an answer. Above it, reading from the socket pauses."""


_IDLE, _ASKED, _ANSWERING, _ANSWERED, _CLOSED = Phase


class Connection(asyncio.Protocol):
    """One connection. `ask` writes a request; after ASKED, `status` and `headers` are those of the answer.

    `changed()` returns a future for the next change. `take()` returns the received bytes of the body.
    `sink` gets them at once instead, and returns None; or the bytes that it leaves, which wakes the reader.
    `failure`: why the connection is CLOSED. `forget` is called once, when it can serve no more requests.
    """

    __slots__ = (
        "_forget",
        "_layers",
        "_loop",
        "_no_reading",
        "_no_writing",
        "_overhead",
        "_parser",
        "_pieces",
        "_poll",
        "_size",
        "_transport",
        "_unsent",
        "_waiter",
        "failure",
        "headers",
        "idle_since",
        "on_body",
        "phase",
        "requests",
        "reusable",
        "sink",
        "status",
    )

    def __init__(self, loop: asyncio.AbstractEventLoop, forget: Callable[["Connection"], object]) -> None:
        self._loop: Final = loop
        self._forget: Callable[[Connection], object] | None = forget
        self._transport: asyncio.Transport | None = None
        self._layers: tuple[Tls, ...] = ()
        self._pieces: list[bytes] = []
        self.on_body: Final = self._pieces.append  # for the parser, which calls it for each piece
        self._parser: HttpResponseParser | None = HttpResponseParser(self)
        self._waiter: asyncio.Future[None] | None = None
        self._poll: Callable[[int], Any] | None = None
        self._size = 0  # bytes received for `_pieces`, with their framing
        self._overhead = 0  # bytes since the request, or since the last byte of body
        self._unsent: memoryview | None = None
        self._no_reading = self._no_writing = False
        self.phase = _IDLE
        self.requests = 0  # requests it was used for
        self.status = 0  # 0 until the final head has arrived
        self.headers: list[tuple[bytes, bytes]] = []
        self.reusable = True
        self.idle_since = 0.0
        self.failure: Exception | None = None
        self.sink: Callable[[bytes], bytes | None] | None = None

    # For the transport and the pool

    def ask(self, head: bytes, body: bytes = b"") -> None:
        """Writes a request. A large `body` is written in pieces; the answer may arrive before its end."""
        if not self.requests and self._has_unread():  # a kept connection was checked by `usable`
            self.fail(AnswerTooEarlyError())
        self.requests += 1
        self.status = self._overhead = 0
        self.headers = []
        if self.phase is not _IDLE:
            return
        self.phase = _ASKED
        self._write(head)
        if body:
            self._unsent = memoryview(body)
            self._write_on()

    def changed(self) -> "asyncio.Future[None]":
        """Returns a future, for one waiter. It is done once a head, bytes, the end or a failure arrives."""
        self._waiter = waiter = self._loop.create_future()
        return waiter

    def take(self) -> bytes:
        """Returns the bytes of the body that have arrived since the last call, possibly none."""
        pieces = self._pieces
        if not pieces:
            return b""
        data = b"".join(pieces)  # of one piece it is that piece
        pieces.clear()
        self._size = 0
        if self._no_reading:
            self._read_on()
        return data

    @property
    def has_bytes(self) -> bool:
        """True if `take` would return bytes."""
        return bool(self._pieces)

    @property
    def died_unanswered(self) -> bool:
        """True if a kept connection ended before any byte of the answer. Then the request can be sent again."""
        ended = isinstance(self.failure, ConnectionEndedError | OSError)
        return self.requests > 1 and ended and not self._overhead and not self.status

    def make_idle(self) -> bool:
        """Ends the current request. Closes the connection and returns False if it cannot serve another one."""
        over = self.phase is _ANSWERED and not self._pieces and self._unsent is None
        if not over or not self.reusable or self._has_begun_record():
            self.close()
            return False
        self.phase = _IDLE
        return True

    def usable(self) -> bool:
        """Returns True if the connection is idle and has no unread bytes. Never blocks."""
        transport = self._transport
        return self.phase is _IDLE and not (transport is None or transport.is_closing() or self._has_unread())

    def close(self) -> None:
        """Closes the socket at once."""
        self.fail(ConnectionEndedError())

    def fail(self, error: Exception) -> None:
        """Closes the socket at once because of `error`. Bytes received before can still be taken."""
        if self.phase is _CLOSED:
            return
        forget_traceback(error)
        self.phase, self.failure = _CLOSED, error
        self._retire()
        self._wake()

    # While connecting

    async def start_tls(self, context: ssl.SSLContext, host: str, session: ssl.SSLSession | None) -> None:
        """Adds a TLS layer above the present ones. Raises OSError if the handshake fails."""
        below = self._layers[-1].send if self._layers else self._write_raw
        tls = Tls(context, host, session, below)
        self._layers = (*self._layers, tls)
        tls.shake_hands()
        while not tls.established:
            await self.changed()
            if self.failure is not None:
                raise self.failure

    def begin_tunnel(self) -> None:
        """Makes the connection count as new, after a proxy has opened a tunnel."""
        self._parser = HttpResponseParser(self)  # the old parser would take the tunnel for a body
        self.phase, self.requests, self.reusable = _IDLE, 0, True

    @property
    def session(self) -> ssl.SSLSession | None:
        """The TLS session with the upstream, or None."""
        return self._layers[-1].session if self._layers else None

    # Called by the event loop

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        if self.phase is _CLOSED:
            self._transport.abort()

    def data_received(self, data: bytes) -> None:
        if self._layers:
            data = self._decrypted(data)
            if not data:
                return
        sink = self.sink
        if sink is None:
            self._receive(data)
        else:  # the body is passing: the same as `_receive`, in fewer steps
            try:
                self._parser.feed_data(data)  # type: ignore[union-attr]
            except (HttpParserError, HttpParserUpgrade) as error:
                self._unparsed(error)
            pieces, left = self._pieces, None
            if pieces:
                self._overhead = 0
                left = sink(pieces.pop() if len(pieces) == 1 else self.take())
            else:
                self._note_framing(data)
            if left is not None or self.phase is not _ANSWERING:
                if left:
                    pieces.append(left)
                    self._note_unread(left)
                self._wake()
        if self._layers and any(tls.ended for tls in self._layers):
            self._end(None)

    def _receive(self, data: bytes) -> None:
        phase, unread = self.phase, len(self._pieces)
        if phase is _IDLE:
            self.fail(AnswerTooEarlyError())
        elif phase is _ANSWERED:
            self._retire()
        if phase is not _ASKED and phase is not _ANSWERING:
            return
        try:
            self._parser.feed_data(data)  # type: ignore[union-attr]
        except (HttpParserError, HttpParserUpgrade) as error:
            self._unparsed(error)
        if len(self._pieces) > unread:
            self._note_unread(data)
            self._wake()
        else:
            self._note_framing(data)
            if self.phase is not phase:
                self._wake()

    def eof_received(self) -> None:
        self._end(None)

    def connection_lost(self, exc: Exception | None) -> None:
        if exc is not None and self.phase in (_ASKED, _ANSWERING):
            self._take_unread()
        self._end(exc)
        self._transport = self._parser = self._poll = None

    def pause_writing(self) -> None:
        self._no_writing = True

    def resume_writing(self) -> None:
        self._no_writing = False
        self._write_on()

    # Called by the parser

    def on_message_begin(self) -> None:
        if self.phase is _ANSWERED:
            raise HttpParserError("bytes after the answer")

    def on_header(self, name: bytes, value: bytes) -> None:
        if self.phase is _ASKED:  # else a trailer
            self.headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        parser = cast(HttpResponseParser, self._parser)
        status = parser.get_status_code()
        if self.phase is not _ASKED:
            return
        if status < 200:
            if status < 100:
                raise HttpParserError("no such status")
            self.headers = []  # drops those of a 1xx, which is not the answer
            return
        self.status, self.phase = status, _ANSWERING
        self.reusable = parser.should_keep_alive()
        if status >= 400 and self._unsent is not None:
            self._unsent, self.reusable = None, False  # refused: the rest of the body need not be sent

    def on_message_complete(self) -> None:
        if self.phase is _ANSWERING:
            self.phase = _ANSWERED

    # Internal

    def _note_framing(self, data: bytes) -> None:
        self._overhead += len(data)
        if self._overhead > HEAD_BYTES:
            self.fail(HeadTooLargeError())

    def _note_unread(self, data: bytes) -> None:
        self._overhead = 0
        self._size += len(data)
        if self._size > _MOST_UNREAD and not self._no_reading and self._transport is not None:
            self._no_reading = True
            self._transport.pause_reading()

    def _wake(self) -> None:
        """Lets the reader go on, and no sink before it."""
        waiter, self._waiter, self.sink = self._waiter, None, None
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    def _read_on(self) -> None:
        self._no_reading = False
        if self._transport is not None and not self._transport.is_closing():
            self._transport.resume_reading()

    def _retire(self) -> None:
        """Closes the socket: no other request can use it."""
        self.reusable = False
        self._unsent = None
        if self._transport is not None:
            self._transport.abort()
        forget, self._forget = self._forget, None
        if forget is not None:
            forget(self)

    def _unparsed(self, error: Exception) -> None:
        if self.phase is _ANSWERED:  # garbage after the answer
            self.reusable = False
        else:
            self.fail(error)

    def _end(self, error: Exception | None) -> None:
        """Handles the end of the incoming bytes. It completes a body without length, and breaks any other."""
        if self.phase is _ANSWERING and error is None and ends_with_connection(self.headers):
            self.phase = _ANSWERED
        if self.phase is _ANSWERED:
            self._retire()
            self._wake()
        else:
            self.fail(error or ConnectionEndedError())

    def _decrypted(self, data: bytes) -> bytes:
        top = self._layers[-1]
        waiting = not top.established
        try:
            data = decrypted(self._layers, data)
        except (ssl.SSLError, OSError) as error:
            self.fail(error)
            return b""
        if not data and any(tls.ended for tls in self._layers):
            self._end(None)
            return b""
        if waiting and top.established:
            self._wake()
        if self.phase is _IDLE and self.requests and self._has_begun_record():
            self.fail(AnswerTooEarlyError())
        return data

    def _has_begun_record(self) -> bool:
        """True if a TLS record is unfinished. Its rest would be taken for a part of the next answer."""
        return bool(self._layers) and any(tls.in_record for tls in self._layers)

    def _write_raw(self, data: bytes | memoryview) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(data)

    def _write(self, data: bytes | memoryview) -> None:
        if not self._layers:
            self._write_raw(data)
            return
        try:
            self._layers[-1].send(data)
        except ssl.SSLError as error:
            self.fail(error)

    def _write_on(self) -> None:
        """Writes the next piece of a large body, if the socket accepts it, and schedules the one after it."""
        unsent = self._unsent
        if unsent is None or self._no_writing:
            return
        self._unsent = unsent[_PIECE:] if len(unsent) > _PIECE else None
        self._write(unsent[:_PIECE])
        if self._unsent is not None and not self._no_writing:
            self._loop.call_soon(self._write_on)

    def _has_unread(self) -> bool:
        """True if the socket has unread bytes, or its end. Never blocks.

        A new TLS connection is not checked: it may hold the server's session tickets.
        """
        if self._layers and not self.requests:
            return False
        if self._poll is None:
            if self._transport is None:
                return True
            self._poll = poll_of(self._transport.get_extra_info("socket"))
        return bool(self._poll(0))

    def _take_unread(self) -> None:
        """Reads the rest of the socket after a failed write: it may hold the server's answer."""
        if self._transport is not None:
            self._no_reading = True  # a closing socket cannot be paused
            for data in unread_bytes(self._transport.get_extra_info("socket")):
                self.data_received(data)
