"""The bytes of a log file as UTF-8: unpacked from gzip or zstd, and converted from UTF-16."""

import codecs
import contextlib
import gzip
import importlib
import io
import sys
import zlib
from abc import abstractmethod
from collections.abc import Generator
from typing import Any, BinaryIO, Final, cast

from nexusflow_core.errors import ConfigError

__all__ = ["DAMAGED", "is_parquet", "other_form", "plain_bytes", "raw_bytes"]

_CHUNK = 2**17
_GZIP, _ZSTD, _PARQUET = b"\x1f\x8b", b"\x28\xb5\x2f\xfd", b"PAR1"

_OTHER_FORMS: Final = {
    b"BZh": "compressed with bzip2: unpack it first",
    b"\xfd7zXZ\x00": "compressed with xz: unpack it first",
    b"PK\x03\x04": "a zip archive: unpack it first",
    b"SQLite format 3\x00": "an SQLite database: export its rows as JSON first",
    b"\xff\xfe\x00\x00": "UTF-32: convert it to UTF-8 first",
    b"\x00\x00\xfe\xff": "UTF-32: convert it to UTF-8 first",
}
_WIDE: Final[dict[tuple[bool, ...], str]] = {
    (False, True, True, True): "UTF-32",
    (True, True, True, False): "UTF-32",
}
_UTF_16: Final[dict[tuple[bool, ...], str]] = {
    (False, True, False, True): "utf-16-le",
    (True, False, True, False): "utf-16-be",
}
"""Text without a byte order mark, recognised by the zeros among its first four bytes."""

_MARKS: Final = {b"\xff\xfe": "utf-16-le", b"\xfe\xff": "utf-16-be"}


class _DamagedError(Exception):
    """The text of a file cannot be decoded."""


DAMAGED: Final = (EOFError, zlib.error, gzip.BadGzipFile, _DamagedError)
"""Errors of reading a file that is damaged. A damaged zstd file raises `_DamagedError` too."""


@contextlib.contextmanager
def raw_bytes(name: str) -> Generator[io.BufferedReader, None, None]:
    """Opens a file, or standard input for `-`. Raises OSError."""
    if name == "-":
        yield cast(io.BufferedReader, sys.stdin.buffer)
        return
    with io.BufferedReader(io.FileIO(name), _CHUNK) as file:
        yield cast(io.BufferedReader, file)


def is_parquet(raw: io.BufferedReader) -> bool:
    """Returns True for a Parquet file, by its first bytes."""
    return raw.peek(4)[:4] == _PARQUET


def plain_bytes(raw: io.BufferedReader) -> io.BufferedReader:
    """Returns the file's bytes, unpacked and as UTF-8. Reading them may raise one of DAMAGED.

    Raises ConfigError if a library is missing.
    """
    match raw.peek(4)[:4]:
        case head if head.startswith(_GZIP):
            file = _buffered(gzip.GzipFile(fileobj=raw))
        case head if head == _ZSTD:
            file = _buffered(_Unpacked(raw))
        case _:
            file = raw
    start = file.peek(4)[:4]
    if other_form(start) is not None:
        return file
    if (marked := _MARKS.get(start[:2])) is not None:
        file.read(2)
        return _buffered(_Converted(file, marked))
    if (unmarked := _UTF_16.get(tuple(byte == 0 for byte in start))) is not None:
        return _buffered(_Converted(file, unmarked))
    return file


def _buffered(source: object) -> io.BufferedReader:
    return io.BufferedReader(cast(Any, source), _CHUNK)


def other_form(start: bytes) -> str | None:
    """Returns the format of a file that cannot be read, by its first bytes, or None."""
    found = next((name for magic, name in _OTHER_FORMS.items() if start.startswith(magic)), None)
    wide = _WIDE.get(tuple(byte == 0 for byte in start[:4]))
    return found or (f"{wide}: convert it to UTF-8 first" if wide else None)


class _Source(io.RawIOBase):
    """Bytes that are made piece by piece from those of another file."""

    def __init__(self, file: BinaryIO) -> None:
        self._file, self._rest, self._ended = file, b"", False

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._rest and not self._ended:
            chunk = self._file.read(_CHUNK)
            self._ended = not chunk
            self._rest = self._made(chunk)
        size = min(len(buffer), len(self._rest))
        buffer[:size] = self._rest[:size]
        self._rest = self._rest[size:]
        return size

    @abstractmethod
    def _made(self, chunk: bytes) -> bytes:
        """Returns what this piece becomes; b"" is the end of the file."""


class _Converted(_Source):
    """UTF-16 as UTF-8."""

    def __init__(self, file: BinaryIO, encoding: str) -> None:
        super().__init__(file)
        self._decoder = codecs.getincrementaldecoder(encoding)()

    def _made(self, chunk: bytes) -> bytes:
        try:
            return self._decoder.decode(chunk, final=not chunk).encode()
        except UnicodeError:
            raise _DamagedError("not UTF-16") from None


class _Unpacked(_Source):
    """The content of a zstd file, which may have several frames. Memory is bounded by the frame's window."""

    def __init__(self, file: BinaryIO) -> None:
        super().__init__(file)
        self._zstd = _zstd_library()
        self._frame: Any = self._zstd.ZstdDecompressor()
        self._begun = False

    def _made(self, chunk: bytes) -> bytes:
        if not chunk:
            if self._begun and not self._frame.eof:
                raise EOFError("the file ends inside a frame")
            return b""
        parts: list[bytes] = []
        while chunk:
            if self._frame.eof:
                self._frame, self._begun = self._zstd.ZstdDecompressor(), False
            try:
                parts.append(self._frame.decompress(chunk))
            except self._zstd.ZstdError as error:
                raise _DamagedError(str(error)) from None
            self._begun = True
            chunk = self._frame.unused_data if self._frame.eof else b""
        return b"".join(parts)


def _zstd_library() -> Any:
    """Returns Python's own module (3.14), or its backport."""
    for name in ("compression.zstd", "backports.zstd"):
        try:
            return importlib.import_module(name)
        except ModuleNotFoundError:  # the other one may be there; without both, the error below
            continue
    raise ConfigError("", "a file is compressed with zstd: unpack it, or run pip install 'nexusflow[zstd]'")
