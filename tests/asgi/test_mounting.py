"""One object as mounted app, middleware, route endpoint and app of its own: what shows, and who closes it."""

from __future__ import annotations

import contextlib
import gc
import importlib.metadata
from collections.abc import AsyncIterator, Callable
from typing import Any

import anyio
import pytest
from starlette import testclient
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Mount, Route, WebSocketRoute
from starlette.types import ASGIApp, Receive, Scope, Send
from starlette.websockets import WebSocket, WebSocketDisconnect

from nexusflow_asgi import NexusFlow, TransportResponse
from nexusflow_asgi.transports.offline import OfflineTransport
from nexusflow_core import CallRecord, Config
from nexusflow_core.config import decode_config
from tests.asgi.asking import BODY, MODEL, ask, offline
from tests.servers import JSON, Fault, RawClient, ScriptedUpstream, Served, answer

DOCUMENTED = {
    ("POST", "/v1/messages"): 200,
    ("POST", "/messages"): 200,
    ("POST", "/v1/messages/count_tokens"): 200,
    ("GET", "/v1/models"): 200,
    ("GET", f"/v1/models/{MODEL}"): 200,
    ("GET", "/health"): 200,
    ("HEAD", "/health"): 200,
    ("GET", "/ready"): 200,
    ("HEAD", "/ready"): 200,
    ("GET", "/v1/messages"): 405,
    ("PUT", "/v1/messages"): 405,
    ("DELETE", "/v1/messages"): 405,
    ("GET", "/v1/messages/count_tokens"): 405,
    ("POST", "/v1/models"): 405,
    ("DELETE", f"/v1/models/{MODEL}"): 405,
    ("POST", "/health"): 405,
    ("POST", "/ready"): 405,
    ("GET", "/"): 200,
    ("HEAD", "/"): 200,
    ("POST", "/"): 405,
    ("DELETE", "/"): 405,
    ("POST", "/v1/messages/batches"): 404,
    ("POST", "/v1/files"): 404,
    ("GET", "/v1/models/gpt-6"): 404,
}
HOME = ["/", "/health", "/ready", "/messages", "/v1/files", "/llmfoo/v1/messages"]
HIDDEN = ["/v1", "/docs", "/openapi.json", "/metrics", "/admin", "/v1/messages/x", "/v1/organizations"]
STREAM = BODY.replace(b'"model"', b'"stream":true,"model"')
MESSAGE = b'{"type":"message","id":"m","usage":{"input_tokens":3,"output_tokens":1}}'

Host = Callable[[NexusFlow], ASGIApp]


class Client(testclient.TestClient):
    """Says of its bodies what every client of the API says."""

    def __init__(self, app: ASGIApp, **options: Any) -> None:
        super().__init__(app, headers={"content-type": "application/json"}, **options)


def gateway(app: ASGIApp | None = None, **options: Any) -> NexusFlow:
    return NexusFlow(app, **{"config": offline(), "transport": "offline", **options})


async def home(request: Request) -> Response:
    return PlainTextResponse("the host's")


def starlette(*routes: Any, **options: Any) -> Starlette:
    """A host with pages of its own, some of them near to ours."""
    own = [Route(path, home) for path in HOME]
    return Starlette(routes=[*routes, *own], **options)


# What shows, and where


def mounted() -> tuple[ASGIApp, str]:
    return starlette(Mount("/llm", gateway())), "/llm"


def mounted_twice() -> tuple[ASGIApp, str]:
    return starlette(Mount("/api", routes=[Mount("/llm", gateway())])), "/api/llm"


def mounted_app_in_a_mounted_app() -> tuple[ASGIApp, str]:
    return starlette(Mount("/a", starlette(Mount("/b", starlette(Mount("/c", gateway())))))), "/a/b/c"


def added_middleware() -> tuple[ASGIApp, str]:
    app = starlette()
    app.add_middleware(NexusFlow, config=offline(), prefix="/llm", transport="offline")
    return app, "/llm"


def middleware_list() -> tuple[ASGIApp, str]:
    ours = Middleware(NexusFlow, config=offline(), prefix="/llm", transport="offline")
    return starlette(middleware=[Middleware(GZipMiddleware), ours]), "/llm"


def middleware_of_a_mounted_app() -> tuple[ASGIApp, str]:
    inner = starlette()
    inner.add_middleware(NexusFlow, config=offline(), prefix="/llm", transport="offline")
    return starlette(Mount("/inner", inner)), "/inner/llm"


