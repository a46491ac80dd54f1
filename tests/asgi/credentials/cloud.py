"""A cloud in this process that accepts certain tokens, and a gateway that fetches its credentials."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from nexusflow_asgi import NexusFlow
from nexusflow_core import decode_config
from nexusflow_core.upstream import Headers, UpstreamRequest, header
from tests.servers import RecordingHook

__all__ = ["ANSWER", "Cloud", "Tokens", "in_an_hour", "two_clouds"]

ANSWER = b'{"type":"message","id":"m","model":"claude-haiku-4-5","usage":{"input_tokens":3,"output_tokens":1}}'

CONFIG = """
[upstreams.foundry]
dialect = "anthropic"
door = "foundry"
resource = "acme"
[upstreams.other]
dialect = "anthropic"
door = "aws"
region = "us-east-1"
workspace = "wrkspc_1"
api_key = "env:OTHER_KEY"
[[routes]]
model = "claude-haiku-4-5"
targets = ["foundry"]
[[routes]]
model = "both"
targets = ["foundry", "other/claude-haiku-4-5"]
[[routes]]
model = "other"
targets = ["other/claude-haiku-4-5"]
[retry]
attempts = 2
backoff = 0
[auth]
anonymous = true
"""


def in_an_hour() -> datetime:
    return datetime.now(UTC) + timedelta(hours=1)


class Cloud:
    """A transport that answers with 200 to `accepted` tokens, and with an error of `status` to others."""

    def __init__(self, accepted: Callable[[str], bool] = lambda token: True, status: int = 401) -> None:
        self.requests: list[Headers] = []
        self.closed = 0
        self.good = True
        """For a test that changes its mind."""
        self._accepted, self._status = accepted, status

    async def send(self, request: UpstreamRequest) -> Any:
        self.requests.append(list(request.headers))
        token = (header(request.headers, b"authorization") or b"").decode().removeprefix("Bearer ")
        good = request.upstream.name == "other" or self._accepted(token)
        body = ANSWER if good else b'{"error":{"code":"x","message":"the token %s is bad"}}' % token.encode()
        return _Answer(self, 200 if good else self._status, body)

    async def aclose(self) -> None:
        return None

    def tokens(self) -> list[str]:
        """The tokens in the order of their requests."""
        return [
            (header(sent, b"authorization") or b"-").decode().removeprefix("Bearer ") for sent in self.requests
        ]


class _Answer:
    headers: Headers = ((b"content-type", b"application/json"), (b"request-id", b"req-1"))

    def __init__(self, cloud: Cloud, status: int, body: bytes) -> None:
        self.status = status
        self._cloud, self._chunks = cloud, [body]

    async def read(self) -> bytes:
        return self._chunks.pop() if self._chunks else b""

    async def aclose(self) -> None:
        self._cloud.closed += 1


class Tokens:
    """A host's function: gives `sk-token-1`, `sk-token-2` and so on, each with the next of these expiries."""

    def __init__(self, *expiries: datetime | None) -> None:
        self.calls = 0
        self._expiries = list(expiries)

    async def __call__(self) -> tuple[Mapping[str, str], datetime | None]:
        self.calls += 1
        expiry = self._expiries[min(self.calls, len(self._expiries)) - 1] if self._expiries else in_an_hour()
        return {"Authorization": f"Bearer sk-token-{self.calls}"}, expiry


def two_clouds(
    cloud: Any, fetch: Any, hook: RecordingHook | None = None, *, patience: float = 10.0
) -> NexusFlow:
    """A gateway with a cloud whose credential is fetched within `patience` seconds, and one with a key."""
    text = CONFIG.replace('resource = "acme"', f'resource = "acme"\ntimeouts = {{ connect = {patience} }}')
    config = decode_config(text.encode())
    config.resolve({"OTHER_KEY": "sk-other-key"})
    return NexusFlow(
        config=config, credentials={"foundry": fetch}, transport=cloud, hooks=[hook] if hook is not None else []
    )
