"""Frames of AWS's event stream, made by hand."""

import base64
import json
import struct
import zlib
from collections.abc import Mapping
from typing import Any

__all__ = ["chunk", "exception", "frame", "string"]

_JSON = {":content-type": "application/json"}


def string(name: str, value: str) -> bytes:
    """A header of type string."""
    return bytes([len(name)]) + name.encode() + b"\x07" + struct.pack(">H", len(value)) + value.encode()


def frame(payload: bytes, headers: Mapping[str, str], *, raw: bytes = b"") -> bytes:
    """A frame with both CRCs. `raw`: more bytes of headers, as they are."""
    encoded = b"".join(string(name, value) for name, value in headers.items()) + raw
    head = struct.pack(">II", len(encoded) + len(payload) + 16, len(encoded))
    body = head + struct.pack(">I", zlib.crc32(head)) + encoded + payload
    return body + struct.pack(">I", zlib.crc32(body))


def chunk(event: dict[str, Any] | bytes) -> bytes:
    """The frame of one Messages event, with padding as Bedrock sends it."""
    data = event if isinstance(event, bytes) else json.dumps(event, separators=(",", ":")).encode()
    payload = json.dumps({"bytes": base64.b64encode(data).decode(), "p": "abcdef"}).encode()
    return frame(payload, {":event-type": "chunk", **_JSON, ":message-type": "event"})


def exception(name: str, message: str, **members: Any) -> bytes:
    """The frame of an exception."""
    payload = json.dumps({"message": message, **members}).encode()
    return frame(payload, {":exception-type": name, **_JSON, ":message-type": "exception"})
