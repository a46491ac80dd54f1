"""Pure functions on fixed bytes, beside what the standard library and plain bytes cost for the same events."""

import json
import statistics
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import msgspec

from benchmarks.report import median_ratio, print_table
from benchmarks.samples import DELTAS, EVENTS, LARGE_REQUEST, SMALL_REQUEST, event_data, in_pieces
from nexusflow_core.dialects.anthropic import StreamTap
from nexusflow_core.peek import peek, rename_model
from nexusflow_core.sse import SSEDecoder, encode_sse

__all__ = ["run"]

_CHUNK = 16 * 1024


class _Case(NamedTuple):
    """Something to time: one call of `work` handles `units` events or bodies."""

    name: str
    units: int
    work: Callable[[], object]


class _Group(NamedTuple):
    """Cases that handle the same thing. Ratios are to the first."""

    title: str
    unit: str
    cases: list[_Case]


def run(rounds: int, milliseconds: float) -> None:
    """Prints a table a group. Each case runs about so many milliseconds a round."""
    print(f"In process: CPU time, median of {rounds} interleaved rounds; ratio to the group's first row\n")
    for group in _groups():
        samples = _measure(group.cases, rounds, milliseconds)
        rows = [
            (case.name, f"{statistics.median(times):,.0f}", median_ratio(times, samples[0]))
            for case, times in zip(group.cases, samples, strict=True)
        ]
        print_table((group.title, f"ns/{group.unit}", "ratio (range)"), rows)


def _measure(cases: Sequence[_Case], rounds: int, milliseconds: float) -> list[list[float]]:
    """Nanoseconds a unit: a list of the rounds for each case."""
    repeats = [max(1, int(milliseconds * 1e6 / max(_time(case, 1), 1))) for case in cases]
    samples: list[list[float]] = [[] for _ in cases]
    for _ in range(rounds):
        for case, times, count in zip(cases, samples, repeats, strict=True):
            times.append(_time(case, count) / count / case.units)
    return samples


def _time(case: _Case, count: int) -> int:
    work = case.work
    work()  # caches warm, whatever ran before
    before = time.process_time_ns()
    for _ in range(count):
        work()
    return time.process_time_ns() - before


def _groups() -> list[_Group]:
    stream, deltas = b"".join(EVENTS), b"".join(DELTAS)
    return [
        _Group(
            f"decode and tap, one event a chunk ({len(EVENTS)} events, {len(stream):,} bytes)",
            "event",
            [
                _case("json.loads of the event's data", _each(json.loads, [event_data(e) for e in EVENTS])),
                _case("bytes concatenation", _each(lambda e: b"event: " + e + b"\n\n", EVENTS)),
                _case("SSEDecoder.feed", _decode(EVENTS)),
                _case("StreamTap.feed", _tap(EVENTS)),
                _case("StreamTap.feed, text deltas only", _tap_deltas(DELTAS), len(DELTAS)),
            ],
        ),
        _Group(
            "decode and tap, 16 KiB chunks",
            "event",
            [
                _case("json.loads of the event's data", _each(json.loads, [event_data(e) for e in EVENTS])),
                _case("SSEDecoder.feed", _decode(in_pieces(stream, _CHUNK))),
                _case("StreamTap.feed", _tap(in_pieces(stream, _CHUNK))),
                _case(
                    "StreamTap.feed, text deltas only",
                    _tap_deltas(in_pieces(deltas * 8, _CHUNK)),
                    len(DELTAS) * 8,
                ),
            ],
        ),
        _encoding(),
        _requests("small", SMALL_REQUEST),
        _requests("large", LARGE_REQUEST),
    ]


def _encoding() -> _Group:
    values = [json.loads(event_data(event)) for event in EVENTS]
    data = [event_data(event) for event in EVENTS]
    texts = [item.decode() for item in data]
    return _Group(
        "encode",
        "event",
        [
            _case("json.dumps of the event's data", _each(json.dumps, values)),
            _case("bytes concatenation", _each(_concatenate, data)),
            _case("f-string, encoded", _each(_format, texts)),
            _case("encode_sse", _each(_encode_sse, data)),
        ],
    )


def _concatenate(data: bytes) -> bytes:
    return b"event: " + b"content_block_delta" + b"\ndata: " + data + b"\n\n"


def _format(text: str) -> bytes:
    return f"event: {'content_block_delta'}\ndata: {text}\n\n".encode()


def _encode_sse(data: bytes) -> bytes:
    return encode_sse(data, "content_block_delta")


def _requests(size: str, body: bytes) -> _Group:
    seen = peek(body)
    return _Group(
        f"request, {size} ({len(body):,} bytes)",
        "body",
        [
            _Case("json.loads", 1, lambda: json.loads(body)),
            _Case("msgspec.json.decode", 1, lambda: msgspec.json.decode(body)),
            _Case("peek", 1, lambda: peek(body)),
            _Case("rename_model, after peek", 1, lambda: rename_model(seen, "another-model")),
            _Case("json.loads, rename, json.dumps", 1, lambda: _rename_by_json(body)),
        ],
    )


def _rename_by_json(body: bytes) -> bytes:
    value = json.loads(body)
    value["model"] = "another-model"
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


def _case(name: str, work: Callable[[], object], units: int = len(EVENTS)) -> _Case:
    return _Case(name, units, work)


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
