"""Apps as their authors write them: sessions, CORS, middlewares, their own tests, and a browser's `fetch`."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from typing import NamedTuple

import pytest

from tests.matrix.cells import SERVERS, Server
from tests.matrix.environments import ROOT, environment, plain_environ
from tests.matrix.running import CONFIG, Hosting, hosting
from tests.matrix.test_matrix import BODY, END, MESSAGE, START, STREAM
from tests.servers import JSON, SSE, Gate, Headers, Received, Step, answer, request

pytestmark = pytest.mark.matrix

MODULES = ["tests/matrix/apps", "tests/hosts"]
SERVER_NAMES = ("uvicorn (httptools, uvloop)", "hypercorn (asyncio)")
CORS_REFUSAL = b'{"type":"error","error":{"type":"authentication_error","message":"CORS requests are refused"}}'
BROWSER = ("origin", "referer", "sec-fetch-site", "sec-fetch-mode", "sec-fetch-dest")
FETCH: Headers = [
    (b"content-type", b"application/json"),
    (b"anthropic-version", b"2023-06-01"),
    (b"accept", b"*/*"),
    (b"origin", b"https://shop.example"),
    (b"referer", b"https://shop.example/cart?token=planted"),
    (b"sec-fetch-site", b"same-site"),
    (b"sec-fetch-mode", b"cors"),
    (b"sec-fetch-dest", b"empty"),
    (b"user-agent", b"Mozilla/5.0"),
]


class Shop(NamedTuple):
    """One of the apps, in its host's environment."""

    app: str
    host: str
    cors: bool = True  # Django answers preflights through a package of its own


SHOPS = [
    Shop("shop_fastapi", "fastapi"),
    Shop("shop_litestar", "litestar"),
    Shop("shop_django", "django-5.2", False),
]


