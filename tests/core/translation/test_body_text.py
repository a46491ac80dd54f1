"""Bodies that are not the plain UTF-8 that was asked for: compressed, in another charset, behind a mark."""

import gzip
import json
import tracemalloc
import zlib
from collections.abc import Callable

import pytest

from nexusflow_core.errors import UpstreamProtocolError
from nexusflow_core.translation.body_text import BodyText
from tests.core.translation.driving import answered, chunks, error, streamed
from tests.core.translation.folding import by_sdk
from tests.core.translation.grammar import checked

USAGE = {"prompt_tokens": 9, "completion_tokens": 3}
WORDS = "Grüße, 你好."


def raw_deflate(data: bytes) -> bytes:
    made = zlib.compressobj(wbits=-15)
    return made.compress(data) + made.flush()


def members(data: bytes) -> bytes:
    return b"".join(gzip.compress(data[at : at + 40]) for at in range(0, len(data), 40))


ENCODED: dict[str, tuple[str, Callable[[bytes], bytes]]] = {
    "gzip": ("gzip", gzip.compress),
    "x-gzip": ("X-GZip", gzip.compress),
    "gzip of many members": ("gzip", members),
    "gzip and padding": ("gzip", lambda data: gzip.compress(data) + b"\0" * 100),
    "deflate": ("deflate", zlib.compress),
    "deflate without a header": ("deflate", raw_deflate),
    "gzip called deflate": ("deflate", gzip.compress),
    "gzip without a name": ("", gzip.compress),
    "gzip twice": ("gzip, gzip", lambda data: gzip.compress(gzip.compress(data))),
    "identity and gzip": ("identity, gzip", gzip.compress),
    "plain, called gzip": ("gzip", bytes),
    "plain, called br": ("br", bytes),
    "plain behind a mark": ("", lambda data: b"\xef\xbb\xbf" + data),
    "gzip of a mark": ("gzip", lambda data: gzip.compress(b"\xef\xbb\xbf" + data)),
}


def whole(text: str = WORDS) -> bytes:
    choice = {"message": {"content": text}, "finish_reason": "stop"}
    return json.dumps({"choices": [choice], "usage": USAGE}, ensure_ascii=False).encode()


def of_stream(text: str = WORDS) -> bytes:
    events = chunks(*({"content": letter} for letter in text), usage=USAGE)
    return b"".join(b"data: " + json.dumps(it, ensure_ascii=False).encode() + b"\n\n" for it in events)


@pytest.mark.parametrize("cut", [1, 7, 10**9])
@pytest.mark.parametrize("name", ENCODED)
def test_an_encoded_answer(name: str, cut: int) -> None:
    """Sync, as a stream and as an error, however it is cut: what it holds, with its usage."""
    called, encode = ENCODED[name]
    headers = {"content-encoding": called} if called else {}

    def pieces(data: bytes) -> list[bytes]:
        data = encode(data)
        return [data[at : at + cut] for at in range(0, len(data), cut)]

    sync = answered(b"", pieces=pieces(whole()), headers=headers)
    assert sync.json["content"] == [{"type": "text", "text": WORDS}]
    assert (sync.json["usage"]["output_tokens"], sync.record.usage_source) == (3, "upstream")
    stream = streamed(pieces(of_stream()), headers=headers)
    assert by_sdk(checked(stream.body))["content"] == [{"type": "text", "text": WORDS}]
    failed = answered(b"", status=429, pieces=pieces(json.dumps(error("slow down")).encode()), headers=headers)
    assert (failed.status, failed.json["error"]["message"]) == (429, "slow down")


@pytest.mark.parametrize(
    ("charset", "encoding"),
    [
        ("iso-8859-1", "latin-1"),
        ('"ISO-8859-1"', "utf-8"),
        ("windows-1252", "cp1252"),
        ("utf-16", "utf-16"),
        ("utf-16le", "utf-16-le"),
        ("utf-16be", "utf-16-be"),
        ("utf-8", "utf-16"),
        ("nonsense", "utf-8"),
    ],
)
def test_a_charset(charset: str, encoding: str) -> None:
    """By its name, unless the text is UTF-8 all the same, or its mark says otherwise."""
    text = "Grüße."
    headers = {"content-type": f"application/json; charset={charset}"}
    sync = answered(whole(text).decode().encode(encoding), headers=headers)
    assert sync.json["content"][0]["text"] == text
    data = of_stream(text).decode().encode(encoding)
    for pieces in ([data], [data[at : at + 1] for at in range(len(data))]):
        body = streamed(pieces, headers={"content-type": f"text/event-stream; charset={charset}"}).body
        assert by_sdk(checked(body))["content"][0]["text"] == text


def test_gbk_is_read_by_its_name() -> None:
    """Nothing in the bytes tells it apart."""
    headers = {"content-type": "application/json; charset=GBK"}
    assert answered(whole("你好").decode().encode("gbk"), headers=headers).json["content"][0]["text"] == "你好"


@pytest.mark.parametrize("called", ["br", "zstd", "compress", "gzip, br"])
def test_an_encoding_that_cannot_be_read_is_named(called: str) -> None:
    """Sync and as a stream; an error answer keeps its status."""
    data = b"\x1b\x0e\x00\xf8garbage\x99\x81"
    for driven in (
        answered(data, headers={"content-encoding": called}),
        streamed(data, headers={"content-encoding": called}),
    ):
        assert driven.status == 502
        assert called.rsplit(", ", maxsplit=1)[-1] in driven.json["error"]["message"]
    failed = answered(data, status=429, headers={"content-encoding": called})
    assert (failed.status, failed.json["error"]["type"]) == (429, "rate_limit_error")


def test_a_broken_body_is_an_error() -> None:
    """Never half an answer."""
    broken = bytearray(gzip.compress(whole() * 20))
    broken[30:60] = b"\0" * 30
    assert answered(bytes(broken), headers={"content-encoding": "gzip"}).status == 502
    cut = gzip.compress(whole())[:-20]
    assert answered(cut, headers={"content-encoding": "gzip"}).status == 502


def test_a_body_that_inflates_without_end_is_given_up() -> None:
    """A thousand times its size is no text of a model; the pieces read until then are small."""
    bomb = gzip.compress(b": " + b"x" * 300_000_000)
    text = BodyText([(b"content-encoding", b"gzip")])
    tracemalloc.start()
    with pytest.raises(UpstreamProtocolError, match="beyond every bound"):
        for _ in text.feed(bomb):
            pass
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 8 * 1024 * 1024
    assert streamed(bomb, headers={"content-encoding": "gzip"}).status == 502
