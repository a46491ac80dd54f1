"""Server-sent events: any cut of the bytes gives the same events, and nothing grows without bound."""

import json

import httpx2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nexusflow_core.errors import EventTooLargeError
from nexusflow_core.sse import ServerSentEvent, SSEDecoder, encode_sse
from tests.cuts import cut, cuts

WORDS = st.text(st.characters(exclude_characters="\r\n\0", codec="utf-8"), max_size=20)
DATA = st.binary(max_size=60).map(lambda data: data.replace(b"\r", b""))
EVENTS = st.lists(
    st.builds(
        ServerSentEvent,
        DATA,
        WORDS,
        st.none() | WORDS,
        st.none() | st.integers(0, 10**9),
    ),
    max_size=8,
)
NOISE = st.lists(
    st.sampled_from(
        [
            b"data",
            b": ",
            b":",
            b"\n",
            b"\r",
            b"\r\n",
            b"event",
            b"id",
            b"retry",
            b"x",
            b" ",
            b"\xe2\x80\xa8",
            b"\xef\xbb\xbf",
            b"5",
        ]
    ),
    max_size=40,
).map(b"".join)


def decode(pieces: list[bytes]) -> list[ServerSentEvent]:
    decoder = SSEDecoder()
    return [event for piece in pieces for event in decoder.feed(piece)] + decoder.flush()


def encode(events: list[ServerSentEvent]) -> bytes:
    return b"".join(encode_sse(e.data, e.event, id=e.id, retry=e.retry) for e in events)


@given(EVENTS)
def test_decoding_what_was_encoded_is_the_identity(events: list[ServerSentEvent]) -> None:
    """encode_sse then SSEDecoder gives back each field of each event."""
    assert decode([encode(events)]) == events


@given(NOISE, cuts())
def test_any_cut_gives_the_same_events(stream: bytes, places: list[int]) -> None:
    """CRLF, UTF-8 and fields may be split anywhere."""
    assert decode(cut(stream, places)) == decode([stream])


@given(NOISE)
def test_one_byte_at_a_time_gives_the_same_events(stream: bytes) -> None:
    """The finest cut of all."""
    assert decode([stream[i : i + 1] for i in range(len(stream))]) == decode([stream])


@given(EVENTS)
def test_an_event_a_piece_gives_the_same_events(events: list[ServerSentEvent]) -> None:
    """As nearly every chunk of a stream comes; there is a short way for it."""
    pieces = [b": begun\n\n", *(encode([event]) for event in events), encode(events)]
    assert decode(pieces) == [*events, *events] == decode([b"".join(pieces)])


@given(EVENTS, st.sampled_from([b"\n", b"\r", b"\r\n"]))
def test_httpx2_reads_the_same_events(events: list[ServerSentEvent], line_end: bytes) -> None:
    """An outside oracle agrees on name and data, for each kind of line end."""
    stream = encode(events).replace(b"\n", line_end)
    request = httpx2.Request("GET", "http://upstream")
    headers = {"content-type": "text/event-stream"}
    response = httpx2.Response(200, content=stream, headers=headers, request=request)
    theirs = [(e.event, e.data) for e in httpx2.EventSource(response)]
    assert [(e.event or "message", e.data.decode(errors="replace")) for e in decode([stream])] == theirs


def test_only_lf_crlf_and_cr_end_a_line() -> None:
    """U+2028, U+0085 and vertical tabs inside JSON are text."""
    text = '{"t":"a\u2028b\u0085c\x0bd\x1ce"}'.encode()
    assert decode([b"data: " + text + b"\n\n"]) == [ServerSentEvent(text)]


@pytest.mark.parametrize(
    ("stream", "data"),
    [
        (b"data:x\n\n", [b"x"]),
        (b"data:  x\n\n", [b" x"]),
        (b"data: a\ndata: b\n\n", [b"a\nb"]),
        (b": comment\n\ndata: x\n\n", [b"x"]),
        (b"\xef\xbb\xbfdata: x\n\n", [b"x"]),
        (b"data\n\n", [b""]),
        (b"event: only-a-name\n\n", []),
        (b"data: x\n\ndata: unfinished", [b"x", b"unfinished"]),
        (b"data: x\r\rdata: y\r\n\r\n", [b"x", b"y"]),
    ],
)
def test_the_format_in_small(stream: bytes, data: list[bytes]) -> None:
    """The optional space, several data lines, comments, a BOM, an unfinished last event."""
    assert [event.data for event in decode([stream])] == data