def wrapped_outside() -> tuple[ASGIApp, str]:
    return gateway(starlette(), prefix="/llm"), "/llm"


def route_endpoint() -> tuple[ASGIApp, str]:
    methods = ["GET", "HEAD", "POST", "PUT", "DELETE"]
    return starlette(Route("/llm/{rest:path}", gateway(), methods=methods)), "/llm"


def under_base_http_middleware() -> tuple[ASGIApp, str]:
    app = starlette(Mount("/llm", gateway()))

    async def dispatch(request: Request, call_next: Any) -> Response:
        response: Response = await call_next(request)
        response.headers["x-host"] = "was here"
        return response

    app.add_middleware(BaseHTTPMiddleware, dispatch=dispatch)
    return app, "/llm"


def alone() -> tuple[ASGIApp, str]:
    return gateway(), ""


def alone_with_a_prefix() -> tuple[ASGIApp, str]:
    return gateway(prefix="/llm"), "/llm"


HOSTS = [
    mounted,
    mounted_twice,
    mounted_app_in_a_mounted_app,
    added_middleware,
    middleware_list,
    middleware_of_a_mounted_app,
    wrapped_outside,
    route_endpoint,
    under_base_http_middleware,
    alone,
    alone_with_a_prefix,
]
each_host = pytest.mark.parametrize("host", HOSTS, ids=lambda host: host.__name__)


@each_host
def test_the_documented_endpoints(host: Callable[[], tuple[ASGIApp, str]]) -> None:
    """Each answers under the prefix, wrong methods with 405 and `allow`, all errors in Anthropic's shape."""
    app, prefix = host()
    with Client(app) as client:
        for (method, path), status in DOCUMENTED.items():
            got = client.request(method, prefix + path, content=BODY if method == "POST" else None)
            assert got.status_code == status, (method, path, got.text)
            assert got.headers["request-id"].startswith("req_")
            if status >= 400:
                assert got.json()["error"]["type"] == (
                    "not_found_error" if status == 404 else "invalid_request_error"
                )
                assert got.json()["request_id"] == got.headers["request-id"]
            if status == 405:
                assert method not in got.headers["allow"]


@each_host
def test_nothing_else_shows(host: Callable[[], tuple[ASGIApp, str]]) -> None:
    """Any other path under the prefix is a 404 in Anthropic's shape."""
    app, prefix = host()
    with Client(app) as client:
        for path in HIDDEN:
            for method in ("GET", "POST"):
                got = client.request(method, prefix + path)
                assert got.status_code == 404, (method, path, got.text)
                assert got.json()["error"]["type"] == "not_found_error"


@each_host
def test_a_page_for_a_person(host: Callable[[], tuple[ASGIApp, str]]) -> None:
    """At our own root, and nowhere else: a few lines of text that say what this is and where its paths are."""
    app, prefix = host()
    with Client(app) as client:
        for path in {f"{prefix}/", prefix or "/"}:
            got = client.get(path)
            assert (got.status_code, got.headers["content-type"]) == (200, "text/plain; charset=utf-8")
            assert got.text.startswith(f"NexusFlow {importlib.metadata.version('nexusflow')}: ")
            for name in ("v1/messages", "count_tokens", "v1/models", "health", "ready", "README"):
                assert name in got.text
            assert len(got.text) < 1000
        if prefix:
            assert "NexusFlow" not in client.get("/").text


def test_the_page_says_nothing_of_the_configuration() -> None:
    """It is for everybody: no key, no upstream, no model."""
    toml = b"""
[upstreams.secret-vendor]
dialect = "anthropic"
base_url = "https://secret-host.example"
auth = "none"
[[routes]]
model = "secret-model"
targets = ["secret-vendor"]
[auth]
keys = ["env:SECRET_KEY"]
"""
    config = decode_config(toml)
    config.resolve({"SECRET_KEY": "nxf-secret"})
    answer = anyio.run(lambda: ask(gateway(config=config, transport="httpx"), "/", method="GET"))
    assert answer.status == 200
    assert b"secret" not in answer.body.lower()


