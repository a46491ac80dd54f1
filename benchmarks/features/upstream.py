"""An upstream that answers one feature as Anthropic documents it, and keeps the request that it got."""

import json
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple

from benchmarks.features.rows import Feature
from benchmarks.samples import MODEL

__all__ = ["OTHER", "Received", "Upstream", "message", "streamed"]

OTHER = b'{"type": "other", "input_tokens":  25}'
"""The answer at every other path."""

_USAGE = {
    "input_tokens": 25,
    "cache_creation_input_tokens": 0,
    "cache_read_input_tokens": 0,
    "output_tokens": 12,
}
_TEXT = {"type": "text", "text": "Hello"}


class Received(NamedTuple):
    """A request as it came: names of headers in lower case, and the decoded body."""

    path: str
    headers: dict[str, str]
    data: bytes
    body: dict[str, Any]


class Upstream(AbstractContextManager["Upstream"]):
    """A server in a thread. `feature` decides what it answers; `received` is its last request for a message."""

    feature: Feature
    received: Received | None = None

    def __init__(self) -> None:
        upstream = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                data = _read(self)
                body = json.loads(data or b"{}")
                headers = {name.lower(): value for name, value in self.headers.items()}
                path = self.path.partition("?")[0]
                if path == upstream.feature.path:
                    upstream.received = Received(path, headers, data, body)
                if path != "/v1/messages":
                    self._send(200, "application/json", OTHER)
                elif body.get("stream"):
                    self._send(200, "text/event-stream; charset=utf-8", streamed(upstream.feature))
                else:
                    self._send(200, "application/json", json.dumps(message(upstream.feature)).encode())

            def _send(self, status: int, kind: str, data: bytes) -> None:
                self.send_response(status)
                self.send_header("content-type", kind)
                self.send_header("content-length", str(len(data)))
                self.send_header("request-id", "req_011Features")
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, format: str, *values: object) -> None:
                """Nothing: what failed stands in the table."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    def __enter__(self) -> "Upstream":
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    @property
    def port(self) -> int:
        return self._server.server_port


def message(feature: Feature) -> dict[str, Any]:
    """Returns the sync answer."""
    return {
        "id": "msg_01Features",
        "type": "message",
        "role": "assistant",
        "model": MODEL,
        "content": [*([feature.block] if feature.block else []), _TEXT],
        "stop_reason": "end_turn",
        "stop_sequence": None,
        "usage": {**_USAGE, **feature.usage},
        **feature.answer,
    }


def events(feature: Feature) -> Iterator[dict[str, Any]]:
    """Yields the same answer as the events of a stream."""
    whole = message(feature)
    yield {
        "type": "message_start",
        "message": {**whole, "content": [], "stop_reason": None, "usage": {**_USAGE, "output_tokens": 1}},
    }
    for index, block in enumerate(whole["content"]):
        start = {**block, "text": ""} if block is _TEXT else block
        yield {"type": "content_block_start", "index": index, "content_block": start}
        if block is _TEXT:
            delta = {"type": "text_delta", "text": _TEXT["text"]}
            yield {"type": "content_block_delta", "index": index, "delta": delta}
        yield {"type": "content_block_stop", "index": index}
    if feature.event:
        yield dict(feature.event)
    stop = {"stop_reason": "end_turn", "stop_sequence": None}
    yield {"type": "message_delta", "delta": stop, "usage": {**_USAGE, **feature.usage}}
    yield {"type": "message_stop"}


def streamed(feature: Feature) -> bytes:
    """Returns the stream as bytes."""
    return "".join(
        f"event: {event['type']}\ndata: {json.dumps(event)}\n\n" for event in events(feature)
    ).encode()


def _read(handler: BaseHTTPRequestHandler) -> bytes:
    """Reads the body: gateways send it with a length or in chunks."""
    if length := handler.headers.get("content-length"):
        return handler.rfile.read(int(length))
    data = b""
    while size := int(handler.rfile.readline().split(b";")[0] or b"0", 16):
        data += handler.rfile.read(size)
        handler.rfile.readline()
    handler.rfile.readline()
    return data