def test_a_cr_ends_the_event_without_waiting_for_its_lf() -> None:
    """An event ended by CR CR is there at once; a LF that follows belongs to it."""
    decoder = SSEDecoder()
    assert decoder.feed(b"data: x\r\r") == [ServerSentEvent(b"x")]
    assert decoder.feed(b"\ndata: y\r\n\r\n") == [ServerSentEvent(b"y")]


def test_pending_tells_whether_an_event_has_begun() -> None:
    """What decides whether a cut stream needs a blank line before an error event."""
    decoder = SSEDecoder()
    seen: list[bool] = []
    for piece in (b"data", b": x\n", b"\n", b"\n"):
        decoder.feed(piece)
        seen.append(decoder.pending)
    assert seen == [True, True, False, False]


@pytest.mark.parametrize(
    "piece", [b"x" * 100, b"data: " + b"x" * 50 + b"\n", b"data: " + b"x" * 5000 + b"\n\n"]
)
def test_an_event_over_the_bound_is_a_typed_error(piece: bytes) -> None:
    """A line without end, lines without end, or one huge event: never unbounded memory."""
    decoder = SSEDecoder(max_event_bytes=1000)

    def feed_on() -> None:
        for _ in range(100):
            decoder.feed(piece)

    with pytest.raises(EventTooLargeError):
        feed_on()


def test_many_small_events_never_reach_the_bound() -> None:
    """The bound is on one event, not on the stream."""
    decoder = SSEDecoder(max_event_bytes=100)
    assert sum(len(decoder.feed(b": c\n\ndata: 12345\n\n")) for _ in range(1000)) == 1000


@pytest.mark.parametrize(
    "bad",
    [
        {"data": b"a\rb"},
        {"data": b"", "event": "a\nb"},
        {"data": b"", "id": "a\0"},
        {"data": b"", "retry": -1},
        {"data": b"", "retry": 10**18},
    ],
)
def test_what_the_format_cannot_carry_is_refused(bad: dict[str, object]) -> None:
    """A CR in data, a line break in a name or a retry below 0 would come out as something else."""
    with pytest.raises(ValueError, match="cannot carry"):
        encode_sse(**bad)  # type: ignore[arg-type]


LINES = st.sampled_from(
    [
        b"data: {}",
        b"data: [1]",
        b"data:x",
        b"data: ",
        b"event: a",
        b"event: ",
        b"id: 1",
        b": c",
        b"",
        b"\r",
        b"data",
    ]
)


@given(st.lists(st.lists(LINES, max_size=4), max_size=4))
def test_the_quick_line_is_the_event_that_feed_returns(chunks: list[list[bytes]]) -> None:
    """In a chunk that is one event with one data line, it is that event's data. `feed` takes it as before."""
    quick, slow = SSEDecoder(), SSEDecoder()
    for lines in chunks:
        chunk = b"\n".join([*lines, b"", b""])
        line = quick.only_line(chunk)
        assert quick.only_line(chunk) == line
        events = slow.feed(chunk)
        assert quick.feed(chunk) == events
        if line is not None and _is_json(line):
            assert [event.data for event in events] == [line]


def _is_json(text: bytes) -> bool:
    try:
        json.loads(text)
    except ValueError:
        return False
    return True


def test_a_quick_line_stands_between_events() -> None:
    """Not before the first bytes, not inside an event, and not behind half of a line end."""
    whole = b"data: {}\n\n"
    decoder = SSEDecoder()
    assert decoder.only_line(whole) is None  # a BOM might still come
    decoder.feed(whole)
    assert decoder.only_line(whole) == b"{}"
    assert decoder.only_line(b"event: a\ndata: {}\n\n") == b"{}"
    assert decoder.only_line(b"data: {}\r\n\r\n") is None
    for before, after in ((b"data: 1", b"\n\n"), (b"event: a\n", b"\n"), (b"data: 1\r\n\r", b"\n")):
        decoder.feed(before)
        assert decoder.only_line(whole) is None
        decoder.feed(after)
        assert decoder.only_line(whole) == b"{}"
