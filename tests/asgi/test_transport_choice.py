"""Which transport serves by default, and what a failed connection leaves in the record and the log."""

from __future__ import annotations

import importlib.util
import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import anyio
import pytest

from nexusflow_asgi import NexusFlow
from nexusflow_asgi.transports import transport_factory
from nexusflow_asgi.transports.aiohttp import AiohttpTransport
from nexusflow_asgi.transports.h1 import H1Transport
from nexusflow_asgi.transports.httpx import HttpxTransport
from nexusflow_core import CallRecord, ConfigError
from nexusflow_core.config import decode_config
from tests.asgi.asking import ask
from tests.asgi.test_transport_environment import certificate, tls_server
from tests.asgi.transports import at, without_proxies
from tests.servers import Fault, ScriptedUpstream, Step, chunk, head, refusing_port

__all__ = ["certificate"]

# The generators inside httpx and httpx2 are not closed with the response that reads them; trio says so.
pytestmark = pytest.mark.filterwarnings("ignore:Async generator .* was garbage collected:ResourceWarning")


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """No proxy but those that a test sets."""
    without_proxies(monkeypatch)


CONFIG = """
[upstreams.vendor]
dialect = "anthropic"
base_url = "{url}"
timeouts = {{ connect = 0.5 }}
[[routes]]
model = "claude-*"
targets = ["vendor"]
[retry]
attempts = 1
[auth]
anonymous = true
"""


# The default


@pytest.mark.parametrize(("backend", "kind"), [("asyncio", H1Transport), ("trio", HttpxTransport)])
def test_the_default_by_event_loop(backend: str, kind: type) -> None:
    """h1 on asyncio where httptools is installed, httpx on trio."""

    async def work() -> None:
        transport = transport_factory("auto")(at("http://x"))
        assert type(transport) is kind
        await transport.aclose()

    anyio.run(work, backend=backend)


@pytest.mark.parametrize(
    ("missing", "name", "kind"),
    [({"httptools"}, "aiohttp", AiohttpTransport), ({"httptools", "aiohttp"}, "httpx", HttpxTransport)],
)
def test_without_a_library(missing: set[str], name: str, kind: type, monkeypatch: pytest.MonkeyPatch) -> None:
    """The default is the next best then, and what needs the library is a configuration error by name."""
    found = importlib.util.find_spec
    monkeypatch.setattr("importlib.util.find_spec", lambda it: None if it in missing else found(it))

    async def work() -> None:
        transport = transport_factory("auto")(at("http://x"))
        assert type(transport) is kind
        await transport.aclose()

    anyio.run(work)
    gateway = NexusFlow(config=decode_config(CONFIG.format(url="http://x").encode()))
    assert repr(gateway) == f"<NexusFlow transport={name!r}>"
    with pytest.raises(ConfigError, match="httptools is not installed"):
        transport_factory("h1")


def test_the_repr_says_which() -> None:
    """The gateway's repr names its transport, and nothing secret."""
    config = decode_config(CONFIG.format(url="http://x").encode())
    assert repr(NexusFlow(config=config)) == "<NexusFlow transport='h1'>"
    assert repr(NexusFlow(config=config, transport="httpx")) == "<NexusFlow transport='httpx'>"
    mine: Any = object()
    assert repr(NexusFlow(config=config, transport=mine)) == "<NexusFlow transport='object'>"


# Why there was no answer


class Keep:
    def __init__(self) -> None:
        self.records: list[CallRecord] = []

    def after(self, record: CallRecord) -> None:
        self.records.append(record)


def attempt_of(url: str, transport: str, backend: str) -> tuple[str, CallRecord]:
    """The reason of a call's only attempt, and its record. The client never hears the cause."""
    keep = Keep()

    async def main() -> Any:
        config = decode_config(CONFIG.format(url=url).encode())
        async with NexusFlow(config=config, transport=transport, hooks=[keep]) as gateway:  # type: ignore[arg-type]
            return await ask(gateway, headers=[(b"x-api-key", b"sk-ant-own")])

    got = anyio.run(main, backend=backend)
    [record] = keep.records
    [attempt] = record.attempts
    assert got.error in ("api_error", "timeout_error")
    assert b"Errno" not in got.body
    assert b"127.0.0.1" not in got.body
    return attempt.reason, record


