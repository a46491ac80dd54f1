"""Addresses of upstreams: http and https URLs, and unix sockets, for which no standard form of URL exists.

`unix:/run/vllm.sock` is a socket; `unix:/run/vllm.sock:/v1` adds a path of its server. The second colon
separates socket and path. The decoded configuration always has it, so that a path can be appended.
"""

import re
from typing import Final
from urllib.parse import urlsplit

__all__ = ["UNIX", "is_unix", "split_url", "wrong_address"]

UNIX: Final = "unix:"

_LONGEST_SOCKET_PATH: Final = 103
"""Bound on the bytes of a socket's path: the limit of macOS. Linux allows four more."""


def is_unix(url: str) -> bool:
    """Returns True for the address of a unix socket."""
    return url.startswith(UNIX)


def split_url(url: str) -> tuple[str, str]:
    """Returns the part before the path, and the path: `https://host:8443` and `/v1`, or `unix:/run/vllm.sock:`
    and `/v1`."""
    if is_unix(url):
        at = url.find(":", len(UNIX)) + 1
    else:
        at = url.find("/", url.find("://") + 3)
    return (url, "") if at <= 0 else (url[:at], url[at:])


def wrong_address(url: str) -> str | None:
    """Returns what is wrong with an upstream's address, or None."""
    if not re.fullmatch(r"[!-~]*", url):
        return "must be printable ASCII without blanks: write other characters as %XX"
    return _wrong_socket(url) if is_unix(url) else _wrong_url(url)


def _wrong_socket(url: str) -> str | None:
    socket, colon, path = url[len(UNIX) :].partition(":")
    if not socket.startswith("/") or socket.endswith("/") or (colon and path and not path.startswith("/")):
        return "must be unix:/PATH/OF.sock, or unix:/PATH/OF.sock:/path for a server with a path of its own"
    if len(socket) > _LONGEST_SOCKET_PATH:
        return f"the socket's path must have at most {_LONGEST_SOCKET_PATH} bytes"
    if "?" in url or "#" in url:
        return "must have no query or fragment"
    return None


def _wrong_url(url: str) -> str | None:
    try:
        parts = urlsplit(url)
        _ = parts.port  # raises ValueError for a bad port
    except ValueError as error:
        return f"is not a URL: {error}"
    if parts.scheme not in ("http", "https") or not parts.hostname:
        return "must be an absolute http or https URL, or unix: and the path of a socket"
    if parts.username or parts.password or "?" in url or "#" in url:
        return "must have no user, password, query or fragment"
    return None
