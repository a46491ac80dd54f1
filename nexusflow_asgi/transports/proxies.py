"""The environment's proxies, read once at the start, with the same rules for every transport."""

import ipaddress
from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple
from urllib.parse import SplitResult, urlsplit
from urllib.request import getproxies, getproxies_environment, proxy_bypass

from nexusflow_core.errors import ConfigError
from nexusflow_core.upstream import Upstream, is_unix

__all__ = ["Proxies"]

_DEFAULT_PORTS: Final = {"http": 80, "https": 443}
_SPOKEN: Final = ("http", "https")


class Proxies:
    """`HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY`, `NO_PROXY`, in upper or lower case, or the system's settings.

    `NO_PROXY` lists hosts (`internal`, subdomains included), hosts with a port, addresses, networks such as
    `10.0.0.0/8`, or `*`.
    """

    def __init__(self, proxies: Mapping[str, str]) -> None:
        self._proxies = {scheme: url for scheme, url in proxies.items() if url.strip()}
        self._exempt = [_Exempt.parse(text) for text in self._proxies.pop("no", "").split(",") if text.strip()]

    @classmethod
    def of_environment(cls) -> "Proxies":
        """Returns the current proxies of the environment."""
        found = getproxies()
        if "no" in getproxies_environment() or "no" in found:
            return cls(found)
        return _WithSystemRules(found)

    def __bool__(self) -> bool:
        return bool(self._proxies)

    def for_url(self, url: str) -> str | None:
        """Returns the proxy's URL for this URL, or None if it is called directly.

        Raises ConfigError for a proxy that is not HTTP, such as SOCKS.
        """
        if not self._proxies or is_unix(url):
            return None
        parts = urlsplit(url)
        name = parts.scheme if parts.scheme in self._proxies else "all"
        proxy = self._proxies.get(name)
        if proxy is None or self._is_exempt(parts):
            return None
        return _checked(proxy.strip(), name)

    def check(self, upstreams: Iterable[Upstream]) -> None:
        """Raises ConfigError for the first upstream with an unusable proxy."""
        for upstream in upstreams:
            try:
                self.for_url(upstream.base_url)
            except ConfigError as error:
                raise ConfigError(f"upstreams.{upstream.name}", str(error)) from None

    def _is_exempt(self, parts: SplitResult) -> bool:
        host = (parts.hostname or "").rstrip(".")
        port = parts.port or _DEFAULT_PORTS.get(parts.scheme, 0)
        return any(rule.covers(host, port) for rule in self._exempt)


class _WithSystemRules(Proxies):
    """Uses the exceptions in the settings of macOS and Windows, if `NO_PROXY` is not set."""

    def _is_exempt(self, parts: SplitResult) -> bool:
        return bool(proxy_bypass(parts.netloc.rpartition("@")[2]))


class _Exempt(NamedTuple):
    """One entry of `NO_PROXY`."""

    host: str
    port: int | None
    network: ipaddress.IPv4Network | ipaddress.IPv6Network | None

    @classmethod
    def parse(cls, text: str) -> "_Exempt":
        text = text.strip().lower()
        if "://" in text:
            text = text.partition("://")[2]
        network = _network(text)
        if network is not None:
            return cls("", None, network)
        host, colon, port = text.rpartition(":")
        if not colon or not port.isdecimal():
            host, port = text, ""
        return cls(_bare(host), int(port) if port else None, _network(_bare(host)))

    def covers(self, host: str, port: int) -> bool:
        if self.port is not None and self.port != port:
            return False
        if self.network is not None:
            address = _address(host)
            return address is not None and address.version == self.network.version and address in self.network
        return self.host == "*" or host == self.host or host.endswith("." + self.host)


def _bare(host: str) -> str:
    """Returns a host without IPv6 brackets, and without the leading dot or star that means subdomains."""
    host = host.strip("[]").rstrip(".")
    return host if host == "*" else host.removeprefix("*").removeprefix(".")


def _network(text: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network | None:
    """Returns a network, or an address as a network of one; None for other text."""
    address, slash, bits = text.partition("/")
    try:
        return ipaddress.ip_network(address.strip("[]") + slash + bits, strict=False)
    except ValueError:
        return None


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return None


def _checked(proxy: str, name: str) -> str:
    """Returns the proxy's URL, with `http://` if it has no scheme. Its password is never in an error."""
    url = proxy if "://" in proxy else "http://" + proxy
    variable = f"{name}_proxy".upper()
    scheme = url.partition("://")[0].lower()
    if scheme not in _SPOKEN:
        advice = "use an http:// or https:// proxy, or list the host in NO_PROXY"
        raise ConfigError("", f"{variable} names a {scheme[:20]} proxy; {advice}")
    try:
        parts = urlsplit(url)
        named, _ = parts.hostname, parts.port
    except ValueError:
        named = None
    if not named:
        raise ConfigError("", f"{variable} is not the URL of a proxy; write http://HOST:PORT")
    return url
