"""Where a request goes on the wire: the address to connect to, the proxy before it, the lines of its head."""

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
    """A server to connect to. A unix socket has a `path`; `host` is then what its server is called by."""

    host: str
    port: int
    tls: bool
    path: str = ""


class Origin:
    """One server with its proxy, and what all requests to it share."""

    __slots__ = ("address", "authority", "proxy", "proxy_headers", "session", "text")

    def __init__(self, text: str, address: Address, proxy: str | None) -> None:
        self.text: Final = text  # the URL up to its path
        self.address: Final = address
        self.authority: Final = _authority(address)
        self.proxy: Final = None if proxy is None else _address(proxy)
        self.proxy_headers: Final = b"" if proxy is None else _credentials(proxy)
        self.session: ssl.SSLSession | None = None  # of TLS, to be resumed by the next connection

    def head(self, method: str, target: str) -> bytes:
        """Returns the first lines of a request's head. A proxy without a tunnel gets the whole URL."""
        extra = b""
        if self.proxy is not None and not self.address.tls:
            target, extra = f"http://{self.authority}{target}", self.proxy_headers
        return f"{method} {target} HTTP/1.1\r\nhost: {self.authority}\r\n".encode("ascii") + extra

    @property
    def connect_head(self) -> bytes:
        """The head of the request that asks the proxy for a tunnel."""
        host = f"[{self.address.host}]" if ":" in self.address.host else self.address.host
        where = f"{host}:{self.address.port}"
        return f"CONNECT {where} HTTP/1.1\r\nhost: {where}\r\n".encode("ascii") + self.proxy_headers + b"\r\n"


def parse_origin(text: str, proxies: Proxies) -> Origin:
    """Returns the origin of a URL that was cut before its path: `https://api.example:8443`, `unix:/a.sock:`.

    Raises InvalidRequestError for what is no http or https URL.
    """
    try:
        address = _address(text)
    except ValueError:  # its text may hold what a client wrote
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
    """Returns the value of `host`: without the port where it is the scheme's own."""
    host = f"[{address.host.partition('%')[0]}]" if ":" in address.host else address.host
    usual = _PORTS["https" if address.tls else "http"]
    return host if address.port == usual else f"{host}:{address.port}"


def _credentials(proxy: str) -> bytes:
    """Returns the header that names the proxy's user, with its end of line; b"" without a user."""
    parts = urlsplit(proxy)
    if parts.username is None:
        return b""
    pair = unquote_to_bytes(parts.username) + b":" + unquote_to_bytes(parts.password or "")
    return b"proxy-authorization: Basic " + base64.b64encode(pair) + b"\r\n"
