"""Checks of requests to a gateway without authentication: refuses all that a web page could send by itself.

Any web page may post to any address without permission, unless the content type is JSON. A page whose name is
made to resolve to this machine (DNS rebinding) may send and read anything, but its name is in `Host`.
"""

from ipaddress import ip_address

from starlette.types import Scope

from nexusflow_core.errors import PermissionDeniedError, UnsupportedMediaTypeError

__all__ = ["check_anonymous"]

_ALTERNATIVE = "or give the gateway `[auth] keys` or an `authenticate` function"


def check_anonymous(scope: Scope) -> None:
    """Raises PermissionDeniedError for a `Host` other than this machine, UnsupportedMediaTypeError for a body
    that is not declared as `application/json`."""
    hosts = _values(scope, b"host")
    if len(hosts) != 1 or not _is_own(_name(hosts[0]), scope):
        raise PermissionDeniedError(
            "this gateway has no authentication (`anonymous = true`), so it answers only to loopback names: "
            f"use localhost, 127.0.0.1 or [::1] in the URL, {_ALTERNATIVE}"
        )
    if scope["method"] == "POST":
        types = _values(scope, b"content-type")
        if len(types) != 1 or types[0].partition(";")[0].strip().lower() != "application/json":
            raise UnsupportedMediaTypeError(
                "this gateway has no authentication (`anonymous = true`), so it accepts only JSON bodies: "
                f"send the header `content-type: application/json`, {_ALTERNATIVE}"
            )


def _values(scope: Scope, name: bytes) -> list[str]:
    return [value.decode("latin-1") for key, value in scope["headers"] if key == name]


def _name(host: str) -> str:
    """Returns the host without its port, in lower case; an IPv6 address without its brackets."""
    host = host.strip().lower()
    if host.startswith("["):
        name, bracket, port = host[1:].partition("]")
        return name if bracket and _is_port(port) else ""
    name, colon, port = host.partition(":")
    return name if not colon or _is_port(":" + port) else ""


def _is_port(text: str) -> bool:
    return not text or (text[0] == ":" and (text[1:] or "0").isdecimal() and text.isascii())


def _is_own(name: str, scope: Scope) -> bool:
    """True for a loopback name, and for the address that the server reports as its own.

    For a socket that is its address; a test client without a socket may report any name.
    """
    if name == "localhost" or (name and name == _reached_at(scope)):
        return True
    try:
        return ip_address(name).is_loopback
    except ValueError:
        return False


def _reached_at(scope: Scope) -> str:
    server = scope.get("server")
    return str(server[0]).lower() if server else ""
