"""Converts an answer's body to UTF-8. The upstream, or a proxy before it, may have compressed it, although
`identity` was requested, used another charset, or added a byte order mark."""

import codecs
import re
import zlib
from collections.abc import Iterator

from nexusflow_core.errors import AnswerUnusableError, UpstreamProtocolError
from nexusflow_core.upstream import Headers, header

__all__ = ["BodyText"]

_PIECE = 256 * 1024
"""Bytes that are inflated at once, so that the caller can stop in between."""
_HARMLESS = 4 * 1024 * 1024
_MOST_RATIO = 200
"""Bound on the compression ratio above a harmless size: a model's text has 5 to 30."""
_MOST_MEMBERS = 10_000

_ENOUGH = 4
"""Bytes needed to recognise a body."""

_GZIP = b"\x1f\x8b"
_ZSTD = b"\x28\xb5\x2f\xfd"
_PLAIN = re.compile(rb"\s*(?:[{\[:<\"]|data|event|id|retry)")
"""Beginnings of JSON, of a stream, and of an HTML page."""

_BOMS = (
    (b"\xef\xbb\xbf", "utf-8"),
    (b"\xff\xfe\x00\x00", "utf-32-le"),
    (b"\x00\x00\xfe\xff", "utf-32-be"),
    (b"\xff\xfe", "utf-16-le"),
    (b"\xfe\xff", "utf-16-be"),
)
_CHARSET = re.compile(r"charset\s*=\s*[\"']?([A-Za-z0-9_.:-]{1,40})")


