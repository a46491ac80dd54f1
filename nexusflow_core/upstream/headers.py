"""The headers that may cross the gateway, in either direction."""

import re
from collections.abc import Callable, Sequence, Set
from typing import Any, TypeAlias, TypeVar, TypeVarTuple

from msgspec import Struct

from nexusflow_core.errors import InvalidRequestError, UpstreamProtocolError

__all__ = [
    "BLANKS",
    "CONTROL",
    "Headers",
    "KeptHeaders",
    "derived",
    "ends_with_connection",
    "header",
    "is_header_name",
    "json_headers",
    "refuse_control",
    "relayed_request_headers",
    "relayed_response_headers",
    "with_control",
]

Headers: TypeAlias = Sequence[tuple[bytes, bytes]]
"""Header pairs as in ASGI: names in lower case, order and repetition kept."""

T = TypeVar("T")
Ts = TypeVarTuple("Ts")


class KeptHeaders(list[tuple[bytes, bytes]]):
    """Headers that come again and again. `kept`: what was derived from them, and is derived only once.

    Calls of one client share `kept`. It holds nothing that depends on `content-length`, in which they differ.
    """

    __slots__ = ("kept",)

    def __init__(self, headers: Headers, kept: dict[str, Any]) -> None:
        super().__init__(headers)
        self.kept = kept


def derived(headers: Headers, name: str, derive: Callable[[Headers, *Ts], T], *more: *Ts) -> T:
    """Returns `derive(headers, *more)`. Kept headers keep it under this name, which stands for `more` too."""
    if type(headers) is not KeptHeaders:
        return derive(headers, *more)
    kept = headers.kept
    if name in kept:
        found: T = kept[name]
        return found
    made = kept[name] = derive(headers, *more)
    return made


HOP_BY_HOP = frozenset(
    b"connection keep-alive proxy-connection te trailer transfer-encoding upgrade http2-settings".split()
)
"""Headers for one connection only, beside those that `Connection` lists (RFC 9110 section 7.6.1)."""

_FROM_BROWSERS = frozenset(b"origin referer dnt save-data upgrade-insecure-requests".split())
"""Browsers add these by themselves. The gateway's own server makes the call; Anthropic refuses `origin`."""

NEVER_UPSTREAM = (
    HOP_BY_HOP
    | _FROM_BROWSERS
    | frozenset(
        b"host content-length expect cookie accept-encoding authorization x-api-key".split()
        + b"forwarded via x-real-ip".split()
    )
)
"""Client headers that are never relayed. The credential and accept-encoding are set anew."""

_NEVER_UPSTREAM_PREFIXES = (b"proxy-", b"x-forwarded-", b"x-nexusflow-", b"sec-", b"access-control-request-")

_STEERING = frozenset(b"api-key anthropic-workspace-id x-litellm-api-key".split())
_STEERING_PREFIXES = tuple(b"x-amz- x-amzn- x-goog- x-ms- x-databricks- x-snowflake- ocp-apim-".split())
"""These choose a cloud's account, project, tier or guardrail, or carry a second credential. Clients may not set
them if the gateway uses its own credential."""

CONTROL = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")  # RFC 9110 section 5.5 allows only the tab

_WITHOUT_CONTROL = CONTROL.sub(b"", bytes(range(256)))
"""All bytes except control characters. Deleting these and testing the rest is twice as fast as a search."""

_IN_A_NAME = re.sub(rb"[^!#$%&'*+.^_`|~0-9A-Za-z-]", b"", bytes(range(256)))
"""The bytes of a header name: RFC 9110 section 5.6.2 calls it a token."""

BLANKS = b" \t"
"""RFC 9110 section 5.5: a value "does not include leading or trailing whitespace". Some servers leave it there,
and some clients refuse to send it."""


def header(headers: Headers, name: bytes) -> bytes | None:
    """Returns the first value of a header, or None. `name` must be in lower case."""
    for key, value in headers:
        if key == name:
            return value.strip(BLANKS)
    return None


def relayed_request_headers(
    headers: Headers, credential: tuple[bytes, bytes] | None, *, own_credential: bool = False
) -> list[tuple[bytes, bytes]]:
    """Returns a client's headers for an upstream of the same protocol, in order, without the denied ones.

    `accept-encoding` becomes `identity`, so that usage can be read from the passing answer. With
    `own_credential` the credential is the gateway's, so headers that steer a cloud are removed too.
    Raises InvalidRequestError for an invalid header name, or a control character in a value.
    """
    names: frozenset[bytes] = NEVER_UPSTREAM
    prefixes: tuple[bytes, ...] = _NEVER_UPSTREAM_PREFIXES
    if own_credential:
        names, prefixes = _NAMES_BESIDE_OURS, _PREFIXES_BESIDE_OURS
    if listed := _listed(headers):
        names |= listed
    kept = [
        (name, value.strip(BLANKS))
        for name, value in headers
        if name not in names and (name in _USUAL or not name.startswith(prefixes))
    ]
    found = [name for name, _ in kept]
    if b"" in found or not is_header_name(b"".join(found)):
        raise InvalidRequestError("a header name has characters that are not allowed there")
    refuse_control(kept)
    return [*kept, (b"accept-encoding", b"identity"), *([credential] if credential is not None else [])]


