"""The table of new features is made by trying: what passes says yes, and what is lost is named."""

import json
from collections.abc import Iterator
from contextlib import AbstractContextManager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import httpx2
import pytest

from benchmarks.features.rows import FEATURES, Feature
from benchmarks.features.trial import PASSES, tried
from benchmarks.features.upstream import Upstream
from benchmarks.gateways.contenders import Contender

NOBODY = Contender(lambda site: (_ for _ in ()).throw(AssertionError))


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    with Upstream() as started:
        yield started


@pytest.mark.parametrize("feature", FEATURES, ids=lambda feature: feature.name)
def test_without_a_gateway_everything_passes(upstream: Upstream, feature: Feature) -> None:
    """The upstream answers each feature whole, so a loss in the table is the gateway's."""
    assert tried(NOBODY, upstream.port, upstream, feature) == PASSES


def test_a_gateway_that_rewrites_loses(upstream: Upstream) -> None:
    """One that sends and answers only what it knows is named with what it lost."""
    with _Rewriting(upstream.port) as rewriting:
        found = {one.name: tried(NOBODY, rewriting.port, upstream, one) for one in FEATURES}
    assert "`thread` of the request" in found["message threads"]
    assert "`usage.fallback_credit`" in found["fallback credit"]
    assert "header `anthropic-version`" in found["API version 2026-10-21"]
    assert "bytes of the request" in found["every byte of request and answer"]
    assert "block `invented_block`" in found["a field and an event of the future"]
    assert "status 404" in found["Message Batches"]
    assert found["prefill of the answer"] == PASSES


class _Rewriting(AbstractContextManager["_Rewriting"]):
    """A gateway that knows six members of a request and of an answer, and no stream."""

    def __init__(self, upstream: int) -> None:
        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["content-length"])))
                if self.path != "/v1/messages":
                    self.send_error(404)
                    return
                known = {
                    name: body[name] for name in ("model", "max_tokens", "messages", "stream") if name in body
                }
                answer = httpx2.post(f"http://127.0.0.1:{upstream}/v1/messages", json=known)
                data = answer.content
                if "stream" not in known:
                    message = answer.json()
                    message = {name: message[name] for name in ("id", "type", "role", "model", "stop_reason")}
                    data = json.dumps({**message, "content": [], "usage": {}}).encode()
                self.send_response(200)
                self.send_header("content-type", answer.headers["content-type"])
                self.send_header("content-length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, format: str, *values: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)

    def __enter__(self) -> "_Rewriting":
        Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    @property
    def port(self) -> int:
        return self._server.server_port
