"""Each server with an upstream that says `server` and `date`: the client sees each once at most."""

from __future__ import annotations

import pytest

from tests.matrix.cells import Server
from tests.matrix.environments import environment
from tests.matrix.running import HEADERS, hosting
from tests.matrix.test_matrix import BODY, MESSAGE
from tests.matrix.test_paths import MODULES, ONE_OF_EACH
from tests.servers import JSON, answer

pytestmark = pytest.mark.matrix

SAID = [(b"date", b"Tue, 03 Nov 2026 10:00:00 GMT"), (b"server", b"cloudflare")]


@pytest.mark.parametrize("server", ONE_OF_EACH, ids=lambda server: server.name)
def test_each_once(server: Server) -> None:
    """Neither the upstream's beside the server's own, nor the upstream's alone."""
    with hosting(environment("fastapi"), server, "rooted:mount", modules=MODULES) as host:
        host.upstream.script = lambda received: answer(200, [*JSON, *SAID], [MESSAGE])
        with host.client() as client:
            head, body = client.call("/llm/v1/messages", HEADERS, BODY)
    assert (head.status, body) == (200, MESSAGE)
    for name, value in SAID:
        assert len(head.values(name)) <= 1
        assert head.values(name) != [value]
