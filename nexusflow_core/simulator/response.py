"""The answer of the simulated upstream, as its bytes would arrive."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

Headers = tuple[tuple[bytes, bytes], ...]


class SimulatedResponse(msgspec.Struct, frozen=True):
    """Status, headers and the body in pieces: one chunk a stream event, else a single one.

    `chunks` can be iterated over any number of times; those of a stream are made on the way.
    """

    status: int
    headers: Headers
    chunks: Iterable[bytes]

    @property
    def body(self) -> bytes:
        """All chunks together."""
        return b"".join(self.chunks)