@pytest.mark.smoke
@pytest.mark.parametrize("shop", [pytest.param(shop, id=shop.app) for shop in SHOPS])
def test_the_shops_own_tests_pass(shop: Shop, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Its TestClient and an ASGITransport, with the simulator behind the gateway."""
    folder = tmp_path_factory.mktemp(shop.app)
    (folder / "nexusflow.toml").write_text(CONFIG.format(url="http://127.0.0.1:9"))
    environ = plain_environ(_paths())
    command = [environment(shop.host).python, ROOT / "tests/matrix/apps/shop_tests.py", shop.app]
    done = subprocess.run(command, cwd=folder, env=environ, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout.strip()) == (0, "passed"), done.stderr[-3000:]


@pytest.fixture(
    scope="module",
    params=[
        pytest.param((shop, server), id=f"{shop.app}-{server.name}")
        for shop in SHOPS
        for server in SERVERS
        if server.name in SERVER_NAMES
    ],
)
def shop(request: pytest.FixtureRequest) -> tuple[Shop, Server]:
    chosen: tuple[Shop, Server] = request.param
    return chosen


@pytest.fixture(scope="module")
def host(shop: tuple[Shop, Server]) -> Iterator[Hosting]:
    made = environment(shop[0].host)
    with hosting(made, shop[1], f"{shop[0].app}:app", modules=MODULES) as running:
        if shop[0].host.startswith("django"):
            migrate = [
                made.python,
                "-m",
                "django",
                "migrate",
                "--run-syncdb",
                "--settings",
                "shop_django_settings",
            ]
            subprocess.run(
                migrate, cwd=running.folder, env=plain_environ(_paths()), check=True, capture_output=True
            )
        running.upstream.script = careful
        yield running


def careful(received: Received) -> list[Step]:
    """An upstream that takes whoever has an Origin for a browser, and refuses it, as Anthropic does."""
    if received.values(b"origin"):
        return answer(401, JSON, [CORS_REFUSAL])
    server: Headers = [(b"server", b"upstream"), (b"date", b"Sat, 28 Nov 2026 12:00:00 GMT")]
    if b'"stream":true' in received.body:
        return answer(200, [*SSE, *server], [START, END], framing="chunked")
    return answer(200, [*JSON, *server], [MESSAGE])


def test_a_fetch(shop: tuple[Shop, Server], host: Hosting) -> None:
    """A page's fetch with the session's cookie is served; nothing that the browser added goes upstream."""
    headers = [*FETCH, (b"cookie", log_in(host, "alice"))]
    for body in (BODY, STREAM):
        with host.client() as client:
            head, answered = client.call("/llm/v1/messages", headers, body)
        assert head.status == 200, answered
        assert answered == (START + END if body is STREAM else MESSAGE)
        received = host.upstream.requests[-1]
        assert [name for name in BROWSER if received.values(name.encode())] == []
        assert received.values(b"cookie") == []
        assert len(head.values(b"date")) == len(head.values(b"server")) == 1
        if shop[0].cors:
            assert head.value(b"access-control-allow-origin") == b"https://shop.example"


def test_a_preflight(shop: tuple[Shop, Server], host: Hosting) -> None:
    """The host's CORS middleware answers it before we are asked."""
    if not shop[0].cors:
        pytest.skip("Django leaves CORS to a package of its own")
    asks: Headers = [
        (b"origin", b"https://shop.example"),
        (b"access-control-request-method", b"POST"),
        (b"access-control-request-headers", b"content-type"),
    ]
    with host.client() as client:
        client.send(request("/llm/v1/messages", asks, b"", method="OPTIONS"))
        head = client.head()
    assert head.status in (200, 204)
    assert head.value(b"access-control-allow-origin") == b"https://shop.example"


def test_who_is_not_logged_in(host: Hosting) -> None:
    """The host's own 401 and 403 come in Anthropic's shape, with its words."""
    for cookie, status, kind in ((None, 401, "authentication_error"), ("mallory", 403, "permission_error")):
        headers = FETCH if cookie is None else [*FETCH, (b"cookie", log_in(host, cookie))]
        with host.client() as client:
            head, body = client.call("/llm/v1/messages", headers, BODY)
        assert (head.status, json.loads(body)["error"]["type"]) == (status, kind)


def test_who_leaves_early(host: Hosting) -> None:
    """A client that gives up before the answer leaves no traceback behind the host's middlewares."""
    cookie = log_in(host, "alice")
    gone = len(host.output())
    count = len(host.upstream.requests)
    host.upstream.script = lambda received: [Gate()]
    for _ in range(3):
        with host.client() as client:
            client.post("/llm/v1/messages", [*FETCH, (b"cookie", cookie)], BODY)
            count += 1
            received = host.upstream.wait_requests(count)[-1]
        assert received.cut_off()
    host.upstream.script = careful
    assert host.until(lambda: spent(host)[-1:] == ["client_gone"])
    assert "Traceback" not in host.output()[gone:]


def test_a_real_browser(host: Hosting) -> None:
    """Headless Chromium opens the shop's page, whose fetches are answered, whole and streamed."""
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.skip("no chromium on this machine")
    options = ["--headless", "--no-sandbox", "--disable-gpu", "--virtual-time-budget=8000", "--dump-dom"]
    url = f"http://127.0.0.1:{host.port}/"
    done = subprocess.run([chromium, *options, url], capture_output=True, text=True, timeout=60)
    assert '200 {"id":"msg_1"' in done.stdout, done.stdout[-2000:]
    assert '"type":"message_stop"}' in done.stdout


def log_in(host: Hosting, user: str) -> bytes:
    """The session's cookie of this user."""
    with host.client() as client:
        client.send(request(f"/login/{user}", (), b""))
        head = client.head()
        assert head.status == 200, client.rest()
    return head.values(b"set-cookie")[-1].partition(b";")[0]


def spent(host: Hosting) -> list[str]:
    """How the calls so far ended, as the shop's own page says."""
    return [line["ending"] for line in json.loads(host.get("/spend")[1])]


def _paths() -> dict[str, str]:
    return {"PYTHONPATH": ":".join([str(ROOT), *(str(ROOT / module) for module in MODULES)])}
