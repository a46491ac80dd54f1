"""Pure functions on fixed bytes, beside what the standard library and plain bytes cost for the same events."""

import json
from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from benchmarks.measure import Case, Effort, case, table
from benchmarks.report import Table
from benchmarks.samples import DELTAS, EVENTS, LARGE_REQUEST, SMALL_REQUEST, event_data, in_pieces
from nexusflow_core.dialects.anthropic import StreamTap
from nexusflow_core.peek import peek, rename_model
from nexusflow_core.sse import SSEDecoder, encode_sse

__all__ = ["run"]

_CHUNK = 16 * 1024


def run(effort: Effort) -> tuple[str, list[Table]]:
    """Returns the method and a table a group of functions."""
    method = f"CPU time, medians (least-most) of {effort.rounds} interleaved rounds; ratios to each first row."
    tables = [
        table(title, unit, cases, effort) for title, unit, cases in (*_streams(), _encoding(), *_requests())
    ]
    return method, tables


def _streams() -> list[tuple[str, str, list[Case]]]:
    stream, deltas = b"".join(EVENTS), b"".join(DELTAS)
    texts = [event_data(event) for event in EVENTS]
    many = in_pieces(deltas * 8, _CHUNK)
    one_a_chunk = [
        _case("json.loads of the event's data", _each(json.loads, texts)),
        _case("bytes concatenation", _each(lambda e: b"event: " + e + b"\n\n", EVENTS)),
        _case("SSEDecoder.feed", _decode(EVENTS)),
        _case("StreamTap.feed", _tap(EVENTS)),
        _case("StreamTap.feed, text deltas only", _tap_deltas(DELTAS), len(DELTAS)),
    ]
    large_chunks = [
        _case("json.loads of the event's data", _each(json.loads, texts)),
        _case("SSEDecoder.feed", _decode(in_pieces(stream, _CHUNK))),
        _case("StreamTap.feed", _tap(in_pieces(stream, _CHUNK))),
        _case("StreamTap.feed, text deltas only", _tap_deltas(many), len(DELTAS) * 8),
    ]
    return [
        (f"decode and tap, an event a chunk ({len(EVENTS)} events)", "event", one_a_chunk),
        ("decode and tap, 16 KiB chunks", "event", large_chunks),
    ]


def _encoding() -> tuple[str, str, list[Case]]:
    values = [json.loads(event_data(event)) for event in EVENTS]
    data = [event_data(event) for event in EVENTS]
    texts = [item.decode() for item in data]
    cases = [
        _case("json.dumps of the event's data", _each(json.dumps, values)),
        _case("bytes concatenation", _each(_concatenate, data)),
        _case("f-string, encoded", _each(_format, texts)),
        _case("encode_sse", _each(_encode_sse, data)),
    ]
    return "encode", "event", cases


def _concatenate(data: bytes) -> bytes:
    return b"event: " + b"content_block_delta" + b"\ndata: " + data + b"\n\n"


def _format(text: str) -> bytes:
    return f"event: {'content_block_delta'}\ndata: {text}\n\n".encode()


def _encode_sse(data: bytes) -> bytes:
    return encode_sse(data, "content_block_delta")


def _requests() -> list[tuple[str, str, list[Case]]]:
    return [
        (f"request of {len(body):,} bytes", "body", _request_cases(body))
        for body in (SMALL_REQUEST, LARGE_REQUEST)
    ]


def _request_cases(body: bytes) -> list[Case]:
    seen = peek(body)
    return [
        case("json.loads", lambda: json.loads(body)),
        case("msgspec.json.decode", lambda: msgspec.json.decode(body)),
        case("peek", lambda: peek(body)),
        case("rename_model, after peek", lambda: rename_model(seen.text, "another-model")),
        case("json.loads, rename, json.dumps", lambda: _rename_by_json(body)),
    ]


def _rename_by_json(body: bytes) -> bytes:
    value = json.loads(body)
    value["model"] = "another-model"
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


def _case(name: str, work: Callable[[], object], units: int = len(EVENTS)) -> Case:
    return case(name, work, units)


def _each(function: Callable[[Any], object], values: Sequence[object]) -> Callable[[], None]:
    def work() -> None:
        for value in values:
            function(value)

    return work


def _decode(chunks: Sequence[bytes]) -> Callable[[], None]:
    def work() -> None:
        feed = SSEDecoder().feed
        for chunk in chunks:
            feed(chunk)

    return work


def _tap(chunks: Sequence[bytes]) -> Callable[[], None]:
    """A whole stream through a fresh tap, its metered events included."""

    def work() -> None:
        feed = StreamTap().feed
        for chunk in chunks:
            feed(chunk)

    return work


def _tap_deltas(chunks: Sequence[bytes]) -> Callable[[], None]:
    """Deltas through a tap in the middle of its stream."""
    tap = StreamTap()
    tap.feed(EVENTS[0])

    def work() -> None:
        feed = tap.feed
        for chunk in chunks:
            feed(chunk)

    return work
