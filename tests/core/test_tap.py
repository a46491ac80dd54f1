"""The tap: reads usage and endings of a passing stream in any cut, and frames only what can matter."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nexusflow_core.dialects.anthropic.tap import StreamTap, read_answer
from nexusflow_core.sse import ServerSentEvent, SSEDecoder, encode_sse
from tests.cuts import cut, cuts

START = {"input_tokens": 25, "cache_read_input_tokens": 1000, "output_tokens": 1, "service_tier": "standard"}


def event(kind: str, **rest: Any) -> bytes:
    return encode_sse(json.dumps({"type": kind, **rest}).encode(), kind)


def text(words: str) -> bytes:
    return event("content_block_delta", index=0, delta={"type": "text_delta", "text": words})


def start(usage: dict[str, Any] | None = None) -> bytes:
    return event("message_start", message={"id": "msg_1", "model": "claude-x", "usage": usage or START})


def stream(*middle: bytes, usage: dict[str, Any] | None = None) -> bytes:
    done = event("message_delta", delta={"stop_reason": "end_turn"}, usage=usage or {"output_tokens": 9})
    return b"".join((start(), *middle, done, event("message_stop")))


def tapped(pieces: list[bytes], **options: bool) -> StreamTap:
    tap = StreamTap(**options)
    for piece in pieces:
        tap.feed(piece)
    tap.flush()
    return tap


def facts(tap: StreamTap) -> tuple[object, ...]:
    return (tap.usage, tap.model, tap.ended, tap.error_type, tap.started)


MIDDLES = st.lists(
    st.sampled_from(
        [
            text("Hello"),
            text('says "message_stop" and \n\n event: error'),
            text("x" * 6000),
            event("ping"),
            b": keepalive\n\n",
            b'event: content_block_start\ndata: {"type":"content_block_start" ,"x":"message_"   }\n\n',
        ]
    ),
    max_size=6,
)


@given(MIDDLES, cuts(), st.sampled_from([b"\n", b"\r\n", b"\r"]))
def test_any_cut_meters_the_same(middle: list[bytes], places: list[int], line_end: bytes) -> None:
    """Usage, model and ending do not depend on where the network cut the stream, nor on its line ends."""
    whole = stream(*middle).replace(b"\n", line_end)
    tap = tapped(cut(whole, places))
    assert facts(tap) == ({**START, "output_tokens": 9}, "claude-x", True, None, True)


@given(MIDDLES, cuts())
def test_a_stream_cut_short_is_seen_as_such(middle: list[bytes], places: list[int]) -> None:
    """Without message_stop it is not complete, however much text speaks of it."""
    tap = tapped(cut(start() + b"".join(middle), places))
    assert facts(tap) == (START, "claude-x", False, None, True)


def test_the_last_event_may_lack_its_blank_line() -> None:
    """Recorded streams end at the closing brace of message_stop."""
    assert tapped([stream().rstrip(b"\n")]).ended


def test_bytes_after_message_stop_do_not_disturb() -> None:
    """OpenRouter sends `data: [DONE]` there."""
    assert tapped([stream() + b"data: [DONE]\n\n"]).ended


def test_message_start_and_message_stop_alone_are_complete() -> None:
    """The second recorded form of a stream: the whole answer in message_start."""
    tap = tapped([start() + event("message_stop")])
    assert (tap.ended, tap.usage) == (True, START)


def test_an_error_event_is_noted() -> None:
    """Its type goes into the record; nothing follows."""
    error = event("error", error={"type": "overloaded_error", "message": "Overloaded"})
    tap = tapped([start() + text("Hi") + error])
    assert (tap.ended, tap.error_type) == (True, "overloaded_error")


def test_null_and_absent_keep_what_was_known() -> None:
    """Stream usage is cumulative: replaced per field, never added; absent is not zero."""
    usage = {"output_tokens": 9, "input_tokens": None, "cache_creation_input_tokens": None}
    assert tapped([stream(usage=usage)]).usage == {**START, "output_tokens": 9}


def test_a_compaction_may_shrink_the_prompt() -> None:
    """Anthropic's own input_tokens go down (60,385 to 612 recorded), so the later count stands."""
    usage = {"input_tokens": 612, "cache_read_input_tokens": 0, "output_tokens": 9}
    assert tapped([stream(usage=usage)]).usage == {**START, **usage}


