"""The proxies of the environment: read once, understood alike by every transport, refused at the start."""

from __future__ import annotations

from pathlib import Path

import anyio
import pytest

from nexusflow_asgi import NexusFlow
from nexusflow_asgi.cli import main
from nexusflow_asgi.transports import Proxies, transport_factory
from nexusflow_core import ConfigError
from nexusflow_core.config import decode_config
from tests.asgi.transports import OK, a_request, at, exchange, without_proxies
from tests.servers import ScriptedUpstream

CONFIG = """
[upstreams.inner]
dialect = "anthropic"
base_url = "{url}"
auth = "none"
[[routes]]
model = "claude-*"
targets = ["inner"]
[auth]
anonymous = true
"""
by_name = pytest.mark.parametrize("name", ["h1", "httpx", "aiohttp", "auto"])


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """No proxy but those that a test sets."""
    without_proxies(monkeypatch)


EXEMPT = [
    ("10.0.0.0/8", "http://10.1.2.3:8000", True),
    ("10.0.0.0/8", "http://11.1.2.3:8000", False),
    ("10.0.0.0/8", "http://ten.example", False),
    ("10.1.2.3", "https://10.1.2.3", True),
    ("fd00::/8", "http://[fd12::1]:8000", True),
    ("[fd12::1]", "http://[fd12::1]:8000", True),
    ("fd12::1", "http://[fd12:0:0:0:0:0:0:1]", True),
    ("::1/128", "http://127.0.0.1", False),
    ("[fd12::1]:8000", "http://[fd12::1]:8000", True),
    ("[fd12::1]:8000", "http://[fd12::1]:8001", False),
    ("10.1.2.3:80", "http://10.1.2.3", True),
    ("10.1.2.3:80", "https://10.1.2.3", False),
    ("inner.example", "https://inner.example", True),
    ("inner.example", "https://a.b.inner.example", True),
    ("inner.example", "https://notinner.example", False),
    (".inner.example", "https://a.inner.example", True),
    ("*.inner.example", "https://a.inner.example", True),
    ("INNER.example.", "https://inner.EXAMPLE", True),
    ("inner.example:8443", "https://inner.example:8443", True),
    ("inner.example:443", "https://inner.example", True),
    ("inner.example:8443", "https://inner.example", False),
    ("https://inner.example", "https://inner.example", True),
    ("*", "https://anything.example", True),
    (" a.example , inner.example ", "https://inner.example", True),
    ("a.example,,", "https://inner.example", False),
    ("10.0.0.0/99", "https://10.0.0.0", False),
    ("", "https://inner.example", False),
]


@pytest.mark.parametrize(("listed", "url", "exempt"), EXEMPT)
def test_hosts_that_need_no_proxy(listed: str, url: str, exempt: bool) -> None:
    """Hosts, subdomains, ports, addresses, networks and a star."""
    proxies = Proxies({"http": "http://proxy:3128", "https": "http://proxy:3128", "no": listed})
    assert proxies.for_url(url) == (None if exempt else "http://proxy:3128")


@pytest.mark.parametrize(
    ("found", "url", "proxy"),
    [
        ({"http": "http://a"}, "https://x", None),
        ({"https": "http://a", "all": "http://b"}, "https://x", "http://a"),
        ({"all": "http://b"}, "https://x", "http://b"),
        ({"all": "socks5://b", "https": "http://a"}, "https://x", "http://a"),
        ({"https": "proxy:3128"}, "https://x", "http://proxy:3128"),
        ({"https": " http://a:1 "}, "https://x", "http://a:1"),
        ({"https": ""}, "https://x", None),
    ],
)
def test_which_proxy(found: dict[str, str], url: str, proxy: str | None) -> None:
    """The scheme's own before the one for all; a missing scheme is http."""
    assert Proxies(found).for_url(url) == proxy


@by_name
@pytest.mark.parametrize("scheme", ["socks5", "socks5h", "socks4", "ftp"])
def test_a_proxy_that_speaks_no_http(name: str, scheme: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Refused when the gateway is made, with the variable and the upstream; its password is not shown."""
    monkeypatch.setenv("ALL_PROXY", f"{scheme}://user:hidden@127.0.0.1:1080")
    config = decode_config(CONFIG.format(url="https://api.example").encode())
    with pytest.raises(ConfigError, match=rf"upstreams\.inner: ALL_PROXY names a {scheme} proxy") as caught:
        NexusFlow(config=config, transport=name)  # type: ignore[arg-type]
    assert "hidden" not in str(caught.value)


@pytest.mark.parametrize("value", ["http://", "http://[::1", "http://host:port", "://"])
def test_a_proxy_that_is_none(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Refused at the start as well."""
    monkeypatch.setenv("HTTPS_PROXY", value)
    config = decode_config(CONFIG.format(url="https://api.example").encode())
    with pytest.raises(ConfigError, match="HTTPS_PROXY"):
        NexusFlow(config=config)


def test_socks_that_concerns_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """Offline, or where `NO_PROXY` lists the upstream, it is no error."""
    monkeypatch.setenv("ALL_PROXY", "socks5://127.0.0.1:1080")
    config = decode_config(CONFIG.format(url="https://api.example").encode())
    NexusFlow(config=config, transport="offline")
    monkeypatch.setenv("NO_PROXY", "api.example")
    NexusFlow(config=config)


def test_check_says_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """`nexusflow check` fails with the same words."""
    path = tmp_path / "nexusflow.toml"
    path.write_text(CONFIG.format(url="https://api.example"))
    assert main(["check", str(path)]) == 0
    assert "transport: h1" in capsys.readouterr().out
    monkeypatch.setenv("ALL_PROXY", "socks5://user:hidden@127.0.0.1:1080")
    assert main(["check", str(path)]) == 1
    said = capsys.readouterr()
    assert "upstreams.inner: ALL_PROXY names a socks5 proxy" in said.err
    assert "hidden" not in said.err + said.out


@by_name
def test_a_network_that_needs_no_proxy(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A network in `NO_PROXY` holds on every transport: no byte goes to the proxy."""
    with ScriptedUpstream(lambda _: OK) as proxy, ScriptedUpstream(lambda _: OK) as server:
        monkeypatch.setenv("HTTP_PROXY", proxy.url)
        monkeypatch.setenv("NO_PROXY", "127.0.0.0/8")

        async def work() -> None:
            transport = transport_factory(name)(at(server.url))  # type: ignore[arg-type]
            await exchange(transport, a_request(at(server.url)))
            await transport.aclose()

        anyio.run(work)
        assert (len(server.requests), proxy.accepted) == (1, 0)


@by_name
def test_read_once(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What changes in the environment after the start changes nothing."""
    with ScriptedUpstream(lambda _: OK) as proxy, ScriptedUpstream(lambda _: OK) as server:
        make = transport_factory(name)  # type: ignore[arg-type]
        monkeypatch.setenv("HTTP_PROXY", proxy.url)

        async def work() -> None:
            transport = make(at(server.url))
            await exchange(transport, a_request(at(server.url)))
            await transport.aclose()

        anyio.run(work)
        assert (len(server.requests), proxy.accepted) == (1, 0)
