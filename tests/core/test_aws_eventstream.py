"""AWS's event stream: the known answers, any cut of the bytes, and every bound."""

import random
import struct
import zlib

import pytest

from nexusflow_core.aws_eventstream import MAX_HEADER_BYTES, EventStreamDecoder, Frame
from tests.core.doors.framing import frame, string

EVENT = bytes.fromhex(
    "0000006b0000004b6ace012d0b3a6576656e742d747970650700056368756e6b0d3a636f6e74656e742d747970650700106170706c69"
    "636174696f6e2f6a736f6e0d3a6d6573736167652d747970650700056576656e747b226279746573223a226533303d227d3651dbfe"
)
EXCEPTION = bytes.fromhex(
    "0000008e00000061514180540f3a657863657074696f6e2d747970650700137468726f74746c696e67457863657074696f6e0d3a636f"
    "6e74656e742d747970650700106170706c69636174696f6e2f6a736f6e0d3a6d6573736167652d74797065070009657863657074696f"
    "6e7b226d657373616765223a22546f6f206d616e7920746f6b656e73227dc81b1ec1"
)
CHUNK = {":event-type": "chunk", ":content-type": "application/json", ":message-type": "event"}


def test_known_frames() -> None:
    """botocore reads the same."""
    decoder = EventStreamDecoder()
    event, exception = decoder.feed(EVENT + EXCEPTION)
    assert event == Frame(CHUNK, b'{"bytes":"e30="}')
    assert exception.headers[":exception-type"] == "throttlingException"
    assert exception.payload == b'{"message":"Too many tokens"}'
    assert (decoder.damage, decoder.pending) == (None, False)


def test_the_tests_own_frames_are_the_known_ones() -> None:
    """So what the tests make is what AWS sends."""
    assert frame(b'{"bytes":"e30="}', CHUNK) == EVENT


def test_any_cut_gives_the_same_frames() -> None:
    """Byte by byte, in random pieces, and all at once."""
    rng = random.Random(1)
    made = [frame(rng.randbytes(rng.choice([0, 1, 50, 5000])), CHUNK) for _ in range(40)]
    data = b"".join(made)
    whole = EventStreamDecoder().feed(data)
    assert len(whole) == 40
    for sizes in ([1], [2, 3, 500, 7], [len(data)]):
        decoder, found, at = EventStreamDecoder(), list[Frame](), 0
        while at < len(data):
            size = rng.choice(sizes)
            found += decoder.feed(data[at : at + size])
            at += size
        assert found == whole
        assert not decoder.pending


def test_an_unfinished_frame_is_pending() -> None:
    """The caller sees at the end that the stream was cut."""
    for cut in (1, 11, 12, 50, len(EVENT) - 1):
        decoder = EventStreamDecoder()
        assert decoder.feed(EVENT[:cut]) == []
        assert (decoder.pending, decoder.damage) == (True, None)


def test_headers_of_every_type() -> None:
    """Strings are kept, the others are skipped by their size."""
    values = {
        0: b"",
        1: b"",
        2: b"a",
        3: b"ab",
        4: b"abcd",
        5: b"x" * 8,
        6: b"\x00\x02hi",
        8: b"t" * 8,
        9: b"u" * 16,
    }
    raw = b"".join(bytes([1]) + bytes([65 + kind, kind]) + value for kind, value in values.items())
    [found] = EventStreamDecoder().feed(frame(b"", {}, raw=raw + string(":message-type", "event")))
    assert found.headers == {":message-type": "event"}


BAD_HEADERS = [
    b"\x05ab",
    b"\x01a",
    b"\x00\x00",
    b"\x01a\x0a",
    b"\x01a\x07\x00\x05ab",
    b"\x01a\x07\x00",
    b"\x01a\x09123",
    b"\x01\xff\x00",
    b"\x01a\x07\x00\x01\xff",
    string("a", "1") + string("a", "2"),
]


@pytest.mark.parametrize("raw", BAD_HEADERS)
def test_headers_that_cannot_be_read(raw: bytes) -> None:
    """Cut, empty, of an unknown type, no UTF-8, or twice."""
    decoder = EventStreamDecoder()
    assert decoder.feed(EVENT + frame(b"{}", {}, raw=raw) + EVENT) != []
    assert "headers" in str(decoder.damage)


def prelude(length: int, headers: int) -> bytes:
    data = struct.pack(">II", length, headers)
    return data + struct.pack(">I", zlib.crc32(data))


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"<html>Bad gateway</html>", "beginning"),
        (b'{"message":"no stream"}', "beginning"),
        (bytes([EVENT[0] ^ 1]) + EVENT[1:], "beginning"),
        (EVENT[:40] + bytes([EVENT[40] ^ 1]) + EVENT[41:], "checksum"),
        (EVENT[:-1] + bytes([EVENT[-1] ^ 1]), "checksum"),
        (prelude(12, 0), "lengths"),
        (prelude(15, 0), "lengths"),
        (prelude(16, 1), "lengths"),
        (prelude(2**32 - 1, 2**32 - 1), "lengths"),
        (prelude(2**32 - 1, 0), "too large"),
        (prelude(MAX_HEADER_BYTES + 17, MAX_HEADER_BYTES + 1), "too large"),
    ],
)
def test_damage_is_seen_at_once(data: bytes, why: str) -> None:
    """A length is believed only if its CRC fits, so nothing waits for four gigabytes. Earlier frames count."""
    decoder = EventStreamDecoder()
    assert decoder.feed(EVENT + data) == EventStreamDecoder().feed(EVENT)
    assert why in str(decoder.damage)
    assert decoder.feed(EVENT) == []
