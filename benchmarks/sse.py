"""Encoding and decoding server-sent events, beside the libraries that do it, in one process.

They are in an environment of their own, whose interpreter runs this module: `python -m benchmarks.sse`.
"""

import json
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

import msgspec

from benchmarks.environments import SSE_LIBRARIES, Missing, python_environment
from benchmarks.measure import Case, Effort, case, table
from benchmarks.report import Row, Table
from benchmarks.samples import EVENTS, event_data, in_pieces
from nexusflow_core.sse import SSEDecoder, encode_sse

__all__ = ["run"]

_ROOT = Path(__file__).parent.parent
_NAME = "content_block_delta"
_HEADERS = {"content-type": "text/event-stream; charset=utf-8"}
_Chunks = Sequence[bytes]


def run(effort: Effort, *, others: bool) -> tuple[str, list[Table]]:
    """Returns the method and the tables. `others`: with an environment of the libraries, made if absent."""
    method = (
        f"CPU time, medians (least-most) of {effort.rounds} interleaved rounds in one process; ratios to"
        f" NexusFlow. A stream of {len(EVENTS)} events of the Messages API."
    )
    if not others:
        return method, _tables(effort)
    try:
        python = python_environment("sse", SSE_LIBRARIES) / "python"
    except Missing as missing:
        return method, [
            *_tables(effort),
            Table("libraries", ["library", "skipped"], [Row("all", [str(missing)])]),
        ]
    command: list[str | Path] = [python, "-m", "benchmarks.sse", str(effort.rounds), str(effort.milliseconds)]
    done = subprocess.run(command, cwd=_ROOT, check=True, stdout=subprocess.PIPE, timeout=300)
    return method, msgspec.json.decode(done.stdout, type=list[Table])


def _tables(effort: Effort) -> list[Table]:
    stream = b"".join(EVENTS)
    cuts = {
        "an event a chunk": EVENTS,
        "16 KiB chunks": in_pieces(stream, 16384),
        "7-byte chunks": in_pieces(stream, 7),
    }
    return [
        _group("encode JSON text", _FRAMERS, None, effort),
        _group("encode an object", _ENCODERS, None, effort),
        *(_group(f"decode, {name}", _DECODERS, chunks, effort) for name, chunks in cuts.items()),
    ]


def _group(title: str, makers: dict[str, Callable[..., Any]], chunks: _Chunks | None, effort: Effort) -> Table:
    """Measures what is installed here, and names the rest as skipped."""
    cases, notes = list[Case](), list[str]()
    for name, make in makers.items():
        library = name.partition(":")[0]
        try:
            work = make(chunks) if chunks is not None else _each(make())
            version = "" if library in ("NexusFlow", "json") else f" {metadata.version(library)}"
        except ImportError as error:
            notes.append(f"{name}: skipped, {error}")
            continue
        cases.append(case(library + version + name[len(library) :], work, len(EVENTS)))
    return table(title, "event", cases, effort, notes=notes)


# Encoding: each maker returns a function of one event, its data as text and as an object


def _each(encode: Callable[[str, Any], object]) -> Callable[[], None]:
    texts = [event_data(event).decode() for event in EVENTS]
    pairs = [(text, json.loads(text)) for text in texts]

    def work() -> None:
        for text, value in pairs:
            encode(text, value)

    return work


def _frame_nexusflow() -> Any:
    return lambda text, value: encode_sse(text.encode(), _NAME)


def _frame_sse_starlette() -> Any:
    from sse_starlette.event import ServerSentEvent

    return lambda text, value: ServerSentEvent(text, event=_NAME, sep="\n").encode()


def _frame_fastapi() -> Any:
    from fastapi.sse import format_sse_event

    return lambda text, value: format_sse_event(data_str=text, event=_NAME)


def _frame_litestar() -> Any:
    from litestar.response.sse import ServerSentEventMessage

    return lambda text, value: ServerSentEventMessage(data=text, event=_NAME, sep="\n").encode()


def _encode_nexusflow() -> Any:
    encode = msgspec.json.Encoder().encode
    return lambda text, value: encode_sse(encode(value), _NAME)


def _encode_by_hand() -> Any:
    return lambda text, value: f"event: {_NAME}\ndata: {json.dumps(value)}\n\n".encode()


def _encode_sse_starlette() -> Any:
    from sse_starlette.event import JSONServerSentEvent

    return lambda text, value: JSONServerSentEvent(value, event=_NAME, sep="\n").encode()


def _encode_fastapi() -> Any:
    from fastapi.encoders import jsonable_encoder
    from fastapi.sse import format_sse_event

    return lambda text, value: format_sse_event(data_str=json.dumps(jsonable_encoder(value)), event=_NAME)


def _encode_litestar() -> Any:
    from litestar.response.sse import ServerSentEventMessage

    return lambda text, value: ServerSentEventMessage(data=json.dumps(value), event=_NAME, sep="\n").encode()


# Decoding: each maker returns a function that decodes a stream of chunks


def _decode_nexusflow(chunks: _Chunks) -> Callable[[], None]:
    def work() -> None:
        feed = SSEDecoder().feed
        for chunk in chunks:
            for _ in feed(chunk):
                pass

    return work


def _decode_httpx_sse(chunks: _Chunks) -> Callable[[], None]:
    import httpx
    from httpx_sse import EventSource

    stream = _replayed(httpx.SyncByteStream, chunks)
    return lambda: _drain(EventSource(httpx.Response(200, headers=_HEADERS, stream=stream)).iter_sse())


def _decode_httpx2(chunks: _Chunks) -> Callable[[], None]:
    import httpx2

    stream, request = _replayed(httpx2.SyncByteStream, chunks), httpx2.Request("POST", "http://upstream/")

    def work() -> None:
        response = httpx2.Response(200, headers=_HEADERS, stream=stream, request=request)
        _drain(httpx2.EventSource(response))

    return work


def _decode_anthropic(chunks: _Chunks) -> Callable[[], None]:
    from anthropic._streaming import SSEDecoder

    return lambda: _drain(SSEDecoder().iter_bytes(iter(chunks)))


def _decode_openai(chunks: _Chunks) -> Callable[[], None]:
    from openai._streaming import SSEDecoder

    return lambda: _drain(SSEDecoder().iter_bytes(iter(chunks)))


def _replayed(stream_class: Any, chunks: _Chunks) -> Any:
    """Returns a byte stream of a client's own class that gives the chunks each time anew."""

    class Replayed(stream_class):  # type: ignore[misc]
        def __iter__(self) -> Iterator[bytes]:
            return iter(chunks)

    return Replayed()


def _drain(events: Iterable[object]) -> None:
    for _ in events:
        pass


_FRAMERS = {
    "NexusFlow": _frame_nexusflow,
    "sse-starlette": _frame_sse_starlette,
    "fastapi": _frame_fastapi,
    "litestar": _frame_litestar,
}
_ENCODERS = {
    "NexusFlow": _encode_nexusflow,
    "json: json.dumps in an f-string": _encode_by_hand,
    "sse-starlette": _encode_sse_starlette,
    "fastapi": _encode_fastapi,
    "litestar": _encode_litestar,
}
_DECODERS = {
    "NexusFlow": _decode_nexusflow,
    "httpx2": _decode_httpx2,
    "httpx-sse": _decode_httpx_sse,
    "openai": _decode_openai,
    "anthropic": _decode_anthropic,
}


if __name__ == "__main__":
    rounds, milliseconds = sys.argv[1:]
    measured = _tables(Effort(int(rounds), float(milliseconds)))
    sys.stdout.buffer.write(msgspec.json.encode(measured))
