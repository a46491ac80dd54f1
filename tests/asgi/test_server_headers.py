"""`server` and `date`: each answer has one of each at most, whoever of server and upstream says them."""

from __future__ import annotations

from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.routing import Mount

from nexusflow_asgi import NexusFlow
from nexusflow_core.config import decode_config
from tests.servers import JSON, SSE, RawClient, ScriptedUpstream, Served, answer

CONFIG = """
[upstreams.one]
dialect = "anthropic"
base_url = "{url}"
auth = "none"
[[routes]]
model = "*"
targets = ["one"]
[auth]
anonymous = true
"""
BODY = b'{"model":"m","max_tokens":9,"messages":[{"role":"user","content":"Hi"}]}'
MESSAGE = b'{"type":"message","id":"m","usage":{"input_tokens":3,"output_tokens":1}}'
ERROR = b'{"type":"error","error":{"type":"invalid_request_error","message":"no"}}'
STREAM = b"".join(
    b'event: %b\ndata: {"type":"%b","message":{}}\n\n' % (kind, kind)
    for kind in (b"message_start", b"message_stop")
)
SAID = [(b"Date", b"Tue, 03 Nov 2026 10:00:00 GMT"), (b"Server", b"cloudflare")]
ANSWERS = {
    "sync": answer(200, [*JSON, *SAID], [MESSAGE]),
    "stream": answer(200, [*SSE, *SAID], [STREAM]),
    "error": answer(400, [*JSON, *SAID], [ERROR]),
}


def headers_of(
    said: str, *, own_headers: bool, mounted: bool, **options: Any
) -> tuple[list[bytes], list[bytes]]:
    """The values of `server` and of `date` that a client sees."""
    with ScriptedUpstream(lambda _: ANSWERS[said]) as upstream:
        gateway = NexusFlow(config=decode_config(CONFIG.format(url=upstream.url).encode()), **options)
        app = Starlette(routes=[Mount("/llm", gateway)], lifespan=gateway.lifespan) if mounted else gateway
        with Served(app, own_headers=own_headers) as served, RawClient(served.port) as client:
            got, _ = client.call("/llm/v1/messages" if mounted else "/v1/messages", JSON, BODY)
    assert got.status in (200, 400)
    return got.values(b"server"), got.values(b"date")


@pytest.mark.parametrize("transport", ["h1", "httpx"])
@pytest.mark.parametrize("mounted", [True, False])
@pytest.mark.parametrize("said", ANSWERS)
def test_under_a_server_that_says_its_own(said: str, mounted: bool, transport: Any) -> None:
    """Strict clients refuse an answer that has either twice; the server's own stay."""
    server, date = headers_of(said, own_headers=True, mounted=mounted, transport=transport)
    assert (server, len(date)) == ([b"uvicorn"], 1)
    assert date != [b"Tue, 03 Nov 2026 10:00:00 GMT"]


@pytest.mark.parametrize("said", ANSWERS)
def test_an_upstreams_own_pass_where_they_are_asked_for(said: str) -> None:
    """As `nexusflow serve` does, whose server adds none."""
    found = headers_of(said, own_headers=False, mounted=False, upstream_server_headers=True)
    assert found == ([b"cloudflare"], [b"Tue, 03 Nov 2026 10:00:00 GMT"])
