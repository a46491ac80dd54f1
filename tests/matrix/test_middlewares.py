"""Under the hosts' own middlewares: streams pass in lock-step, and a client that leaves is noticed upstream."""

from __future__ import annotations

import subprocess
import zlib
from collections.abc import Iterator
from typing import NamedTuple

import pytest

from tests.matrix.cells import SERVERS, Server
from tests.matrix.environments import Environment, environment
from tests.matrix.running import HEADERS, Hosting, hosting
from tests.matrix.test_matrix import BODY, END, MESSAGE, START, STREAM, TEXTS
from tests.servers import JSON, SSE, Gate, RawClient, answer, request

pytestmark = pytest.mark.matrix

STARLETTE = (
    "gzip cors session base_http base_http_twice base_http_reading everything ours_inside_base_http".split()
)
LITESTAR = "gzip brotli cors session".split()
MODULES = ["tests/hosts", "tests/matrix/apps"]
BROWSER = [*HEADERS, (b"accept-encoding", b"gzip, br"), (b"origin", b"https://app.example")]
INFLATE = "import brotli, sys; sys.stdout.buffer.write(brotli.decompress(sys.stdin.buffer.read()))"


class Under(NamedTuple):
    """A middleware of a host, on a server."""

    host: str
    middleware: str
    server: Server

    @property
    def id(self) -> str:
        return f"{self.host} {self.middleware}-{self.server.name}"

    @property
    def result(self) -> tuple[str, ...]:
        return "middlewares", self.host, self.middleware, self.server.name, "3.11"

    @property
    def app(self) -> str:
        return f"{self.host.partition('-')[0].replace('lowest', 'starlette')}_middlewares:{self.middleware}"


ON_ASYNCIO = next(server for server in SERVERS if server.name == "uvicorn (httptools, uvloop)")
ON_TRIO = next(server for server in SERVERS if server.trio)
CASES = [
    *(Under("starlette", name, server) for name in STARLETTE for server in (ON_ASYNCIO, ON_TRIO)),
    *(Under("lowest", name, ON_ASYNCIO) for name in STARLETTE),
    *(Under("litestar", name, server) for name in LITESTAR for server in (ON_ASYNCIO, ON_TRIO)),
    Under("django-5.2", "outside", ON_ASYNCIO),
]


@pytest.fixture(scope="module", params=[pytest.param(case, id=case.id) for case in CASES])
def under(request: pytest.FixtureRequest) -> Under:
    case: Under = request.param
    return case


@pytest.fixture(scope="module")
def made(under: Under) -> Environment:
    return environment(under.host)


@pytest.fixture(scope="module")
def host(under: Under, made: Environment) -> Iterator[Hosting]:
    with hosting(made, under.server, under.app, modules=MODULES) as running:
        yield running


def test_sync(under: Under, made: Environment, host: Hosting) -> None:
    """The answer comes whole, perhaps compressed by the host; the host's own headers are on it."""
    host.upstream.script = lambda received: answer(200, JSON, [MESSAGE])
    with host.client() as client:
        head, body = client.call("/llm/v1/messages", BROWSER, BODY)
    encoding = head.value(b"content-encoding")
    assert inflated(made, encoding, body) == MESSAGE
    assert host.upstream.requests[-1].body == BODY
    assert host.next_record()["ending"] == "complete"
    if under.middleware in ("cors", "everything"):
        assert head.value(b"access-control-allow-origin") == b"https://app.example"
    if "base_http" in under.middleware:
        assert head.value(b"x-host") is not None
    if under.middleware in ("gzip", "everything"):
        assert encoding == b"gzip"


def test_lock_step_stream(under: Under, made: Environment, host: Hosting) -> None:
    """Each event is with the client before the next is sent, compressed or not."""
    pieces = [START, *TEXTS, END]
    gates = [Gate() for _ in pieces]
    steps = [step for pair in zip(gates, pieces, strict=True) for step in pair]
    host.upstream.script = lambda received: answer(200, SSE, steps, framing="chunked")
    with host.client() as client:
        client.post("/llm/v1/messages", BROWSER, STREAM)
        gates[0].open()
        head = client.head()
        assert head.status == 200
        encoding = head.value(b"content-encoding")
        whole = b""
        for gate, piece in zip(gates, pieces, strict=True):
            gate.open()
            whole += (
                client.exactly(len(piece))
                if encoding is None
                else one_event(made, encoding, client, whole, piece)
            )
        assert inflated(made, encoding, whole + client.rest()) == b"".join(pieces)
    assert host.next_record()["ending"] == "complete"
    if under.host == "litestar" and under.middleware in ("gzip", "brotli"):
        assert encoding is not None, "Litestar compresses streams, and flushes each event"
    else:
        assert encoding is None, "Starlette leaves event streams alone"


def one_event(made: Environment, encoding: bytes, client: RawClient, before: bytes, piece: bytes) -> bytes:
    """Compressed bytes until they hold one event more; a host that keeps it back means a TimeoutError."""
    came = b""
    had = len(inflated(made, encoding, before, partial=True)) if before else 0
    while len(inflated(made, encoding, before + came, partial=True)) < had + len(piece):
        more = client.piece()
        assert more, "the stream ended early"
        came += more
    return came


def test_disconnect(host: Hosting) -> None:
    """A client that leaves a stream closes the upstream's socket."""
    host.upstream.script = lambda received: answer(200, SSE, [START, Gate()], framing="chunked")
    with host.client() as client:
        client.post("/llm/v1/messages", BROWSER, STREAM)
        assert client.head().status == 200
        assert client.piece()
    assert host.upstream.requests[-1].cut_off()
    record = host.next_record()
    assert (record["ending"], record["usage_source"]) == ("client_gone", "partial")


def test_disconnect_before_the_answer(host: Hosting) -> None:
    """The same while the upstream has not answered at all."""
    host.upstream.script = lambda received: [Gate()]
    count = len(host.upstream.requests)
    with host.client() as client:
        client.post("/llm/v1/messages", BROWSER, BODY)
        received = host.upstream.wait_requests(count + 1)[-1]
    assert received.cut_off()
    assert host.next_record()["ending"] == "client_gone"


def test_djangos_middlewares_see_its_own_pages() -> None:
    """And nothing of ours, which is outside of them."""
    made = environment("django-5.2")
    with (
        hosting(made, ON_ASYNCIO, "django_middlewares:outside", modules=MODULES) as host,
        host.client() as client,
    ):
        client.send(request("/", (), b"", method="GET"))
        assert client.head().value(b"x-host") == b"seen"
        head, _ = client.call("/llm/v1/messages", HEADERS[:1], BODY)
        assert (head.status, head.value(b"x-host")) == (401, None)


def inflated(made: Environment, encoding: bytes | None, data: bytes, *, partial: bool = False) -> bytes:
    """What the client would see. Brotli is only in the host's environment, so its Python is asked."""
    if encoding is None:
        return data
    if encoding == b"gzip":
        return zlib.decompressobj(31).decompress(data)
    assert encoding == b"br"
    script = INFLATE.replace("brotli.decompress", "brotli.Decompressor().process") if partial else INFLATE
    return subprocess.run([made.python, "-c", script], input=data, capture_output=True, check=True).stdout