@each_host
def test_a_stream_in_every_form(host: Callable[[], tuple[ASGIApp, str]]) -> None:
    """A stream comes through whole."""
    app, prefix = host()
    with Client(app) as client:
        got = client.post(f"{prefix}/v1/messages?beta=true", content=STREAM)
    assert got.status_code == 200
    assert got.headers["content-type"].startswith("text/event-stream")
    assert got.text.startswith("event: message_start\n")
    assert got.text.endswith('event: message_stop\ndata: {"type":"message_stop"}\n\n')


@each_host
def test_slashes(host: Callable[[], tuple[ASGIApp, str]]) -> None:
    """Doubled slashes behind the prefix, and one at the end, change nothing."""
    app, prefix = host()
    with Client(app) as client:
        for path in ("//v1/messages", "/v1//messages", "/v1/messages/", "/v1/messages//"):
            got = client.post("http://testserver" + prefix + path, content=BODY, follow_redirects=False)
            assert got.status_code == 200, (path, got.text)


@pytest.mark.parametrize("host", [h for h in HOSTS if not h.__name__.startswith("alone")])
def test_the_hosts_own_paths(host: Callable[[], tuple[ASGIApp, str]]) -> None:
    """Outside the prefix the host answers, its 404 included, even where the names are the same as ours."""
    app, _ = host()
    with Client(app) as client:
        for path in HOME:
            assert client.get(path).text == "the host's"
        for path in ("/v1/messages", "/v1/models", "/llm2", "/nowhere"):
            got = client.post(path, content=BODY)
            assert (got.status_code, got.text) == (404, "Not Found")


@pytest.mark.parametrize("way", ["add_middleware", "outside"])
def test_a_middleware_without_a_prefix(way: str) -> None:
    """Only the /v1 endpoints are taken, with every method; aliases, health and the rest are the host's."""
    app: Any = starlette()
    if way == "outside":
        app = gateway(app)
    else:
        app.add_middleware(NexusFlow, config=offline(), transport="offline")
    with Client(app) as client:
        assert client.post("/v1/messages", content=BODY).status_code == 200
        assert client.post("/v1/messages/count_tokens", content=BODY).status_code == 200
        assert client.get("/v1/models").status_code == 200
        assert client.get("/v1/models/claude-x").status_code == 200
        assert client.get("/v1/messages").json()["error"]["type"] == "invalid_request_error"
        for path in HOME:
            assert client.get(path).text == "the host's"
        for path in ("/v1/messages/batches", "/v1", "/messages/count_tokens", "/x/v1/messages"):
            assert client.post(path, content=BODY).text == "Not Found"


@pytest.mark.parametrize(
    ("path", "root_path"),
    [
        ("/llm/v1/messages", "/llm"),
        ("/v1/messages", "/llm"),
        ("/v1/messages/", ""),
        ("/v1/messages", None),
        ("/llm//v1/messages", "/llm"),
    ],
)
def test_root_path_in_the_path_or_not(path: str, root_path: str | None) -> None:
    """Hosts leave it there, take it away, or know of none."""
    assert anyio.run(lambda: ask(gateway(), path, root_path=root_path)).status == 200


@pytest.mark.parametrize("path", ["/llm/v1/messages", "/px/llm/v1/messages", "/llm//v1/messages/"])
def test_a_mount_below_a_root_path_of_the_servers(path: str) -> None:
    """A proxy's path may be told by the server alone, and may or may not stand in the path too."""
    host = Starlette(routes=[Mount("/llm", gateway())])
    assert anyio.run(lambda: ask(host, path, root_path="/px")).status == 200
    assert anyio.run(lambda: ask(host, path.replace("llm", "llm/x"), root_path="/px")).status == 404


@each_host
def test_nothing_is_reached_by_its_end_alone(host: Callable[[], tuple[ASGIApp, str]]) -> None:
    """What stands between the prefix and the endpoint, or before the prefix, makes another path of it."""
    app, prefix = host()
    with Client(app) as client:
        for path in (f"{prefix}/x/v1/messages", f"{prefix}/x/y/z/messages", f"/x{prefix}/v1/messages"):
            got = client.post("http://testserver" + path, content=BODY)
            assert got.status_code == 404, (path, got.text)
        if prefix:
            for path in (f"/{prefix}/v1/messages", f"{prefix}%2Fv1/messages", f"{prefix}/v1%2fmessages"):
                got = client.post("http://testserver" + path, content=BODY)
                assert got.status_code == 404, (path, got.text)


