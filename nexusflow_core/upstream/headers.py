"""Which headers may cross the gateway, in either direction."""

import re
from collections.abc import Sequence, Set
from typing import TypeAlias

from nexusflow_core.errors import InvalidRequest, UpstreamProtocolError

__all__ = [
    "BLANKS",
    "CONTROL",
    "Headers",
    "header",
    "refuse_control",
    "relayed_request_headers",
    "relayed_response_headers",
    "with_control",
]

Headers: TypeAlias = Sequence[tuple[bytes, bytes]]
"""Header pairs as ASGI has them: names in lower case, order and repetition kept."""

HOP_BY_HOP = frozenset(
    b"connection keep-alive proxy-connection te trailer transfer-encoding upgrade http2-settings".split()
)
"""RFC 9110 section 7.6.1: meant for one connection, whatever `Connection` itself lists besides."""

_FROM_BROWSERS = frozenset(b"origin referer dnt save-data upgrade-insecure-requests".split())
"""A browser adds these by itself. The call is the server's own; Anthropic refuses one with `origin`."""

NEVER_UPSTREAM = (
    HOP_BY_HOP
    | _FROM_BROWSERS
    | frozenset(
        b"host content-length expect cookie accept-encoding authorization x-api-key".split()
        + b"forwarded via x-real-ip".split()
    )
)
"""Names that no relayed request carries as they came; the credential and accept-encoding are set anew."""

_NEVER_UPSTREAM_PREFIXES = (b"proxy-", b"x-forwarded-", b"x-nexusflow-", b"sec-", b"access-control-request-")

_STEERING = frozenset(b"api-key anthropic-workspace-id x-litellm-api-key".split())
_STEERING_PREFIXES = tuple(b"x-amz- x-amzn- x-goog- x-ms- x-databricks- x-snowflake- ocp-apim-".split())
"""These choose a cloud's account, project, tier or guardrail, or are a second credential. No client may set
them beside a credential of the gateway's own."""

CONTROL = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")  # RFC 9110 section 5.5: none but the tab

_WITHOUT_CONTROL = CONTROL.sub(b"", bytes(range(256)))
"""Every other byte. A look at what is left without these takes half the time of a search."""

_IN_A_NAME = re.sub(rb"[^!#$%&'*+.^_`|~0-9A-Za-z-]", b"", bytes(range(256)))
"""RFC 9110 section 5.6.2: a name is a token."""

BLANKS = b" \t"
"""RFC 9110 section 5.5: a value "does not include leading or trailing whitespace". Some servers leave it there,
and some clients refuse to send it."""


def header(headers: Headers, name: bytes) -> bytes | None:
    """Returns the first value of a header, or None. `name` in lower case."""
    for key, value in headers:
        if key == name:
            return value.strip(BLANKS)
    return None


def relayed_request_headers(
    headers: Headers, credential: tuple[bytes, bytes] | None, *, own_credential: bool = False
) -> list[tuple[bytes, bytes]]:
    """Returns a client's headers for an upstream of the same protocol: all but a deny-list, in their order.

    `accept-encoding` becomes `identity`, so that the answer can be metered as it passes. `own_credential`: the
    credential is the gateway's, so headers that steer a cloud are left out.
    Raises InvalidRequest for a value with a control character in it, or a name that is none.
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
    if b"" in found or b"".join(found).translate(None, _IN_A_NAME):
        raise InvalidRequest("a header's name has characters that are not allowed there")
    refuse_control(kept)
    return [*kept, (b"accept-encoding", b"identity"), *([credential] if credential is not None else [])]


_USUAL = frozenset(
    b"accept content-type user-agent anthropic-version anthropic-beta x-app x-stainless-lang".split()
    + b"x-stainless-package-version x-stainless-os x-stainless-arch x-stainless-runtime".split()
    + b"x-stainless-runtime-version x-stainless-async x-stainless-retry-count x-stainless-timeout".split()
    + b"x-stainless-read-timeout x-stainless-helper-method".split()
)
"""What the SDKs send with each call. None of the prefixes fits these, so they are not compared."""

_NAMES_BESIDE_OURS = NEVER_UPSTREAM | _STEERING
_PREFIXES_BESIDE_OURS = _NEVER_UPSTREAM_PREFIXES + _STEERING_PREFIXES


def relayed_response_headers(headers: Headers) -> list[tuple[bytes, bytes]]:
    """Returns an upstream's headers for the client: all that are end-to-end, less any posing as ours.

    A `content-length` beside `transfer-encoding` goes too: the body was framed without it, and may be longer.
    Raises UpstreamProtocolError for a value with a control character in it.
    """
    kept = [pair for pair in _end_to_end(headers) if not pair[0].startswith(b"x-nexusflow-")]
    if any(name == b"transfer-encoding" for name, _ in headers):
        kept = [pair for pair in kept if pair[0] != b"content-length"]
    if name := with_control(kept):
        raise UpstreamProtocolError(f"the upstream's header {name} has a control character in it")
    return kept


_ALONE = frozenset((b"keep-alive", b"close"))
_NOTHING: frozenset[bytes] = frozenset()


def refuse_control(headers: Headers) -> None:
    """Raises InvalidRequest for a client's value with a control character in it."""
    if name := with_control(headers):
        raise InvalidRequest(f"header {name}: control characters are not allowed")


def with_control(headers: Headers) -> str | None:
    """Returns the name of the first header with a control character in its value, or None."""
    if not b"".join([value for _, value in headers]).translate(None, _WITHOUT_CONTROL):
        return None
    return next(name.decode("latin-1") for name, value in headers if CONTROL.search(value))


def _end_to_end(headers: Headers) -> Headers:
    listed = _listed(headers)
    dropped = HOP_BY_HOP | listed if listed else HOP_BY_HOP
    return [pair for pair in headers if pair[0] not in dropped]


def _listed(headers: Headers) -> Set[bytes]:
    """Returns the names that `Connection` lists; nearly all say `keep-alive` or `close` alone."""
    values = [value for name, value in headers if name == b"connection" and value not in _ALONE]
    return {token.strip().lower() for value in values for token in value.split(b",")} if values else _NOTHING
