"""One suite for every transport: what leaves and what comes back is what was written, byte for byte."""

from __future__ import annotations

import gzip
import random
from typing import Any

import pytest

from nexusflow_asgi import Transport
from nexusflow_asgi.transports import transport_factory
from nexusflow_core import ConfigError
from nexusflow_core.errors import (
    InvalidRequestError,
    NexusFlowError,
)
from tests.asgi.transports import (
    OK,
    Kind,
    a_request,
    answered,
    at,
    each_kind,
    each_on_asyncio,
    exchange,
    sent,
    without_proxies,
)
from tests.servers import (
    JSON,
    SSE,
    Received,
    ScriptedUpstream,
    answer,
    head,
    in_order,
)

# The generators inside httpx and httpx2 are not closed with the response that reads them; trio says so.
pytestmark = pytest.mark.filterwarnings("ignore:Async generator .* was garbage collected:ResourceWarning")


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """No proxy but those that a test sets."""
    without_proxies(monkeypatch)


def test_names() -> None:
    """An unknown name is refused with the known ones; a transport of one's own is taken."""
    with pytest.raises(ConfigError, match="h1, httpx, aiohttp, offline"):
        transport_factory("curl")  # type: ignore[arg-type]
    mine: Any = object()
    assert transport_factory(mine)(at("http://x")) is mine


# What leaves

HEADERS = [
    (b"anthropic-version", b"2026-10-21"),
    (b"x-api-key", b"sk-ant-x"),
    (b"anthropic-beta", b"one,two"),
    (b"zzz", b"before a"),
    (b"anthropic-beta", b"three"),
    (b"content-type", b"application/json; charset=utf-8"),
    (b"content-encoding", b"gzip"),
    (b"accept-encoding", b"identity"),
    (b"a", b"after zzz"),
    (b"empty", b""),
    (b"utf-8", "café \u2028 \U0001f600".encode()),
    (b"quoted", b'"a\tb", c;d=(e) \\ {f}'),
    (b"zzz", b"again"),
    (b"long", b"x" * 16_000),
    (b"user_agent", b"underscore"),
]


@each_kind
def test_headers_are_sent_verbatim(kind: Kind) -> None:
    """In their order, repeated ones too, with nothing beside them but host and content-length."""
    received = sent(kind, headers=HEADERS, body=b"not really gzip")
    added = [name.lower() for name, _ in received.headers if name.lower() in (b"host", b"content-length")]
    assert sorted(added) == [b"content-length", b"host"]
    assert [pair for pair in received.headers if pair[0].lower() not in added] == HEADERS
    assert received.values(b"content-length") == [b"15"]
    assert received.body == b"not really gzip"
    assert received.line == b"POST /v1/messages HTTP/1.1"


@each_kind
def test_no_header_is_added(kind: Kind) -> None:
    """Without headers, nothing but host and content-length: no user-agent, accept, cookie, authorization."""
    received = sent(kind)
    assert {name.lower() for name, _ in received.headers} == {b"host", b"content-length"}
    assert len(received.headers) == 2


@each_on_asyncio
def test_user_agent_and_accept_are_the_clients(kind: Kind) -> None:
    """Those of the client travel on once, unchanged."""
    headers = [(b"user-agent", b"claude-cli/2"), (b"accept", b"text/event-stream"), (b"connection-x", b"1")]
    received = sent(kind, headers=headers)
    assert [pair for pair in received.headers if pair[0] in dict(headers)] == headers


@each_on_asyncio
def test_a_header_that_is_no_text(kind: Kind) -> None:
    """Bytes that are not UTF-8 are sent as they are, or refused as the client's fault; never changed."""
    told = ""
    received: Received | None = None
    try:
        received = sent(kind, headers=[(b"x-title", b"caf\xe9")])
    except InvalidRequestError as error:
        told = error.message
    assert "x-title" in told or (received and received.values(b"x-title") == [b"caf\xe9"])


QUERIES = [
    "?beta=true",
    "?a=1&a=2&&b==&=c&",
    "?a=%zz&b=%7e&c=%7E&d=~",
    "?a=%2F%2f/../.&b=a?c=d",
    "?a=b+c%20d%2B",
    "?a=[1]&b={x}|^`&c=\"<>'\\",
    "?a=%e9%C3%a9%00%0d%0a%",
    "?a=!$&'()*,;:@/?",
    "?" + "a=%25&" * 5000,
]


