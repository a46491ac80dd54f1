"""TLS of one connection, over bytes in memory: the same on every event loop, and it can resume a session."""

import ssl
from collections.abc import Callable
from typing import Final

__all__ = ["Tls"]

_RECORD_HEADER: Final = 5
"""Bytes of type, version and length before each record (RFC 8446 section 5.1)."""

_MOST: Final = 256 * 1024
"""Bytes that one read takes out of the TLS library."""


class Tls:
    """One layer: `receive` takes bytes of the wire and returns those of the layer above, `send` the other way.

    `write` hands bytes to the layer below. Each verb raises ssl.SSLError where the peer breaks the protocol.
    """

    __slots__ = (
        "_begun",
        "_incoming",
        "_object",
        "_outgoing",
        "_record_left",
        "_write",
        "ended",
        "established",
    )

    def __init__(
        self,
        context: ssl.SSLContext,
        host: str,
        session: ssl.SSLSession | None,
        write: Callable[[bytes], None],
    ) -> None:
        self._incoming: Final = ssl.MemoryBIO()
        self._outgoing: Final = ssl.MemoryBIO()
        self._object: Final = context.wrap_bio(
            self._incoming, self._outgoing, server_hostname=host, session=session
        )
        self._write: Final = write
        self._record_left = 0  # bytes of the current record that have not come
        self._begun: bytes = b""  # the beginning of a record's header
        self.established = False
        self.ended = False  # the peer has said that it sends no more

    @property
    def session(self) -> ssl.SSLSession | None:
        """Returns what a later connection can resume. Servers send it with their first answer or before."""
        return self._object.session

    def shake_hands(self) -> None:
        """Takes the handshake as far as the bytes that have come allow."""
        try:
            self._object.do_handshake()
            self.established = True
        except ssl.SSLWantReadError:
            pass
        finally:
            self._flush()

    def receive(self, data: bytes) -> bytes:
        """Returns the plain bytes in `data`, which may be none."""
        self._incoming.write(data)
        self._count_records(data)
        if not self.established:
            self.shake_hands()
            if not self.established:
                return b""
        pieces: list[bytes] = []
        try:
            while self._incoming.pending or self._object.pending():
                piece = self._object.read(_MOST)
                if not piece:
                    self.ended = True
                    break
                pieces.append(piece)
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLZeroReturnError:
            self.ended = True
        self._flush()  # an answer to a key update
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def send(self, data: bytes | memoryview) -> None:
        """Encrypts all of `data` and hands it down."""
        sent = self._object.write(data)
        while sent < len(data):
            sent += self._object.write(memoryview(data)[sent:])
        self._flush()

    @property
    def in_record(self) -> bool:
        """True if a record has begun and not ended. The TLS library does not say what it has of one."""
        return bool(self._record_left or self._begun)

    def _count_records(self, data: bytes) -> None:
        """Follows the records in `data`: a header of five bytes, of which two are the length, then a body."""
        at = self._record_left
        if self._begun:
            data = self._begun + data
        size = len(data)
        while at < size:
            if size - at < _RECORD_HEADER:
                self._record_left, self._begun = 0, data[at:]
                return
            at += _RECORD_HEADER + int.from_bytes(data[at + 3 : at + _RECORD_HEADER], "big")
        self._record_left, self._begun = at - size, b""

    def _flush(self) -> None:
        if self._outgoing.pending:
            self._write(self._outgoing.read())