@each_host
def test_a_long_path(host: Callable[[], tuple[ASGIApp, str]]) -> None:
    """Refused with 414 in Anthropic's shape before anything is compared with it."""
    app, prefix = host()
    with Client(app) as client:
        got = client.get(prefix + "/a" * 20_000)
    assert got.status_code == 414
    assert got.json()["error"]["type"] == "invalid_request_error"
    assert "2048 characters" in got.json()["error"]["message"]


def test_a_route_of_the_hosts_own_for_one_endpoint() -> None:
    """A router that sends one whole path here has looked at its beginning itself."""
    app = Starlette(routes=[Route("/llm/v1/messages", gateway(), methods=["POST"])])
    with Client(app) as client:
        assert client.post("/llm/v1/messages", content=BODY).status_code == 200
        assert client.post("/v1/messages", content=BODY).status_code == 404


@pytest.mark.parametrize("path", ["/v1/messages", "/v1/models", "/health"])
def test_odd_methods(path: str) -> None:
    """Only the method itself is the method, not a part of its name, nor its name in lower case."""
    for method in ("", "P", "POS", "OST", "G", "GE", "HEA", "T", ", ", "get", "post", "TRACE"):
        got = anyio.run(lambda method=method: ask(gateway(), path, method=method))
        assert got.status == 405, method


# The model list


def models(query: bytes = b"", names: tuple[str, ...] = ()) -> Any:
    toml = b"".join(b'[[routes]]\nmodel = "%s"\ntargets = ["sim"]\n' % name.encode() for name in names)
    config = decode_config(b'[upstreams.sim]\ndialect = "anthropic"\n' + toml + b"[auth]\nanonymous = true")
    app = gateway(config=config)
    return anyio.run(lambda: ask(app, "/v1/models", method="GET", query=query)).json


def test_the_model_list() -> None:
    """Routes with a name of their own and what a pattern matches of the price book, in the routes' order."""
    page = models(names=("claude-b", "claude-*", "claude-a"), query=b"limit=1000")
    ids = [model["id"] for model in page["data"]]
    assert (ids[0], ids[-1]) == ("claude-b", "claude-a")
    assert {"claude-opus-4-7", "claude-haiku-4-5"} < set(ids)
    assert "claude-3-opus-20240229" not in ids, "a retired model is not offered"
    assert (page["has_more"], page["first_id"], page["last_id"]) == (False, "claude-b", "claude-a")
    for model in page["data"]:
        assert model["type"] == "model"
        assert model["display_name"]
        assert model["created_at"]


def test_a_model_shows_its_price_and_its_limits() -> None:
    """As extra keys, in dollars per million tokens; what the price book does not know has none."""
    page = models(names=("claude-opus-4-7", "claude-b"))
    known, unknown = page["data"]
    assert (known["max_input_tokens"], known["max_tokens"], known["lifecycle"]) == (
        1_000_000,
        128_000,
        "active",
    )
    price = {
        name: known["price"][name]
        for name in ("input", "output", "cache_read", "cache_write_5m", "cache_write_1h")
    }
    assert price == {
        "input": "5",
        "output": "25",
        "cache_read": "0.5",
        "cache_write_5m": "6.25",
        "cache_write_1h": "10",
    }
    assert (known["price"]["currency"], known["price"]["row"]) == ("USD", "anthropic/claude-opus-4-7")
    assert "price" not in unknown


def test_an_empty_model_list() -> None:
    """A pattern that no known model matches: no data, no ids, no error."""
    empty = {"data": [], "has_more": False, "first_id": None, "last_id": None}
    assert models(names=("unheard-of-*",)) == empty


@pytest.mark.parametrize(
    ("query", "ids", "has_more"),
    [
        (b"limit=1000", "abcde", False),
        (b"limit=5", "abcde", False),
        (b"limit=2", "ab", True),
        (b"limit=2&after_id=b", "cd", True),
        (b"limit=2&after_id=d", "e", False),
        (b"after_id=e", "", False),
        (b"limit=2&before_id=e", "cd", True),
        (b"limit=2&before_id=c", "ab", False),
        (b"before_id=a", "", False),
        (b"limit=2&unknown=x&beta=true", "ab", True),
    ],
)
def test_pages_of_the_model_list(query: bytes, ids: str, has_more: bool) -> None:
    """`limit`, `after_id` and `before_id` as Anthropic has them."""
    page = models(query, names=tuple("abcde"))
    assert ("".join(model["id"] for model in page["data"]), page["has_more"]) == (ids, has_more)