@each_kind
def test_the_query_is_sent_verbatim(kind: Kind) -> None:
    """Every odd percent-encoding arrives as it came."""
    with ScriptedUpstream(lambda _: OK) as server:
        upstream = at(server.url)

        async def work(transport: Transport) -> None:
            for query in QUERIES:
                await exchange(transport, a_request(upstream, "/v1/messages" + query))

        kind.use(upstream, work)
        assert [received.target.decode() for received in server.requests] == [
            "/v1/messages" + query for query in QUERIES
        ]


PATHS = ["/api/anthropic", "/a/../b/./c", "//a//b", "/%2e%2E/%2f/~", "/a;b=c/@d:e"]


@each_on_asyncio
def test_the_path_is_sent_verbatim(kind: Kind) -> None:
    """The base URL's path is not normalised either, with and without a query."""
    targets = [f"{path}/v1/messages{query}" for path in PATHS for query in ("", "?beta=true", "?a=%zz")]
    with ScriptedUpstream(lambda _: OK) as server:
        upstream = at(server.url)

        async def work(transport: Transport) -> None:
            for target in targets:
                await exchange(transport, a_request(upstream, target))

        kind.use(upstream, work)
        assert [received.target.decode() for received in server.requests] == targets


@each_on_asyncio
def test_a_query_beyond_all_measure(kind: Kind) -> None:
    """70 KB of it are sent, or refused with an error of ours."""
    target = "/v1/messages?a=" + "x" * 70_000
    try:
        received = sent(kind, target)
    except NexusFlowError:
        pass
    else:
        assert received.target.decode() == target


BODIES = {
    "empty": b"",
    "a byte": b"\0",
    "all bytes": bytes(range(256)) * 8,
    "5 MB": random.Random(0).randbytes(5_000_000),
}


@each_kind
def test_the_body_is_sent_exactly(kind: Kind) -> None:
    """With its length, in one piece, never chunked; an empty one says content-length: 0."""
    with ScriptedUpstream(lambda _: OK) as server:
        upstream = at(server.url)

        async def work(transport: Transport) -> None:
            for body in BODIES.values():
                await exchange(transport, a_request(upstream, body=body))

        kind.use(upstream, work)
    for (name, body), received in zip(BODIES.items(), server.requests, strict=True):
        assert received.body == body, name
        assert received.values(b"content-length") == [b"%d" % len(body)]
        assert received.values(b"transfer-encoding") == []


# What comes back


@each_kind
def test_headers_come_back_verbatim(kind: Kind) -> None:
    """Names in lower case, values as bytes, order and repetition kept."""
    headers = [
        (b"Request-Id", b"req_1"),
        (b"Set-Cookie", b"a=1"),
        (b"anthropic-ratelimit-requests-remaining", b"9"),
        (b"Set-Cookie", b"b=2"),
        (b"X-Latin", b"caf\xe9"),
        (b"X-Empty", b""),
        (b"Content-Type", b"application/json"),
        (b"Content-Length", b"2"),
        (b"X-Long", b"y" * 30_000),
    ]
    status, got, body = answered(kind, [head(218, headers), b"{}"])
    assert (status, body) == (218, b"{}")
    assert list(got) == [(name.lower(), value) for name, value in headers]


@each_kind
@pytest.mark.parametrize("framing", ["length", "chunked", "close"])
def test_a_body_is_never_decompressed(kind: Kind, framing: Any) -> None:
    """Real gzip or mere noise: the raw bytes, with the header that names their encoding."""
    zipped, noise = gzip.compress(b"x" * 10_000), bytes(range(256)) * 40
    with ScriptedUpstream(lambda _: ()) as server:
        upstream = at(server.url)

        async def work(transport: Transport) -> None:
            for encoding in (b"gzip", b"deflate", b"br", b"zstd", b"gzip, identity", b"nonsense"):
                for raw in (zipped, noise):
                    headers = [*JSON, (b"content-encoding", encoding)]
                    server.script = lambda _: answer(200, headers, [raw[:50], raw[50:]], framing=framing)  # noqa: B023
                    status, got, body = await exchange(transport, a_request(upstream))
                    assert (status, body) == (200, raw), encoding
                    assert (b"content-encoding", encoding) in got

        kind.use(upstream, work)


