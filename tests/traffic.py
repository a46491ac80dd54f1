"""Recorded exchanges with real services, read where they are present; never copied into this repository."""

from __future__ import annotations

import gzip
import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import msgspec


class Exchange(msgspec.Struct, frozen=True):
    """One line of a recording; the corpus's README says what each field means."""

    id: str
    source: str
    provider: str
    protocol: str
    method: str
    url_path: str
    model: str | None
    status: int
    stream: bool
    body_is_sse: bool
    request: Any
    request_headers: dict[str, str]
    response_headers: dict[str, str]
    body: str | None
    body_form: str
    features: list[str]
    framing: list[str]

    @property
    def path(self) -> str:
        return self.url_path.partition("?")[0]

    @property
    def query(self) -> str:
        return self.url_path.partition("?")[2]


class _Peek(msgspec.Struct):
    protocol: str
    method: str
    provider: str


def folder(within: str = "dev") -> Path:
    """The folder of files in `$NEXUSFLOW_TRAFFIC`, or in the `shared/traffic` beside the project."""
    beside = Path(__file__).resolve().parents[2] / "shared" / "traffic"
    return Path(os.environ.get("NEXUSFLOW_TRAFFIC") or beside) / within


def why_absent(within: str = "dev") -> str | None:
    """The reason to skip, or None where there is something to replay."""
    if any(folder(within).glob("*.jsonl.gz")):
        return None
    return f"no recorded traffic: {folder(within)} has no *.jsonl.gz (NEXUSFLOW_TRAFFIC names another place)"


def exchanges(
    protocol: str | None = None,
    *,
    method: str | None = None,
    provider: str | None = None,
    within: str = "dev",
) -> Iterator[Exchange]:
    """Every exchange that fits, in the order of the files; lines that do not fit are not decoded."""
    peek, whole = msgspec.json.Decoder(_Peek), msgspec.json.Decoder(Exchange)
    for file in sorted(folder(within).glob("*.jsonl.gz")):
        with gzip.open(file, "rb") as lines:
            for line in lines:
                seen = peek.decode(line)
                if protocol not in (None, seen.protocol) or method not in (None, seen.method):
                    continue
                if provider in (None, seen.provider):
                    yield whole.decode(line)


def replay(sample: Iterable[Exchange], judge: Callable[[Exchange], str]) -> Counter[str]:
    """How many of each kind, as `judge` tells it; fails with all that is wrong, not with the first of it."""
    kinds: Counter[str] = Counter()
    wrong: list[str] = []
    for exchange in sample:
        try:
            kinds[judge(exchange)] += 1
        except Exception as error:  # an assertion, or a defect: either is reported below, with the others
            wrong.append(f"{exchange.id} ({exchange.provider}): {type(error).__name__}: {str(error)[:600]}")
    assert not wrong, f"{len(wrong)} of {kinds.total() + len(wrong)} wrong:\n" + "\n".join(wrong[:40])
    return kinds
