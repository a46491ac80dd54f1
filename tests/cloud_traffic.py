"""Recorded exchanges with Claude on other clouds, read where they are present and never copied."""

from __future__ import annotations

import base64
import gzip
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from tests import traffic

__all__ = ["CloudExchange", "exchanges", "folder", "why_absent"]


class CloudExchange(msgspec.Struct, frozen=True):
    """One line of a recording; the corpus's README says what each field means."""

    id: str
    protocol: str
    host_kind: str
    host_region: str | None
    operation: str
    url_path: str
    model: str | None
    status: int
    request: Any
    request_headers: dict[str, str]
    response_headers: dict[str, str]
    body: str | None
    body_is_sse: bool
    body_is_eventstream: bool
    claude: bool
    body_base64: str | None = None

    @property
    def data(self) -> bytes:
        """The bytes of the answer."""
        return base64.b64decode(self.body_base64) if self.body_base64 else (self.body or "").encode()


def folder() -> Path:
    """The `clouds` beside the other recordings."""
    return traffic.folder().parent / "clouds"


def why_absent() -> str | None:
    """The reason to skip, or None where there is something to replay."""
    if any(folder().glob("*.jsonl.gz")):
        return None
    return (
        f"no recorded traffic of clouds: {folder()} has no *.jsonl.gz (NEXUSFLOW_TRAFFIC names another place)"
    )


def exchanges(*, host_kind: str | None = None, operation: str | None = None) -> Iterator[CloudExchange]:
    """Every exchange that fits, in the order of the files."""
    decoder = msgspec.json.Decoder(CloudExchange)
    for file in sorted(folder().glob("*.jsonl.gz")):
        with gzip.open(file, "rb") as lines:
            for line in lines:
                exchange = decoder.decode(line)
                if host_kind in (None, exchange.host_kind) and operation in (None, exchange.operation):
                    yield exchange
