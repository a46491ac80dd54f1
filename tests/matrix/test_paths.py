"""Behind a proxy's path, with slashes doubled and added, half a segment: only the documented paths answer."""

from __future__ import annotations

import json

import pytest

from tests.matrix.cells import FORMS, SERVERS, Form, Server
from tests.matrix.environments import environment
from tests.matrix.running import HEADERS, hosting
from tests.matrix.test_matrix import BODY, MESSAGE
from tests.servers import JSON, answer

pytestmark = pytest.mark.matrix

MODULES = ["tests/hosts", "tests/matrix/apps"]
ONE_OF_EACH = [
    server
    for server in SERVERS
    if server.name
    in ("uvicorn (h11, asyncio)", "granian (asyncio)", "hypercorn (asyncio)", "hypercorn (trio)", "daphne")
]


@pytest.mark.parametrize("server", ONE_OF_EACH, ids=lambda server: server.name)
@pytest.mark.parametrize("way", ["mount", "told", "middleware", "alone"])
def test_a_root_path_from_the_server(way: str, server: Server) -> None:
    """A proxy takes /px away, and the server is told of it: the same paths answer, and no others."""
    made = environment("fastapi")
    extra = () if way == "told" else (server.root_path, "/px")
    with hosting(made, server, f"rooted:{way}", extra=extra, modules=MODULES) as host:
        host.upstream.script = lambda received: answer(200, JSON, [MESSAGE])
        front = "/px" if server.package == "granian" and way != "told" else ""  # granian takes it away itself
        for path in ("/llm/v1/messages", "/llm//v1/messages/"):
            with host.client() as client:
                head, body = client.call(front + path, HEADERS, BODY)
            assert (head.status, body) == (200, MESSAGE), path
        with host.client() as client:
            head, body = client.call(f"{front}/llm/v1/nothing", HEADERS, BODY)
        assert (head.status, json.loads(body)["error"]["type"]) == (404, "not_found_error")
        if way != "alone":
            with host.client() as client:
                head, body = client.call(f"{front}/other/v1/messages", HEADERS, BODY)
            assert (head.status, json.loads(body)) == (404, {"detail": "Not Found"})
        assert len(host.upstream.requests) == 2


@pytest.mark.parametrize("form", FORMS[:-1], ids=lambda form: f"{form.host} {form.way}")
def test_slashes_and_halves(form: Form) -> None:
    """Doubled and trailing slashes are served; half a segment, another case, a longer path are not."""
    made = environment(form.host, form.python)
    served = ["/v1/messages", "//v1/messages", "/v1//messages", "/v1/messages/", "/messages"]
    not_served = ["foo/v1/messages", "v1/messages", "/V1/Messages", "/v1/messages/x", "/v1/message"]
    with hosting(made, ONE_OF_EACH[0], form.app) as host:
        host.upstream.script = lambda received: answer(200, JSON, [MESSAGE])
        for tail in served:
            with host.client() as client:
                head, body = client.call(form.prefix + tail, HEADERS, BODY)
            assert (head.status, body) == (200, MESSAGE), tail
        for tail in not_served:
            with host.client() as client:
                head, body = client.call(form.prefix + tail, HEADERS, BODY)
            assert head.status in (404, 405), tail
