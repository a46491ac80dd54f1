"""AWS Signature Version 4: signs one request, as it will be on the wire.

Source: AWS's documentation of the signing process. botocore makes the same signatures; a test compares them.
"""

import hashlib
import hmac
import re
from datetime import UTC, datetime
from typing import Final
from urllib.parse import quote, urlsplit

from msgspec import Struct

from nexusflow_core.upstream.headers import Headers

__all__ = ["AwsKeys", "canonical_request", "host_of", "signed_headers"]

_ALGORITHM: Final = "AWS4-HMAC-SHA256"
_SIGNED: Final = frozenset((b"content-type",))
"""Signed if present, beside the host, the date and the token. A proxy may change any other header."""
_SLASHES: Final = re.compile("/+")
_PORTS: Final = {"http": 80, "https": 443}


class AwsKeys(Struct, frozen=True):
    """One set of credentials. The three belong together. `repr` shows none of them."""

    key_id: str
    secret: str
    token: str | None = None

    def __repr__(self) -> str:
        return "AwsKeys(***)"


class _Request(Struct, frozen=True):
    """The parts of a request that are signed. `headers` are sorted, and their values trimmed."""

    method: str
    path: str
    query: str
    headers: tuple[tuple[str, str], ...]
    body: bytes


def signed_headers(
    method: str, url: str, headers: Headers, body: bytes, *, keys: AwsKeys, scope: tuple[str, str], at: datetime
) -> Headers:
    """Returns the headers with date, token and signature. Call it last: nothing may change afterwards.

    `scope` is the region and the service. `at` is the moment of sending; AWS accepts it for five minutes.
    """
    stamp = at.astimezone(UTC).strftime("%Y%m%dT%H%M%SZ")
    added = [(b"x-amz-date", stamp.encode())]
    if keys.token is not None:
        added.append((b"x-amz-security-token", keys.token.encode()))
    replaced = {b"x-amz-date", b"x-amz-security-token", b"authorization"}
    sent = [pair for pair in headers if pair[0] not in replaced]
    signed = [pair for pair in sent if pair[0] in _SIGNED]
    request = _read(method, url, [*signed, *added, (b"host", host_of(url).encode())], body)
    names = ";".join(name for name, _ in request.headers)
    where = f"{stamp[:8]}/{'/'.join(scope)}/aws4_request"
    digest = hashlib.sha256(canonical_request(request).encode()).hexdigest()
    signature = _signature(keys.secret, where, f"{_ALGORITHM}\n{stamp}\n{where}\n{digest}")
    credential = f"{_ALGORITHM} Credential={keys.key_id}/{where}, SignedHeaders={names}, Signature={signature}"
    return [*sent, *added, (b"authorization", credential.encode())]


def host_of(url: str) -> str:
    """Returns the host header of a URL: in lower case, with its port unless that is the scheme's own."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    host = f"[{host}]" if ":" in host else host
    return host if parts.port in (None, _PORTS.get(parts.scheme)) else f"{host}:{parts.port}"


def canonical_request(request: _Request) -> str:
    """Returns the text that is hashed and signed.

    The path is encoded once more than on the wire, since AWS decodes it once. The query is encoded already.
    """
    pairs = sorted(pair.partition("=")[::2] for pair in request.query.split("&")) if request.query else []
    return "\n".join(
        (
            request.method,
            quote(_SLASHES.sub("/", request.path or "/"), safe="-_.~/"),
            "&".join(f"{name}={value}" for name, value in pairs),
            *(f"{name}:{value}" for name, value in request.headers),
            "",
            ";".join(name for name, _ in request.headers),
            hashlib.sha256(request.body).hexdigest(),
        )
    )


def _read(method: str, url: str, headers: Headers, body: bytes) -> _Request:
    """Returns the signed parts. Values of a repeated header are joined, and runs of blanks are one."""
    values: dict[str, list[str]] = {}
    for name, value in headers:
        values.setdefault(name.decode("latin-1"), []).append(" ".join(value.decode("latin-1").split()))
    parts = urlsplit(url)
    joined = tuple((name, ",".join(values[name])) for name in sorted(values))
    return _Request(method, parts.path, parts.query, joined, body)


def _signature(secret: str, scope: str, text: str) -> str:
    key = f"AWS4{secret}".encode()
    for part in (*scope.split("/"), text):
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    return key.hex()