@pytest.mark.parametrize("third_party", [True, False])
def test_zeros_of_a_third_party_do_not_erase_the_prompt(third_party: bool) -> None:
    """Kimi, Qwen and GLM send zeros in message_delta; output still comes from there."""
    usage = {"input_tokens": 0, "cache_read_input_tokens": 0, "output_tokens": 9}
    assert tapped([stream(usage=usage)], third_party=third_party).usage == {**START, "output_tokens": 9}


def test_a_third_party_may_correct_the_prompt_upwards_only() -> None:
    """Of two prompt totals the larger one counts, with all its fields together."""
    low = {"input_tokens": 5, "cache_read_input_tokens": 10, "output_tokens": 9}
    high = {"input_tokens": 3000, "cache_read_input_tokens": 0, "output_tokens": 9}
    assert tapped([stream(usage=low)], third_party=True).usage == {**START, "output_tokens": 9}
    assert tapped([stream(usage=high)], third_party=True).usage == {**START, **high}


@pytest.mark.parametrize(
    "odd",
    [
        event("message_delta", usage="many"),
        event("message_start", message=5),
        b'data: {"type":"message_stop"\n\n',
        b'data: {"type":"message_delta","usage":' + b"[" * 5000 + b"]" * 5000 + b"}\n\n",
        b'data: "message_\xff"\n\n',
        b'data: {"type":"message_\xff"}\n\n',
    ],
)
def test_events_of_another_shape_are_passed_by(odd: bytes) -> None:
    """On a relayed stream they are not ours to judge, and do not stop the metering."""
    assert facts(tapped([start() + odd + stream()])) == facts(tapped([stream()]))


@pytest.mark.parametrize("idle", [b": x\n\n", b"\n", b"\r\n", b":\r", b": x\r\n\r\n"])
def test_comments_before_the_first_event_are_not_framed_one_by_one(
    idle: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many come, in whatever cut, the decoder is asked a few times; the event behind them counts."""
    asked = 0
    feed = SSEDecoder.feed

    def counted(decoder: SSEDecoder, data: bytes) -> list[ServerSentEvent]:
        nonlocal asked
        asked += 1
        return feed(decoder, data)

    monkeypatch.setattr(SSEDecoder, "feed", counted)
    whole = idle * 50_000 + stream()
    for size in (10_001, len(whole)):
        asked, tap = 0, StreamTap()
        for at in range(0, len(whole), size):
            tap.feed(whole[at : at + size])
        assert asked < 2 * (len(whole) // size) + 20
        assert facts(tap) == facts(tapped([stream()]))


def test_memory_stays_constant() -> None:
    """100,000 deltas and one event of megabytes leave nothing behind."""
    tap = StreamTap()
    tap.feed(start())
    for _ in range(100_000):
        tap.feed(text("Hello"))
    huge = text("x" * 5_000_000)
    for at in range(0, len(huge), 16_384):
        tap.feed(huge[at : at + 16_384])
    assert not tap.inside_event


def test_an_event_beyond_any_bound_ends_the_metering_and_nothing_else() -> None:
    """The bytes are relayed all the same; what was known is kept."""
    tap = StreamTap()
    tap.feed(start())
    for _ in range(3000):
        tap.feed(b"x" * 16_384)
    tap.feed(stream())
    assert (tap.blind, tap.usage) == (True, START)


@given(st.lists(st.binary(max_size=50) | st.sampled_from([b'"message_', b"\n\n", b"data: ", b'"error"'])))
def test_arbitrary_bytes_never_raise(pieces: list[bytes]) -> None:
    """A tap reads along; it has no way to fail."""
    tapped(pieces)


def test_a_sync_body_is_read_without_its_content() -> None:
    """Usage and model of a message, type of an error, None for what is no object."""
    message = read_answer(b'{"model":"claude-x","content":[{"deep":[]}],"usage":{"input_tokens":3}}')
    assert message is not None
    assert (message.model, message.usage) == ("claude-x", {"input_tokens": 3})
    assert read_answer(b"<html>") is None
    assert read_answer(b"[1]") is None