@pytest.mark.parametrize("query", [b"limit=0", b"limit=-1", b"limit=1001", b"limit=x", b"limit=", b"limit=1.5"])
def test_a_bad_limit(query: bytes) -> None:
    """400 and the field's name."""
    error = models(query, names=("a",))["error"]
    assert error["type"] == "invalid_request_error"
    assert "limit" in error["message"]


# Websockets


def test_a_websocket_of_the_host() -> None:
    """A middleware hands it on, whatever its path."""

    async def echo(websocket: WebSocket) -> None:
        await websocket.accept()
        await websocket.send_text("the host's")
        await websocket.close()

    app = gateway(Starlette(routes=[WebSocketRoute("/llm/v1/messages", echo)]), prefix="/llm")
    with Client(app).websocket_connect("/llm/v1/messages") as websocket:
        assert websocket.receive_text() == "the host's"


def test_a_websocket_of_nobodys() -> None:
    """Alone or mounted, it is refused in an orderly way."""
    for app, path in ((gateway(), "/v1/messages"), (Starlette(routes=[Mount("/", gateway())]), "/v1/messages")):
        with pytest.raises(WebSocketDisconnect), Client(app).websocket_connect(path):
            raise AssertionError("accepted")


# Lifespan and closing


class Closed(OfflineTransport):
    """Notes when it was closed."""

    def __init__(self) -> None:
        self.closed = 0

    async def aclose(self) -> None:
        self.closed += 1


def noting(notes: list[str]) -> Callable[[Any], contextlib.AbstractAsyncContextManager[dict[str, str]]]:
    @contextlib.asynccontextmanager
    async def lifespan(app: Any) -> AsyncIterator[dict[str, str]]:
        notes.append("host starts")
        yield {"key": "the host's state"}
        notes.append("host stops")

    return lifespan


@pytest.mark.parametrize(
    "way", ["add_middleware", "outside", "around the lifespan", "mounted beside a lifespan"]
)
def test_the_hosts_lifespan_runs(way: str) -> None:
    """In each form the host starts and stops as without us, and where we can see its end we close with it."""
    notes: list[str] = []
    transport = Closed()
    app: Any
    if way == "add_middleware":
        app = starlette(lifespan=noting(notes))
        app.add_middleware(NexusFlow, config=offline(), prefix="/llm", transport=transport)
    elif way == "outside":
        app = gateway(starlette(lifespan=noting(notes)), prefix="/llm", transport=transport)
    else:
        ours = gateway(transport=transport)

        @contextlib.asynccontextmanager
        async def both(app: Any) -> AsyncIterator[dict[str, str]]:
            async with noting(notes)(app) as state, ours.lifespan(app):
                yield state

        lifespan = both if way == "around the lifespan" else noting(notes)
        app = starlette(Mount("/llm", ours), lifespan=lifespan)
    with Client(app) as client:
        assert client.post("/llm/v1/messages", content=BODY).status_code == 200
        assert notes == ["host starts"]
        assert transport.closed == 0
    assert notes == ["host starts", "host stops"]
    assert transport.closed == (0 if way == "mounted beside a lifespan" else 1)


def test_the_lifespan_given_to_starlette() -> None:
    """`lifespan=gateway.lifespan`: it starts, it closes, and the state is the host's to fill."""
    transport = Closed()
    ours = gateway(transport=transport)
    with Client(Starlette(routes=[Mount("/llm", ours)], lifespan=ours.lifespan)) as client:
        assert client.post("/llm/v1/messages", content=BODY).status_code == 200
    assert transport.closed == 1


def test_alone_it_answers_the_lifespan() -> None:
    """Outermost there is nobody else to answer; TestClient fails where nobody does."""
    transport = Closed()
    with Client(gateway(transport=transport)) as client:
        assert client.post("/v1/messages", content=BODY).status_code == 200
        assert transport.closed == 0
    assert transport.closed == 1