@each_on_asyncio
def test_a_large_answer(kind: Kind) -> None:
    """5 MB come back whole, and no single read holds them all at once."""
    raw = BODIES["5 MB"]

    async def work(transport: Transport) -> list[bytes]:
        response = await transport.send(a_request(upstream))
        pieces = []
        while piece := await response.read():
            pieces.append(piece)
        await response.aclose()
        return pieces

    with ScriptedUpstream(lambda _: answer(200, JSON, [raw])) as server:
        upstream = at(server.url)
        pieces = kind.use(upstream, work)
    assert b"".join(pieces) == raw
    assert len(pieces) > 1


@each_kind
def test_redirects_are_not_followed(kind: Kind) -> None:
    """The address in a redirect is never called, so it gets no key."""
    statuses = [301, 302, 303, 307, 308]
    with ScriptedUpstream(lambda _: OK) as elsewhere, ScriptedUpstream(lambda _: ()) as server:
        location = (b"location", f"{elsewhere.url}/steal".encode())
        server.script = in_order(*[answer(status, [location], [b"moved"]) for status in statuses])
        upstream = at(server.url)
        request = a_request(upstream, headers=[(b"x-api-key", b"sk-ant-x")])

        async def work(transport: Transport) -> list[int]:
            answers = [await exchange(transport, request) for _ in statuses]
            assert all(location in headers for _, headers, _ in answers)
            return [status for status, _, _ in answers]

        assert kind.use(upstream, work) == statuses
        assert (len(server.requests), elsewhere.requests) == (len(statuses), [])


@each_on_asyncio
def test_cookies_are_not_kept(kind: Kind) -> None:
    """A cookie of the upstream is passed back and never sent again."""
    with ScriptedUpstream(lambda _: answer(200, [(b"set-cookie", b"session=1; Path=/")], [b"{}"])) as server:
        upstream = at(server.url)

        async def work(transport: Transport) -> None:
            for _ in range(3):
                _, headers, _ = await exchange(transport, a_request(upstream))
                assert (b"set-cookie", b"session=1; Path=/") in headers

        kind.use(upstream, work)
        assert [received.values(b"cookie") for received in server.requests] == [[], [], []]


@each_on_asyncio
def test_interim_answers_are_passed_over(kind: Kind) -> None:
    """100 and 103 are not the answer."""
    interim = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\n"
    status, headers, body = answered(kind, [interim, *OK])
    assert (status, body) == (200, b"{}")
    assert b"link" not in dict(headers)


@each_on_asyncio
def test_a_body_without_length(kind: Kind) -> None:
    """A body that ends with its connection is a whole body."""
    assert answered(kind, answer(200, SSE, [b"a", b"b"], framing="close"))[2] == b"ab"


@each_on_asyncio
def test_an_answer_without_body(kind: Kind) -> None:
    """204, and a length of zero: the end comes at once."""
    assert answered(kind, [head(204)])[2] == b""
    assert answered(kind, answer(200, JSON, []))[2] == b""


@each_on_asyncio
def test_the_end_stays_the_end(kind: Kind) -> None:
    """Reading on after the end gives nothing again, and closing twice does no harm."""

    async def work(transport: Transport) -> None:
        response = await transport.send(a_request(upstream))
        assert await response.read() == b"{}"
        for _ in range(3):
            assert await response.read() == b""
        await response.aclose()
        await response.aclose()

    with ScriptedUpstream(lambda _: OK) as server:
        upstream = at(server.url)
        kind.use(upstream, work)


@each_kind
def test_what_comes_behind_an_answer_answers_nobody(kind: Kind) -> None:
    """An answer with a second one in its wake, in one write: the next call gets its own."""
    wake = b"HTTP/1.1 500 Extra\r\ncontent-length: 0\r\n\r\n"

    async def work(transport: Transport) -> list[int]:
        return [(await exchange(transport, a_request(upstream)))[0] for _ in range(3)]

    with ScriptedUpstream(
        lambda _: [b"".join(step for step in OK if isinstance(step, bytes)) + wake]
    ) as server:
        upstream = at(server.url)
        assert kind.use(upstream, work) == [200, 200, 200]
