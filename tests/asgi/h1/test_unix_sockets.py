"""Upstreams on a unix socket: `unix:/run/vllm.sock`, and what else may be called so."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anyio
import pytest

from nexusflow_asgi import NexusFlow
from nexusflow_core import ConfigError
from nexusflow_core.config import decode_config
from tests.asgi.asking import ask
from tests.asgi.transports import OK, without_proxies
from tests.servers import ScriptedUpstream

CONFIG = """
[upstreams.local]
dialect = "{dialect}"
base_url = "unix:{path}"
auth = "none"
[[routes]]
model = "claude-*"
targets = ["local"]
[auth]
anonymous = true
"""


@pytest.fixture
def path(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A place for a socket. pytest's own folders have longer names than a socket may."""
    without_proxies(monkeypatch)
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        yield str(Path(folder) / "a.sock")


def config(path: str, dialect: str = "anthropic") -> Any:
    return decode_config(CONFIG.format(path=path, dialect=dialect).encode())


@pytest.mark.parametrize(
    ("own", "dialect", "target"),
    [
        ("", "anthropic", b"/v1/messages"),
        (":/gw", "anthropic", b"/gw/v1/messages"),
        (":/v1", "openai-chat", b"/v1/chat/completions"),
    ],
)
@pytest.mark.parametrize("uvloop", [False, True], ids=["asyncio", "uvloop"])
def test_a_call(
    path: str, own: str, dialect: str, target: bytes, uvloop: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server gets the path behind the second colon, and `host: localhost`; no proxy stands between."""
    monkeypatch.setenv("ALL_PROXY", "http://proxy.invalid:1")

    async def main() -> list[int]:
        async with NexusFlow(config=config(path + own, dialect)) as gateway:
            return [(await ask(gateway)).status for _ in range(3)]

    with ScriptedUpstream(lambda _: OK, path=path) as server:
        anyio.run(main, backend_options={"use_uvloop": uvloop})
        assert server.accepted == 1
        assert [received.target for received in server.requests] == [target] * 3
        assert server.requests[0].values(b"host") == [b"localhost"]


def test_nobody_listens(path: str) -> None:
    """As on a port: a 502 that says nothing of the path."""

    async def main() -> Any:
        async with NexusFlow(config=config(path)) as gateway:
            return await ask(gateway)

    got = anyio.run(main)
    assert (got.status, got.error) == (502, "api_error")
    assert path.encode() not in got.body


@pytest.mark.parametrize("transport", ["httpx", "aiohttp"])
def test_another_transport(path: str, transport: Any) -> None:
    """It cannot, which is said at the start."""
    with pytest.raises(ConfigError, match=r"upstreams\.local\.base_url: a unix socket needs the transport h1"):
        NexusFlow(config=config(path), transport=transport)


def test_the_default_on_trio(path: str) -> None:
    """There it is httpx, so the call fails with a clear error instead of going elsewhere."""

    async def main() -> Any:
        return await ask(NexusFlow(config=config(path)))

    got = anyio.run(main, backend="trio")
    assert got.status == 500
