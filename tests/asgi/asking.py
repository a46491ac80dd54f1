"""Asks an ASGI app in process, with every byte of the scope in the test's hand; on asyncio and on trio."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, NamedTuple

import anyio

from nexusflow_core.config import Config, decode_config
from tests.planted import assert_no_key

LIMIT = 20.0
MODEL = "claude-haiku-4-5"
BODY = b'{"model":"%s","max_tokens":16,"messages":[{"role":"user","content":"hello"}]}' % MODEL.encode()
OFFLINE = b"""
[upstreams.sim]
dialect = "anthropic"
api_key = "env:SIM_KEY"

[[routes]]
model = "claude-*"
targets = ["sim"]
[[routes]]
model = "claude-haiku-4-5"
targets = ["sim"]

[auth]
anonymous = true
"""

Headers = Sequence[tuple[bytes, bytes]]


class Answer(NamedTuple):
    status: int
    headers: list[tuple[bytes, bytes]]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def error(self) -> str:
        """The error's wire type; fails for what is no error in Anthropic's shape."""
        document = self.json
        assert set(document) == {"type", "error", "request_id"}, document
        assert document["type"] == "error"
        return str(document["error"]["type"])

    def value(self, name: bytes) -> bytes | None:
        return next((value for key, value in self.headers if key == name), None)


def offline() -> Config:
    """Anyone may call, the simulator answers; no environment is needed."""
    config = decode_config(OFFLINE)
    config.resolve({"SIM_KEY": "sk-ant-simulated"})
    return config


def http_scope(
    path: str = "/v1/messages",
    *,
    method: str = "POST",
    headers: Headers = (),
    query: bytes = b"",
    root_path: str | None = "",
) -> dict[str, Any]:
    scope = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "query_string": query,
        "headers": [(b"host", b"localhost"), *_as_json(method, headers), *headers],
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 80),
    }
    return scope if root_path is None else {**scope, "root_path": root_path}


def _as_json(method: str, headers: Headers) -> Headers:
    """What every client says of its body, unless the test says something else of it."""
    said = any(name == b"content-type" for name, _ in headers)
    return [] if said or method != "POST" else [(b"content-type", b"application/json")]


async def ask(
    app: Any,
    path: str = "/v1/messages",
    *,
    method: str = "POST",
    headers: Headers = (),
    body: bytes = BODY,
    query: bytes = b"",
    root_path: str | None = "",
) -> Answer:
    """One request by a client that stays until its answer is over."""
    scope = http_scope(path, method=method, headers=headers, query=query, root_path=root_path)
    return await send(app, scope, body)


async def send(app: Any, scope: dict[str, Any], body: bytes = b"") -> Answer:
    incoming = [{"type": "http.request", "body": body, "more_body": False}]
    sent: list[dict[str, Any]] = []
    over = anyio.Event()

    async def receive() -> dict[str, Any]:
        if incoming:
            return incoming.pop()
        await over.wait()
        return {"type": "http.disconnect"}

    async def collect(message: dict[str, Any]) -> None:
        sent.append(message)
        if message["type"] == "http.response.body" and not message.get("more_body", False):
            over.set()

    with anyio.fail_after(LIMIT):
        await app(scope, receive, collect)
    assert [message["type"] for message in sent[:1]] == ["http.response.start"], "no answer"
    assert over.is_set(), "the answer has no end"
    pieces = [message.get("body", b"") for message in sent[1:]]
    answer = Answer(sent[0]["status"], list(sent[0]["headers"]), b"".join(pieces))
    assert_no_key(answer.body + repr(answer.headers).encode(), "an answer")
    return answer
