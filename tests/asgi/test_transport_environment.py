"""Every transport and what surrounds it: proxies, ~/.netrc, certificates, and the gateway itself."""

from __future__ import annotations

import contextlib
import shutil
import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anyio
import pytest

from nexusflow_asgi import NexusFlow
from nexusflow_core import CallRecord, ConfigError
from nexusflow_core.config import decode_config
from nexusflow_core.errors import (
    UpstreamProtocolError,
    UpstreamUnreachableError,
)
from tests.asgi.asking import BODY, ask
from tests.asgi.transports import (
    OK,
    Kind,
    a_request,
    at,
    each_on_asyncio,
    each_own,
    exchange,
    failure,
    sent,
    without_proxies,
)
from tests.servers import (
    LIMIT,
    ScriptedUpstream,
    answer,
    head,
    refusing_port,
)

# The generators inside httpx and httpx2 are not closed with the response that reads them; trio says so.
pytestmark = pytest.mark.filterwarnings("ignore:Async generator .* was garbage collected:ResourceWarning")


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """No proxy but those that a test sets."""
    without_proxies(monkeypatch)


# Proxies and credentials of the environment


@each_on_asyncio
@pytest.mark.parametrize("variable", ["HTTP_PROXY", "ALL_PROXY"])
def test_a_proxy_of_the_environment(kind: Kind, variable: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The proxy is asked, in absolute form, with every byte of path, query, headers and body."""
    target, headers = "/v1/messages?a=%zz&b=[1]", [(b"x-api-key", b"sk"), (b"x-api-key", b"twice")]
    with ScriptedUpstream(lambda _: OK) as proxy:
        monkeypatch.setenv(variable, proxy.url)
        upstream = at("http://upstream.invalid:8080")
        request = a_request(upstream, target, headers)
        assert kind.use(upstream, lambda t: exchange(t, request))[0] == 200
    [received] = proxy.requests
    assert received.target.decode() == f"http://upstream.invalid:8080{target}"
    assert received.values(b"host") == [b"upstream.invalid:8080"]
    assert received.values(b"x-api-key") == [b"sk", b"twice"]
    assert received.body == b"{}"
    for name in (b"user-agent", b"proxy-authorization", b"cookie", b"authorization"):
        assert received.values(name) == []


@each_on_asyncio
def test_a_proxy_with_a_password(kind: Kind, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its user and password go to the proxy."""
    with ScriptedUpstream(lambda _: OK) as proxy:
        monkeypatch.setenv("HTTP_PROXY", f"http://user:pass@127.0.0.1:{proxy.port}")
        upstream = at("http://upstream.invalid")
        kind.use(upstream, lambda t: exchange(t, a_request(upstream)))
    [received] = proxy.requests
    assert received.values(b"proxy-authorization") == [b"Basic dXNlcjpwYXNz"]


@each_on_asyncio
@pytest.mark.parametrize("exempt", ["*", "localhost,127.0.0.1,.internal"])
def test_an_upstream_that_needs_no_proxy(kind: Kind, exempt: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """NO_PROXY is honoured."""
    with ScriptedUpstream(lambda _: OK) as proxy, ScriptedUpstream(lambda _: OK) as server:
        monkeypatch.setenv("HTTP_PROXY", proxy.url)
        monkeypatch.setenv("NO_PROXY", exempt)
        upstream = at(server.url)
        kind.use(upstream, lambda t: exchange(t, a_request(upstream)))
        assert (len(server.requests), proxy.requests) == (1, [])


@each_on_asyncio
def test_a_proxy_that_refuses(kind: Kind, monkeypatch: pytest.MonkeyPatch) -> None:
    """As unreachable as an upstream that refuses, and no word of the proxy."""
    with refusing_port() as port:
        monkeypatch.setenv("HTTP_PROXY", f"http://user:secret@127.0.0.1:{port}")
        assert type(failure(kind, at("http://upstream.invalid"))) is UpstreamUnreachableError


@each_on_asyncio
def test_a_tunnel_that_is_refused(kind: Kind, monkeypatch: pytest.MonkeyPatch) -> None:
    """For https the proxy is asked for a tunnel; its refusal is an upstream error, never an answer."""
    with ScriptedUpstream(lambda _: answer(403, (), [b"no"], framing="close")) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", proxy.url)
        assert isinstance(
            failure(kind, at("https://upstream.invalid")), UpstreamUnreachableError | UpstreamProtocolError
        )
    [received] = proxy.requests
    assert received.line == b"CONNECT upstream.invalid:443 HTTP/1.1"
    assert b"secret" not in received.line


@each_on_asyncio
def test_no_netrc(kind: Kind, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Passwords of ~/.netrc never go upstream."""
    for name in (".netrc", "_netrc"):
        path = tmp_path / name
        path.write_text("machine 127.0.0.1 login user password secret\ndefault login user password secret\n")
        path.chmod(0o600)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("NETRC", str(tmp_path / ".netrc"))
    assert sent(kind).values(b"authorization") == []


# TLS


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A certificate for localhost that signs itself, and its key."""
    if shutil.which("openssl") is None:
        pytest.skip("needs the openssl command to make a certificate")
    folder = tmp_path_factory.mktemp("ca")
    cert, key = folder / "cert.pem", folder / "key.pem"
    command = (
        "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=localhost"
    )
    subprocess.run(
        [
            *command.split(),
            "-addext",
            "subjectAltName=DNS:localhost,IP:127.0.0.1",
            "-keyout",
            key,
            "-out",
            cert,
        ],
        check=True,
        capture_output=True,
    )
    return cert, key


@contextlib.contextmanager
def tls_server(certificate: tuple[Path, Path]) -> Iterator[int]:
    """Answers one request a connection, over TLS."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)
    stop = threading.Event()

    def serve(listener: socket.socket) -> None:
        while not stop.is_set():
            plain, _ = listener.accept()
            with plain, contextlib.suppress(OSError), context.wrap_socket(plain, server_side=True) as secure:
                received = b""
                while b"\r\n\r\n{}" not in received:
                    if not (data := secure.recv(1 << 16)):
                        break
                    received += data
                else:
                    secure.sendall(head(200, [(b"content-length", b"2"), (b"connection", b"close")]) + b"{}")

    with socket.create_server(("0.0.0.0", 0)) as listener:  # 127.0.0.2 too
        thread = threading.Thread(target=serve, args=(listener,), daemon=True)
        thread.start()
        try:
            yield listener.getsockname()[1]
        finally:
            stop.set()
            socket.create_connection(("127.0.0.1", listener.getsockname()[1])).close()
            thread.join(LIMIT)


@each_own
@pytest.mark.parametrize("host", ["localhost", "127.0.0.1"])
def test_a_ca_of_ones_own(kind: Kind, host: str, certificate: tuple[Path, Path]) -> None:
    """`ca_file` makes an upstream with a certificate of that authority trusted."""
    with tls_server(certificate) as port:
        upstream = at(f"https://{host}:{port}", ca_file=str(certificate[0]))
        assert kind.use(upstream, lambda t: exchange(t, a_request(upstream)))[2] == b"{}"


@each_on_asyncio
def test_an_unknown_ca(kind: Kind, certificate: tuple[Path, Path]) -> None:
    """Without it no byte of the request is sent: unreachable."""
    with tls_server(certificate) as port:
        assert type(failure(kind, at(f"https://127.0.0.1:{port}"))) is UpstreamUnreachableError


@each_own
def test_a_certificate_for_another_host(kind: Kind, certificate: tuple[Path, Path]) -> None:
    """A trusted authority, but not this host's certificate: unreachable."""
    with tls_server(certificate) as port:
        upstream = at(f"https://127.0.0.2:{port}", ca_file=str(certificate[0]))
        with pytest.raises(UpstreamUnreachableError):
            kind.use(upstream, lambda t: exchange(t, a_request(upstream)))


# Through the gateway


class Keep:
    def __init__(self) -> None:
        self.records: list[CallRecord] = []

    def after(self, record: CallRecord) -> None:
        self.records.append(record)


def called(url: str, transport: Any, *, ca_file: str = "", **options: Any) -> tuple[int, str, CallRecord]:
    """One call through a gateway: status, error type and record."""
    extra = f'ca_file = "{ca_file}"' if ca_file else ""
    toml = f"""
        [upstreams.vendor]
        dialect = "anthropic"
        base_url = "{url}"
        {extra}
        [[routes]]
        model = "claude-*"
        targets = ["vendor"]
        [auth]
        anonymous = true
    """
    keep = Keep()

    async def main() -> Any:
        config = decode_config(toml.encode())
        async with NexusFlow(config=config, transport=transport, hooks=[keep]) as gateway:
            options["headers"] = [(b"x-api-key", b"sk-ant-own"), *options.pop("headers", [])]
            return await ask(gateway, **options)

    got = anyio.run(main)
    [record] = keep.records
    return got.status, "" if got.status == 200 else got.error, record


@pytest.mark.parametrize("transport", ["h1", "httpx", "aiohttp"])
def test_a_clients_header_that_is_no_text(transport: str) -> None:
    """It passes, or is the client's fault: 400, never a 500."""
    with ScriptedUpstream(lambda _: OK) as server:
        status, kind, record = called(server.url, transport, headers=[(b"x-title", b"caf\xe9")])
    if status != 200:
        assert (status, kind) == (400, "invalid_request_error")
        assert record.status == 400


@pytest.mark.parametrize("transport", ["h1", "httpx", "aiohttp"])
def test_a_clients_query_beyond_all_measure(transport: str) -> None:
    """It passes, or is the client's fault, never a 500."""
    with ScriptedUpstream(lambda _: OK) as server:
        status, _, record = called(server.url, transport, query=b"a=" + b"x" * 70_000, body=BODY)
    assert status in (200, 400, 414)
    assert record.status == status


@pytest.mark.parametrize("transport", ["h1", "httpx", "aiohttp"])
def test_a_ca_file_that_is_missing(transport: str, tmp_path: Path) -> None:
    """Said when the gateway is made, with its place in the file; not at the first call."""
    with pytest.raises(ConfigError, match=r"upstreams\.vendor\.ca_file"):
        called("https://127.0.0.1:1", transport, ca_file=str(tmp_path / "none.pem"))


@pytest.mark.parametrize("content", [b"", b"no certificate", b"-----BEGIN CERTIFICATE-----\nAAAA\n"])
@pytest.mark.parametrize("transport", ["h1", "httpx", "aiohttp"])
def test_a_ca_file_that_is_none(transport: str, content: bytes, tmp_path: Path) -> None:
    """The same: else each call would be a 500."""
    path = tmp_path / "ca.pem"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=r"upstreams\.vendor\.ca_file.*contains no certificate"):
        called("https://127.0.0.1:1", transport, ca_file=str(path))
