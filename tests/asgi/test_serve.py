"""`nexusflow serve` as strangers, operators and process managers meet it: its own process, real sockets."""

from __future__ import annotations

import json

import pytest

from tests.asgi.asking import BODY
from tests.asgi.serving import serving
from tests.servers import RawClient, request

STREAM = BODY.replace(b'"model"', b'"stream":true,"model"')


@pytest.mark.parametrize("workers", ["1", "2"])
def test_it_is_bounded_before_a_request(workers: str) -> None:
    """Headers that never end and a long URL are refused while they arrive, with every number of workers."""
    with serving("--offline", "--workers", workers) as running:
        with RawClient(running.port) as client:
            client.send(b"GET /" + b"a" * 20_000)
            head, body = client.head(), client.rest()
            assert (head.status, json.loads(body)["error"]["type"]) == (414, "invalid_request_error")
        with RawClient(running.port) as client:
            client.send(b"GET /health HTTP/1.1\r\n" + b"x: 1\r\n" * 28_000)
            assert client.head().status == 431


def test_it_keeps_the_body_of_a_jdk_client() -> None:
    """An offer of HTTP/2 on the plain port changes nothing."""
    offer = [
        (b"Connection", b"Upgrade, HTTP2-Settings"),
        (b"Upgrade", b"h2c"),
        (b"HTTP2-Settings", b"AAEAAEAA"),
    ]
    with serving("--offline") as running, RawClient(running.port) as client:
        client.send(request("/v1/messages", offer, STREAM))
        assert client.head().status == 200
        assert client.rest().endswith(b'data: {"type":"message_stop"}\n\n')
