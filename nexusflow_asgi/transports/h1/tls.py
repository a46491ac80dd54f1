"""TLS of one connection, on bytes in memory. It works alike on every event loop, and can resume a session."""

import ssl
from collections.abc import Callable, Iterable
from typing import Final

__all__ = ["Tls", "decrypted"]

_RECORD_HEADER: Final = 5
"""Bytes of type, version and length before each record (RFC 8446 section 5.1)."""

_MOST: Final = 256 * 1024
"""Bytes per read from the TLS library."""


class Tls:
    """One layer of TLS. `receive` decrypts bytes from the wire; `send` encrypts, and passes them to `write`.

    Each verb raises ssl.SSLError if the peer breaks the protocol.
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
        self._record_left = 0  # bytes of the current record that have not arrived
        self._begun: bytes = b""  # an incomplete header of a record
        self.established = False
        self.ended = False  # the peer has announced the end of its bytes

    @property
    def session(self) -> ssl.SSLSession | None:
        """The session that a later connection can resume. It arrives with the first answer or before."""
        return self._object.session

    def shake_hands(self) -> None:
        """Continues the handshake as far as the received bytes allow."""
        try:
            self._object.do_handshake()
            self.established = True
        except ssl.SSLWantReadError:  # the rest of the handshake has not arrived
            pass
        finally:
            self._flush()

    def receive(self, data: bytes) -> bytes:
        """Returns the decrypted bytes of `data`, possibly none."""
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
        except ssl.SSLWantReadError:  # all that has arrived is read
            pass
        except ssl.SSLZeroReturnError:
            self.ended = True
        self._flush()  # a key update needs an answer
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def send(self, data: bytes | memoryview) -> None:
        """Encrypts `data` and passes it to the layer below."""
        sent = self._object.write(data)
        while sent < len(data):
            sent += self._object.write(memoryview(data)[sent:])
        self._flush()

    @property
    def in_record(self) -> bool:
        """True if a record is incomplete. The TLS library does not expose this."""
        return bool(self._record_left or self._begun)

    def _count_records(self, data: bytes) -> None:
        """Follows the records in `data`. Each has a header of five bytes, with the length in the last two."""
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


def decrypted(layers: Iterable[Tls], data: bytes) -> bytes:
    """Returns the bytes below all layers, possibly none. Raises ssl.SSLError (an OSError)."""
    for tls in layers:
        data = tls.receive(data)
        if not data:
            break
    return data
