"""KnownHead: the head of a request that a client sends again and again, all but the length of its body.

A parser would find the same in it each time. So a connection keeps what the parser found in its latest head,
and compares the bytes of the next request with it. A request with any other byte is left to the parser.
"""

from collections.abc import Sequence
from typing import Any, Final, NamedTuple
from weakref import WeakValueDictionary

from nexusflow_asgi.auth import RepeatedHeaders
from nexusflow_core.upstream import Headers

__all__ = ["KnownHead", "known_head"]

_MOST_BYTES: Final = 8 * 1024
_MOST_KNOWN: Final = 512
_LONGEST_LENGTH: Final = 20
"""Bounds: the bytes of a head, the number of different heads, and the digits of a length."""

_LENGTH: Final = b"content-length"
_known: WeakValueDictionary[tuple[bytes, bytes], "KnownHead"] = WeakValueDictionary()
"""The heads that some open connection sent last, by their two parts. Many connections send the same one."""


class _Place(NamedTuple):
    """What a scope says of the request's line."""

    method: str
    path: str
    raw_path: bytes
    query: bytes


class KnownHead:
    """A parsed head: the bytes before and after the digits of its content-length, and what they say."""

    __slots__ = ("__weakref__", "_after", "_back", "_before", "_front", "_kept", "place")

    def __init__(self, before: bytes, after: bytes, place: _Place, headers: Headers) -> None:
        at = next(at for at, (name, _) in enumerate(headers) if name == _LENGTH)
        self.place: Final = place
        self._before: Final = before
        self._after: Final = after
        self._front: Final = tuple(headers[:at])
        self._back: Final = tuple(headers[at + 1 :])
        self._kept: Final[dict[str, Any]] = {}

    def read(self, data: bytes) -> tuple[RepeatedHeaders, bytes] | None:
        """Returns the headers and the body if `data` is a whole request with this head; else None."""
        before, after = self._before, self._after
        if not data.startswith(before):
            return None
        start = len(before)
        end = data.find(b"\r", start, start + _LONGEST_LENGTH)
        length = data[start:end]
        if not length.isdigit() or not data.startswith(after, end):
            return None
        body = data[end + len(after) :]
        if len(body) != int(length):
            return None
        headers = RepeatedHeaders((*self._front, (_LENGTH, length), *self._back))
        headers.kept = self._kept
        return headers, body


def known_head(
    data: bytes, url: bytes, headers: Sequence[tuple[bytes, bytes]], place: tuple[str, str, bytes, bytes]
) -> KnownHead | None:
    """Returns the head of a request that was parsed whole from `data`; None if it is too large, or too odd.

    `place`: method, path, raw path and query of the scope. The request must be HTTP/1.1, and must keep its
    connection.
    """
    names = [name for name, _ in headers]
    if names.count(_LENGTH) != 1 or b"transfer-encoding" in names or b"expect" in names:
        return None
    end = data.find(b"\r\n\r\n", 0, _MOST_BYTES) + 4
    length = headers[names.index(_LENGTH)][1]
    head = data[:end]
    line = b"%b %b HTTP/1.1\r\n" % (place[0].encode(), url)
    if end < 4 or not head.startswith(line) or not length.isdigit() or len(data) - end != int(length):
        return None
    name_at = head.lower().find(b"\r\n%b:" % _LENGTH)
    start = head.find(length, name_at + len(_LENGTH) + 3)
    if name_at < 0 or head[name_at + len(_LENGTH) + 3 : start].strip(b" \t") or len(length) >= _LONGEST_LENGTH:
        return None
    before, after = head[:start], head[start + len(length) :]
    found = _known.get((before, after))
    if found is None and len(_known) < _MOST_KNOWN:
        found = _known[before, after] = KnownHead(before, after, _Place(*place), headers)
    return found