WAYS = [("h1", "asyncio"), ("httpx", "asyncio"), ("httpx", "trio"), ("aiohttp", "asyncio")]
each_way = pytest.mark.parametrize(("transport", "backend"), WAYS)


@each_way
def test_a_name_that_is_not_found(transport: str, backend: str, caplog: pytest.LogCaptureFixture) -> None:
    """`dns`, and the resolver's words in the log, as a warning."""
    reason, record = attempt_of("http://nowhere.invalid", transport, backend)
    assert (reason, record.error_type) == ("dns", "api_error")
    said(caplog, "dns", record)


@each_way
def test_a_port_that_refuses(transport: str, backend: str, caplog: pytest.LogCaptureFixture) -> None:
    """`refused`, and the operating system's words in the log."""
    with refusing_port() as port:
        reason, record = attempt_of(f"http://127.0.0.1:{port}", transport, backend)
    assert reason == "refused"
    said(caplog, "refused", record)


@each_way
def test_a_certificate_that_is_not_trusted(
    transport: str, backend: str, certificate: tuple[Path, Path], caplog: pytest.LogCaptureFixture
) -> None:
    """`certificate`, and what is wrong with it in the log."""
    with tls_server(certificate) as port:
        reason, record = attempt_of(f"https://127.0.0.1:{port}", transport, backend)
    assert reason == "certificate"
    said(caplog, "certificate", record)


@each_way
def test_tls_with_a_server_that_has_none(transport: str, backend: str) -> None:
    """`tls`."""
    with ScriptedUpstream(lambda _: (), greeting=[b"220 mail.example ESMTP\r\n", Fault.HANG]) as server:
        reason, _ = attempt_of(server.url.replace("http:", "https:"), transport, backend)
    assert reason == "tls"


@each_way
def test_a_proxy_that_says_no(transport: str, backend: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """`proxy` where it refuses the tunnel."""
    refusal = b"HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
    with ScriptedUpstream(lambda _: [refusal, Fault.CLOSE]) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", proxy.url.replace("http://", "http://user:hidden@"))
        reason, record = attempt_of("https://api.example", transport, backend)
    assert reason == "proxy"
    assert "hidden" not in repr(record)


def script(*steps: Step) -> Callable[[Any], Iterator[Step]]:
    return lambda _: iter(steps)


TYPE, CHUNKED = (b"content-type", b"application/json"), (b"transfer-encoding", b"chunked")
BROKEN: list[tuple[str, list[Step]]] = [
    ("reset", [Fault.RESET]),
    ("closed", [Fault.CLOSE]),
    ("garbage", [b"SSH-2.0-OpenSSH_9.6\r\n\r\n", Fault.CLOSE]),
    ("closed", [head(200, [TYPE, (b"content-length", b"9")]), Fault.CLOSE]),
    ("closed", [head(200, [TYPE, CHUNKED]), chunk(b"{"), Fault.CLOSE]),
]


@each_way
@pytest.mark.parametrize(("word", "steps"), BROKEN, ids=range(len(BROKEN)))
def test_a_connection_that_breaks(
    transport: str, backend: str, word: str, steps: list[Step], caplog: pytest.LogCaptureFixture
) -> None:
    """`reset`, `closed` or `garbage`; the log has it at INFO."""
    caplog.set_level(logging.INFO, "nexusflow")
    with ScriptedUpstream(script(*steps)) as server:
        reason, record = attempt_of(server.url, transport, backend)
    assert reason == word
    assert any(word in line and record.request_id in line for line in caplog.messages)


def said(caplog: pytest.LogCaptureFixture, word: str, record: CallRecord) -> None:
    """One warning of the call has the word, and more than the client was told."""
    [line] = [it.getMessage() for it in caplog.records if it.levelno == logging.WARNING]
    assert record.request_id in line
    cause = line.partition(f": {word}: ")[2]
    assert len(cause) > 10