def test_a_host_that_knows_no_lifespan() -> None:
    """Django raises on the scope: we answer for it, and close."""

    async def django(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            raise ValueError(f"Django can only handle ASGI/HTTP connections, not {scope['type']}.")
        await PlainTextResponse("the host's")(scope, receive, send)

    transport = Closed()
    with Client(gateway(django, prefix="/llm", transport=transport)) as client:
        assert client.post("/llm/v1/messages", content=BODY).status_code == 200
        assert client.get("/v1/messages").text == "the host's"
    assert transport.closed == 1


def test_a_host_that_passes_over_the_lifespan() -> None:
    """A host that returns without a word knows no lifespan either: we answer for it, and close."""

    async def only_http(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            await PlainTextResponse("the host's")(scope, receive, send)

    transport = Closed()
    with (
        Served(gateway(only_http, prefix="/llm", transport=transport)) as served,
        RawClient(served.port) as client,
    ):
        assert client.call("/llm/v1/messages", [], BODY)[0].status == 200
    assert transport.closed == 1


def test_a_host_that_fails_to_start() -> None:
    """Its failure is not taken for a missing lifespan: the server hears of it."""

    @contextlib.asynccontextmanager
    async def broken(app: Any) -> AsyncIterator[None]:
        raise RuntimeError("no database")
        yield

    with pytest.raises(RuntimeError, match="no database"), Client(gateway(starlette(lifespan=broken))):
        raise AssertionError("started")


def test_a_host_that_fails_to_stop() -> None:
    """We are closed all the same, and the failure is told."""
    transport = Closed()

    @contextlib.asynccontextmanager
    async def broken(app: Any) -> AsyncIterator[None]:
        yield
        raise RuntimeError("cannot stop")

    app = gateway(starlette(lifespan=broken), prefix="/llm", transport=transport)
    with pytest.raises(RuntimeError, match="cannot stop"), Client(app) as client:
        client.post("/llm/v1/messages", content=BODY)
    assert transport.closed == 1


def test_an_async_context_manager() -> None:
    """`async with` gives the gateway itself and closes it; closing again does no harm."""
    transport = Closed()

    async def main() -> None:
        ours = gateway(transport=transport)
        async with ours as entered:
            assert entered is ours
            assert (await ask(entered)).status == 200
        await ours.aclose()

    anyio.run(main)
    assert transport.closed == 1


def test_nothing_is_opened_before_the_first_call(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither making one, nor its lifespan, nor a page makes a client."""

    def unwanted(*args: object, **options: object) -> None:
        raise AssertionError("a client was made")

    monkeypatch.setattr("httpx2.AsyncClient.__init__", unwanted)
    with Client(gateway(transport="httpx")) as client:
        assert client.get("/health").status_code == 200
        assert client.get("/v1/models").status_code == 200
        assert client.post("/v1/messages", content=b"{").status_code == 400


def relaying(upstream: ScriptedUpstream) -> Config:
    toml = f"""
        [upstreams.anthropic]
        dialect = "anthropic"
        base_url = "{upstream.url}"
        [[routes]]
        model = "claude-*"
        targets = ["anthropic"]
        [auth]
        anonymous = true
    """
    return decode_config(toml.encode())


OWN_KEY = [(b"x-api-key", b"sk-ant-own")]


@pytest.mark.parametrize("transport", ["h1", "httpx"])
def test_closing_closes_the_clients_connections(transport: str) -> None:
    """The upstream sees the kept-alive connection close with the host's lifespan."""
    with ScriptedUpstream(lambda _: answer(200, JSON, [MESSAGE])) as upstream:
        with (
            Served(gateway(config=relaying(upstream), transport=transport)) as served,
            RawClient(served.port) as client,
        ):
            for _ in range(3):
                assert client.call("/v1/messages", OWN_KEY, BODY)[0].status == 200
            assert upstream.open_connections == 1
        assert upstream.wait_open(0)


@pytest.mark.parametrize(
    ("transport", "backend"),
    [
        ("httpx", "asyncio"),
        ("httpx", "trio"),
        ("h1", "asyncio"),
        ("aiohttp", "asyncio"),
        ("offline", "asyncio"),
        ("offline", "trio"),
    ],
)
def test_a_second_event_loop(transport: str, backend: str) -> None:
    """The same gateway in one loop after the other, closed in each: a client of the first is never used."""
    with ScriptedUpstream(lambda _: answer(200, JSON, [MESSAGE])) as upstream:
        ours = gateway(config=relaying(upstream), transport=transport)

        async def main() -> list[int]:
            statuses = [(await ask(ours, headers=OWN_KEY)).status for _ in range(3)]
            await ours.aclose()
            statuses.append((await ask(ours, headers=OWN_KEY)).status)  # closed is not the end
            await ours.aclose()
            return statuses

        for _ in range(3):
            assert anyio.run(main, backend=backend) == [200] * 4
        assert upstream.wait_open(0)


def test_a_second_event_loop_of_the_other_kind() -> None:
    """asyncio, trio, asyncio."""
    with ScriptedUpstream(lambda _: answer(200, JSON, [MESSAGE])) as upstream:
        ours = gateway(config=relaying(upstream), transport="httpx")

        async def main() -> int:
            async with ours:
                return (await ask(ours, headers=OWN_KEY)).status

        for backend in ("asyncio", "trio", "asyncio"):
            assert anyio.run(main, backend=backend) == 200


@pytest.mark.parametrize(
    ("transport", "backend"),
    [("auto", "asyncio"), ("httpx", "asyncio"), ("httpx", "trio"), ("offline", "asyncio"), ("offline", "trio")],
)
def test_a_test_client_without_with(transport: str, backend: Any) -> None:
    """Every request has an event loop of its own there, and nobody closes anything.

    Not with aiohttp, which itself warns of a session that is not closed.
    """
    with ScriptedUpstream(lambda _: answer(200, JSON, [MESSAGE], framing="close")) as upstream:
        app = starlette(Mount("/llm", gateway(config=relaying(upstream), transport=transport)))
        client = Client(app, backend=backend)
        client.headers["x-api-key"] = "sk-ant-own"
        for _ in range(3):
            assert client.post("/llm/v1/messages", content=BODY).status_code == 200
        del client, app
        gc.collect()  # whatever complains of not having been closed, complains here


@pytest.mark.parametrize("transport", ["h1", "aiohttp"])
def test_an_asyncio_transport_on_trio_is_refused_clearly(
    transport: str, caplog: pytest.LogCaptureFixture
) -> None:
    """A call gets an error of ours, and the log says why."""
    got = anyio.run(lambda: ask(gateway(transport=transport)), backend="trio")
    assert (got.status, got.error) == (500, "api_error")
    assert "loop" in caplog.text


def test_two_gateways_in_one_app() -> None:
    """Each has its own configuration, hooks and clients; closing one leaves the other open."""
    first, second = Closed(), Closed()
    records: list[CallRecord] = []

    class Keep:
        def after(self, record: CallRecord) -> None:
            records.append(record)

    one, two = gateway(transport=first, hooks=[Keep()]), gateway(transport=second)
    with Client(starlette(Mount("/one", one), Mount("/two", two), lifespan=one.lifespan)) as client:
        assert client.post("/one/v1/messages", content=BODY).status_code == 200
        assert client.post("/two/v1/messages", content=BODY).status_code == 200
    assert (first.closed, second.closed, len(records)) == (1, 0, 1)


def test_a_host_that_hides_disconnects() -> None:
    """Under a BaseHTTPMiddleware a client that leaves still ends the upstream's work."""
    records: list[CallRecord] = []

    class Keep:
        def after(self, record: CallRecord) -> None:
            records.append(record)

    with ScriptedUpstream(lambda _: [Fault.HANG]) as upstream:
        ours = gateway(config=relaying(upstream), transport="httpx", hooks=[Keep()])
        app = starlette(Mount("/llm", ours), lifespan=ours.lifespan)

        async def dispatch(request: Request, call_next: Any) -> Response:
            response: Response = await call_next(request)
            return response

        app.add_middleware(BaseHTTPMiddleware, dispatch=dispatch)
        with Served(app) as served:
            with RawClient(served.port) as client:
                client.post("/llm/v1/messages", OWN_KEY, BODY)
                [received] = upstream.wait_requests(1)
            assert received.cut_off()
    assert [record.ending for record in records] == ["client_gone"]


def test_a_transport_of_ones_own() -> None:
    """Any object with `send` and `aclose` will do."""

    class Canned:
        async def send(self, request: Any) -> TransportResponse:
            return CannedResponse()

        async def aclose(self) -> None:
            return None

    class CannedResponse:
        status = 200
        headers = ((b"content-type", b"application/json"), (b"request-id", b"req_canned"))

        def __init__(self) -> None:
            self.chunks = [b"", MESSAGE]

        async def read(self) -> bytes:
            return self.chunks.pop()

        async def aclose(self) -> None:
            return None

    got = anyio.run(lambda: ask(gateway(transport=Canned())))
    assert (got.status, got.body, got.value(b"request-id")) == (200, MESSAGE, b"req_canned")