class BodyText:
    """Takes the bytes of one body and yields UTF-8. Plain UTF-8 passes unchanged.

    The first bytes outweigh the headers: unlabelled gzip is inflated, and plain text labelled as compressed
    passes. Raises UpstreamProtocolError for an unsupported encoding and broken data, AnswerUnusableError for
    data that inflates without bound.
    """

    def __init__(self, headers: Headers) -> None:
        named = (header(headers, b"content-encoding") or b"").decode("latin-1").lower()
        self._encodings = [
            name for coding in named.split(",") if (name := coding.strip()) not in ("", "identity")
        ]
        self._inflaters: list[_Inflater] = []
        self._charset = _Charset(headers)
        self._first: bytes = b""
        self._begun = False

    @property
    def passes(self) -> bool:
        """True if the rest of the body passes unchanged."""
        return self._begun and not self._inflaters and self._charset.passes

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Yields the next bytes, in pieces of bounded size."""
        if not self._begun:
            data = self._first + data
            if len(data) < _ENOUGH and not data.endswith((b"}", b"\n")):
                self._first = data
                return
            self._begin(data)
        pieces: Iterator[bytes] = iter((data,))
        for inflater in self._inflaters:
            pieces = inflater.feed(pieces)
        yield from filter(None, map(self._charset.feed, pieces))

    def flush(self) -> Iterator[bytes]:
        """Yields the rest at the end of the body."""
        if not self._begun and self._first:
            data, self._first = self._first + b"\n", b""
            yield from self.feed(data)
        if last := self._charset.flush():
            yield last

    def _begin(self, data: bytes) -> None:
        self._begun = True
        names = ["gzip"] if not self._encodings and data.startswith(_GZIP) else self._encodings
        if names and not _PLAIN.match(data):
            self._inflaters = [_Inflater(_bits_of(name, data)) for name in reversed(names)]


class _Charset:
    """Converts a text in another charset: by its byte order mark, else by its label if it is not UTF-8."""

    def __init__(self, headers: Headers) -> None:
        self._named = _charset_of(headers)
        self._begun = False
        self._first: bytes = b""
        self._decoder: codecs.IncrementalDecoder | None = None
        self._strict: codecs.IncrementalDecoder | None = None  # checks whether labelled text is UTF-8 after all

    @property
    def passes(self) -> bool:
        return self._begun and self._decoder is None and self._strict is None

    def feed(self, data: bytes) -> bytes:
        if not self._begun:
            data = self._first + data
            if len(data) < _ENOUGH and not data.endswith((b"}", b"\n")):
                self._first = data
                return b""
            self._begun = True
            data = self._begin(data)
        if self._strict is not None:
            return self._by_name(self._strict, data, final=False)
        return data if self._decoder is None else self._decoder.decode(data).encode(errors="replace")

    def flush(self) -> bytes:
        if not self._begun:
            return self._first
        if self._strict is not None:
            return self._by_name(self._strict, b"", final=True)
        return b"" if self._decoder is None else self._decoder.decode(b"", True).encode(errors="replace")

    def _begin(self, data: bytes) -> bytes:
        for mark, charset in _BOMS:
            if data.startswith(mark):
                self._decoder = None if charset == "utf-8" else _decoder(charset)
                return data[len(mark) :]
        if self._named is not None and self._named.startswith(("utf-16", "utf-32")):
            self._decoder = _decoder(self._named)  # its bytes may look like UTF-8
        elif self._named is not None:
            self._strict = codecs.getincrementaldecoder("utf-8")("strict")
        return data

    def _by_name(self, strict: codecs.IncrementalDecoder, data: bytes, *, final: bool) -> bytes:
        held = strict.getstate()[0]
        try:
            return strict.decode(data, final).encode()
        except UnicodeDecodeError:
            self._strict, self._decoder = None, _decoder(self._named or "utf-8")
            return self._decoder.decode(held + data, final).encode(errors="replace")


class _Inflater:
    """One encoding: gzip with any number of members, or deflate with or without its header."""

    def __init__(self, bits: int) -> None:
        self._bits = bits
        self._state = zlib.decompressobj(wbits=bits)
        self._taken = self._given = self._members = 0
        self._over = False

    def feed(self, pieces: Iterator[bytes]) -> Iterator[bytes]:
        for piece in pieces:
            self._taken += len(piece)
            data = b"" if self._over else piece
            while data:
                if self._state.eof and not (data := self._next_member(data)):
                    break
                out = self._inflate(data)
                data = self._state.unused_data if self._state.eof else self._state.unconsumed_tail
                self._given += len(out)
                if self._given > max(_HARMLESS, self._taken * _MOST_RATIO):
                    raise AnswerUnusableError("the upstream's compressed answer inflates beyond every bound")
                yield out

    def _inflate(self, data: bytes) -> bytes:
        try:
            return self._state.decompress(data, _PIECE)
        except zlib.error:
            if self._bits == zlib.MAX_WBITS and not self._given:  # deflate without its header
                self._bits = -zlib.MAX_WBITS
                self._state = zlib.decompressobj(wbits=self._bits)
                return self._inflate(data)
            raise UpstreamProtocolError(
                "the upstream's answer is not the compressed data it is called"
            ) from None

    def _next_member(self, rest: bytes) -> bytes:
        """Returns the bytes after the end of a member, or b"" for padding."""
        self._members += 1
        if not rest.startswith(_GZIP[:1]) or self._members > _MOST_MEMBERS:
            self._over = True
            return b""
        self._state = zlib.decompressobj(wbits=self._bits)
        return rest


def _bits_of(name: str, data: bytes) -> int:
    if data.startswith(_ZSTD):
        name = "zstd"
    if name in ("gzip", "x-gzip"):
        return zlib.MAX_WBITS | 16
    if name == "deflate":
        return zlib.MAX_WBITS | 16 if data.startswith(_GZIP) else zlib.MAX_WBITS
    raise UpstreamProtocolError(
        f"the upstream's answer is compressed with {name[:20]!r}, though it was asked for without compression; "
        "only gzip and deflate can be read"
    )


def _charset_of(headers: Headers) -> str | None:
    """Returns the content type's charset; None for UTF-8, and for an unknown one."""
    found = _CHARSET.search((header(headers, b"content-type") or b"").decode("latin-1").lower())
    if found is None:
        return None
    try:
        name = codecs.lookup(found[1]).name
    except LookupError:
        return None
    return None if name in ("utf-8", "ascii") else name


def _decoder(charset: str) -> codecs.IncrementalDecoder:
    return codecs.getincrementaldecoder(charset)(errors="replace")
