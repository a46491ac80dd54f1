"""AWS's event stream without I/O: bytes in, frames out, however the bytes are cut; and frames to bytes.

A frame is a prelude of 12 bytes (length, length of the headers, CRC), headers, a payload, and a CRC of it all.
Both CRCs are checked, and the prelude's before its lengths are believed. Source: AWS's description of
`application/vnd.amazon.eventstream`.
"""

import struct
import zlib
from collections.abc import Mapping
from typing import Final

from msgspec import Struct

from nexusflow_core.errors import UpstreamProtocolError, kept

__all__ = ["MAX_HEADER_BYTES", "MAX_PAYLOAD_BYTES", "EventStreamDecoder", "Frame", "encode_frame"]

MAX_PAYLOAD_BYTES = 24 * 1024 * 1024
"""Bound on one payload, as in botocore. The largest recorded one has 7,834 bytes."""
MAX_HEADER_BYTES = 128 * 1024
"""Bound on the headers of one frame."""

_PRELUDE: Final = struct.Struct(">III")
_CRC: Final = struct.Struct(">I")
_LEAST: Final = _PRELUDE.size + _CRC.size

_FIXED: Final = {0: 0, 1: 0, 2: 1, 3: 2, 4: 4, 5: 8, 8: 8, 9: 16}
"""Bytes of a header's value, by its type: booleans, integers, a time, a UUID."""
_BYTES, _STRING = 6, 7


class Frame(Struct, frozen=True):
    """One message. `headers` holds the headers of type string; others are checked and skipped."""

    headers: dict[str, str]
    payload: bytes


class EventStreamDecoder:
    """Reads frames from bytes in any pieces. `damage` is the error that ended the reading, or None."""

    __slots__ = ("_buffer", "damage")

    def __init__(self) -> None:
        self.damage: UpstreamProtocolError | None = None
        self._buffer = bytearray()

    @property
    def pending(self) -> bool:
        """True if the bytes so far stop inside a frame."""
        return bool(self._buffer)

    def feed(self, data: bytes) -> list[Frame]:
        """Returns the frames that these bytes complete, up to damage. After damage it returns none.

        The buffer is cut once, whatever the number of frames.
        """
        frames: list[Frame] = []
        if self.damage is not None:
            return frames
        buffer, at = self._buffer, 0
        buffer += data
        try:
            while len(buffer) - at >= _PRELUDE.size:
                length, headers = _lengths(bytes(buffer[at : at + _PRELUDE.size]))
                if len(buffer) - at < length:
                    break
                frames.append(_frame(bytes(buffer[at : at + length]), headers))
                at += length
        except UpstreamProtocolError as error:
            self.damage = kept(error)
        del buffer[:at]
        return frames


def encode_frame(headers: Mapping[str, str], payload: bytes) -> bytes:
    """Returns one frame. Names have at most 255 bytes, and values 65,535."""
    parts: list[bytes] = []
    for name, value in headers.items():
        key, text = name.encode(), value.encode()
        parts += (bytes((len(key),)), key, bytes((_STRING,)), len(text).to_bytes(2, "big"), text)
    encoded = b"".join(parts)
    lengths = struct.pack(">II", _LEAST + len(encoded) + len(payload), len(encoded))
    frame = lengths + _CRC.pack(zlib.crc32(lengths)) + encoded + payload
    return frame + _CRC.pack(zlib.crc32(frame))


def _lengths(prelude: bytes) -> tuple[int, int]:
    """Returns the length of the frame and of its headers."""
    length, headers, crc = _PRELUDE.unpack(prelude)
    if zlib.crc32(prelude[:8]) != crc:
        raise UpstreamProtocolError("the upstream's event stream is damaged: a frame's beginning is wrong")
    if length < _LEAST or headers > length - _LEAST:
        raise UpstreamProtocolError("the upstream's event stream is damaged: a frame's lengths disagree")
    if headers > MAX_HEADER_BYTES or length - _LEAST - headers > MAX_PAYLOAD_BYTES:
        raise UpstreamProtocolError("the upstream's event stream has a frame that is too large")
    return length, headers


def _frame(data: bytes, headers: int) -> Frame:
    body = len(data) - _CRC.size
    if zlib.crc32(memoryview(data)[:body]) != _CRC.unpack_from(data, body)[0]:
        raise UpstreamProtocolError("the upstream's event stream is damaged: a frame's checksum is wrong")
    start = _PRELUDE.size + headers
    return Frame(_headers(data[_PRELUDE.size : start]), data[start:body])


def _headers(data: bytes) -> dict[str, str]:
    """Returns the string headers. Raises UpstreamProtocolError for one that cannot be read, or comes twice."""
    found: dict[str, str] = {}
    names: set[str] = set()
    at = 0
    try:
        while at < len(data):
            size = data[at]
            name, at = _text(data, at + 1, size), at + 1 + size
            kind, at = data[at], at + 1
            size, at = (_FIXED[kind], at) if kind in _FIXED else _sized(data, kind, at)
            value = _text(data, at, size) if kind == _STRING else None
            at += size
            if not name or name in names or at > len(data):
                raise ValueError
            names.add(name)
            if value is not None:
                found[name] = value
    except (IndexError, ValueError, struct.error):
        raise UpstreamProtocolError("the upstream's event stream has headers that cannot be read") from None
    return found


def _sized(data: bytes, kind: int, at: int) -> tuple[int, int]:
    """Returns the size of a value of variable length, and where it begins."""
    if kind not in (_BYTES, _STRING):
        raise ValueError
    return int(struct.unpack_from(">H", data, at)[0]), at + 2


def _text(data: bytes, at: int, size: int) -> str:
    if at + size > len(data):
        raise ValueError
    return data[at : at + size].decode()
