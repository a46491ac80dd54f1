"""The destination of a request: the address to connect to, the proxy, and the first lines of the head."""

import base64
import ssl
from typing import Final, NamedTuple
from urllib.parse import unquote_to_bytes, urlsplit

from nexusflow_asgi.transports.proxies import Proxies
from nexusflow_core.errors import InvalidRequestError
from nexusflow_core.upstream.address import UNIX, is_unix

__all__ = ["Address", "Origin", "parse_origin"]

_PORTS: Final = {"http": 80, "https": 443}


class Address(NamedTuple):
    """A server to connect to. A unix socket has a `path`; its `host` is only a name for the host header."""

    host: str
    port: int
    tls: bool
    path: str = ""


class Origin:
    """One server with its proxy, and the data that all requests to it share."""

    __slots__ = ("address", "authority", "proxy", "proxy_headers", "session", "text")

    def __init__(self, text: str, address: Address, proxy: str | None) -> None:
        self.text: Final = text  # the URL up to its path
        self.address: Final = address
        self.authority: Final = _authority(address)
        self.proxy: Final = None if proxy is None else _address(proxy)
        self.proxy_headers: Final = b"" if proxy is None else _credentials(proxy)
        self.session: ssl.SSLSession | None = None  # the TLS session that the next connection resumes

    def head(self, method: str, target: str) -> bytes:
        """Returns the first lines of a request's head, with the whole URL for a proxy without a tunnel."""
        extra = b""
        if self.proxy is not None and not self.address.tls:
            target, extra = f"http://{self.authority}{target}", self.proxy_headers
        return f"{method} {target} HTTP/1.1\r\nhost: {self.authority}\r\n".encode("ascii") + extra

    @property
    def connect_head(self) -> bytes:
        """Returns the head of the CONNECT request, which asks the proxy for a tunnel."""
        host = f"[{self.address.host}]" if ":" in self.address.host else self.address.host
        where = f"{host}:{self.address.port}"
        return f"CONNECT {where} HTTP/1.1\r\nhost: {where}\r\n".encode("ascii") + self.proxy_headers + b"\r\n"


def parse_origin(text: str, proxies: Proxies) -> Origin:
    """Returns the origin of a URL without its path: `https://api.example:8443`, `unix:/a.sock:`.

    Raises InvalidRequestError for any other text.
    """
    try:
        address = _address(text)
    except ValueError:  # drops its text, which may quote the client
        raise InvalidRequestError("the upstream's URL has no host to connect to") from None
    return Origin(text, address, proxies.for_url(text))


def _address(url: str) -> Address:
    if is_unix(url):
        return Address("localhost", _PORTS["http"], tls=False, path=url.removeprefix(UNIX).removesuffix(":"))
    parts = urlsplit(url)
    if parts.scheme not in _PORTS or not parts.hostname or parts.query or parts.fragment:
        raise ValueError
    host = parts.hostname
    if not host.isascii():
        host = host.encode("idna").decode("ascii")
    return Address(host, parts.port or _PORTS[parts.scheme], parts.scheme == "https")


def _authority(address: Address) -> str:
    """Returns the value of the host header, without the scheme's default port."""
    host = f"[{address.host.partition('%')[0]}]" if ":" in address.host else address.host
    usual = _PORTS["https" if address.tls else "http"]
    return host if address.port == usual else f"{host}:{address.port}"


def _credentials(proxy: str) -> bytes:
    """Returns the header with the proxy's user and password, including its line end; b"" without a user."""
    parts = urlsplit(proxy)
    if parts.username is None:
        return b""
    pair = unquote_to_bytes(parts.username) + b":" + unquote_to_bytes(parts.password or "")
    return b"proxy-authorization: Basic " + base64.b64encode(pair) + b"\r\n"