_USUAL = frozenset(
    b"accept content-type user-agent anthropic-version anthropic-beta x-app x-stainless-lang".split()
    + b"x-stainless-package-version x-stainless-os x-stainless-arch x-stainless-runtime".split()
    + b"x-stainless-runtime-version x-stainless-async x-stainless-retry-count x-stainless-timeout".split()
    + b"x-stainless-read-timeout x-stainless-helper-method".split()
)
"""The usual headers of the SDKs. No denied prefix matches them, so the comparison is skipped."""

_NAMES_BESIDE_OURS = NEVER_UPSTREAM | _STEERING
_PREFIXES_BESIDE_OURS = _NEVER_UPSTREAM_PREFIXES + _STEERING_PREFIXES


def relayed_response_headers(headers: Headers) -> list[tuple[bytes, bytes]]:
    """Returns an upstream's headers for the client, without hop-by-hop headers and without `x-nexusflow-*`.

    `content-length` is removed too if there is a `transfer-encoding`, which takes precedence over it.
    Raises UpstreamProtocolError for a control character in a value.
    """
    if not headers:
        return []
    names, values = zip(*headers)  # noqa: B905 - these are pairs; asking for it takes as long as the rest
    seen = _known_heads.get(names) or _seen(names)
    for at in seen.connections:
        if values[at] not in _ALONE:
            listed = _listed(headers)
            kept = [pair for pair in headers if pair[0] not in seen.names and pair[0] not in listed]
            break
    else:
        kept = list(headers)
        for at in seen.dropped:
            del kept[at]
    if b"".join(values).translate(None, _WITHOUT_CONTROL) and (name := with_control(kept)):
        raise UpstreamProtocolError(f"the upstream's header {name} has a control character in it")
    return kept


class _Seen(Struct, frozen=True):
    """What the names of an answer's headers decide. `dropped`: the places of headers that stay here, from the
    last to the first, and `names` their names. `connections`: the places of `Connection`."""

    dropped: tuple[int, ...]
    names: frozenset[bytes]
    connections: tuple[int, ...]


_MOST_HEADS = 256
_LONGEST_HEAD = 2000

_known_heads: dict[tuple[bytes, ...], _Seen] = {}
"""By the names alone, which an upstream repeats in each answer: no values are kept. It is bounded in number
and in bytes."""


def _seen(names: tuple[bytes, ...]) -> _Seen:
    dropped: frozenset[bytes] = HOP_BY_HOP
    if b"transfer-encoding" in names:
        dropped |= _LENGTH
    dropped |= {name for name in names if name.startswith(b"x-nexusflow-")}
    places = [at for at, name in enumerate(names) if name in dropped]
    connections = tuple(at for at, name in enumerate(names) if name == b"connection")
    seen = _Seen(tuple(reversed(places)), dropped, connections)
    if len(b"".join(names)) <= _LONGEST_HEAD:
        if len(_known_heads) >= _MOST_HEADS:
            _known_heads.clear()
        _known_heads[names] = seen
    return seen


def ends_with_connection(headers: Headers) -> bool:
    """True if the end of the connection is the end of an answer's body (RFC 9112 section 6.3)."""
    for name, value in headers:
        if name == b"content-length":
            return False
        if name == b"transfer-encoding" and value.lower().rpartition(b",")[2].strip() == b"chunked":
            return False
    return True


_LENGTH = frozenset((b"content-length",))
_ALONE = frozenset((b"keep-alive", b"close"))
_NOTHING: frozenset[bytes] = frozenset()


def is_header_name(text: bytes) -> bool:
    """True if header names may hold all these characters."""
    return not text.translate(None, _IN_A_NAME)


def refuse_control(headers: Headers) -> None:
    """Raises InvalidRequestError for a control character in a client's header value."""
    if name := with_control(headers):
        raise InvalidRequestError(f"header {name}: control characters are not allowed")


def with_control(headers: Headers) -> str | None:
    """Returns the name of the first header with a control character in its value, or None."""
    if not b"".join([value for _, value in headers]).translate(None, _WITHOUT_CONTROL):
        return None
    return next(name.decode("latin-1") for name, value in headers if CONTROL.search(value))


def _listed(headers: Headers) -> Set[bytes]:
    """Returns the names that `Connection` lists. Nearly always that is `keep-alive` or `close` alone."""
    values = [value for name, value in headers if name == b"connection" and value not in _ALONE]
    return {token.strip().lower() for value in values for token in value.split(b",")} if values else _NOTHING


def json_headers(*, stream: bool) -> Headers:
    """Returns the headers of a request that the gateway makes itself, without a credential."""
    return [
        (b"content-type", b"application/json"),
        (b"accept", b"text/event-stream" if stream else b"application/json"),
        (b"accept-encoding", b"identity"),
        (b"user-agent", b"nexusflow"),
    ]
