"""Where a call goes and as whom, and which headers may cross the gateway in either direction."""

import re
from collections.abc import Mapping, Sequence
from typing import Literal, TypeAlias
from urllib.parse import urlsplit

from msgspec import Struct

from nexusflow_core.errors import AuthenticationFailed, ConfigError, InvalidRequest, UpstreamProtocolError

__all__ = [
    "AuthScheme",
    "Credential",
    "Headers",
    "Secret",
    "Timeouts",
    "Upstream",
    "UpstreamRequest",
    "client_credentials",
    "header",
    "relayed_request_headers",
    "relayed_response_headers",
]

Headers: TypeAlias = Sequence[tuple[bytes, bytes]]
"""Header pairs as ASGI has them: names in lower case, order and repetition kept."""

AuthScheme: TypeAlias = Literal["x-api-key", "bearer", "none"]

HOP_BY_HOP = frozenset(
    b"connection keep-alive proxy-connection te trailer transfer-encoding upgrade http2-settings".split()
)
"""RFC 9110 section 7.6.1: meant for one connection, whatever `Connection` itself lists besides."""

NEVER_UPSTREAM = HOP_BY_HOP | frozenset(
    b"host content-length expect cookie accept-encoding authorization x-api-key forwarded via x-real-ip".split()
)
"""Names that no relayed request carries as they came; the credential and accept-encoding are set anew."""

_NEVER_UPSTREAM_PREFIXES = (b"proxy-", b"x-forwarded-", b"x-nexusflow-")

_CONTROL = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")  # RFC 9110 section 5.5: none but the tab

_NOT_IN_A_NAME = re.compile(rb"[^!#$%&'*+.^_`|~0-9A-Za-z-]")  # RFC 9110 section 5.6.2: a name is a token

_BLANKS = b" \t"
"""RFC 9110 section 5.5: a value "does not include leading or trailing whitespace". Some servers leave it there,
and some clients refuse to send it."""

_CONTROL_REFUSED = "header {}: control characters are not allowed"


class Secret:
    """A key that shows itself to nobody: `repr`, `str` and pickling give its name, `reveal()` the value."""

    __slots__ = ("_name", "_value")

    def __init__(self, value: str | None, name: str = "") -> None:
        self._value = value
        self._name = name

    @property
    def name(self) -> str:
        """The environment variable that it comes from, or ""."""
        return self._name

    def reveal(self) -> str:
        """The key itself. Raises ConfigError while it has not been resolved from the environment."""
        if self._value is None:
            raise ConfigError("", f"the environment variable {self._name} has not been read")
        return self._value

    def resolve(self, environ: Mapping[str, str], path: str) -> None:
        """Reads the value from `environ`, where it has none yet. Raises ConfigError naming `path`."""
        if self._value is None:
            value = environ.get(self._name, "").strip()
            if not value:
                raise ConfigError(path, f"the environment variable {self._name} is not set")
            if _CONTROL.search(value.encode(errors="surrogateescape")):
                raise ConfigError(path, f"the environment variable {self._name} has a control character in it")
            self._value = value

    def __repr__(self) -> str:
        return f"Secret(env:{self._name})" if self._name else "Secret(***)"

    def __reduce__(self) -> tuple[type["Secret"], tuple[None, str]]:
        return Secret, (None, self._name)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and (self._value, self._name) == (other._value, other._name)

    def __hash__(self) -> int:
        return hash((self._value, self._name))


class Timeouts(Struct, frozen=True, forbid_unknown_fields=True):
    """Seconds, all finite. `first_byte` runs from sending until the first event or the first body byte,
    `idle` between two reads, `total` over one attempt, `grace` from the answer's stop reason to the
    end of the body."""

    connect: float = 10.0
    first_byte: float = 600.0
    idle: float = 120.0
    total: float = 3600.0
    grace: float = 5.0


class Upstream(Struct, frozen=True, kw_only=True):
    """Where requests go (`base_url`, without the protocol's own path), and as whom (`api_key`).

    Without `api_key` the client's own credential goes through. `auth` None: `x-api-key`, or `bearer`
    for Anthropic's OAuth tokens (`sk-ant-oat...`); `none` sends no credential at all. `vendor`: whose
    row of quirks a translated upstream goes by, and in whose form any tells what it charged. `prices`: whose
    price rows hold; None looks through all.
    """

    name: str
    dialect: str
    base_url: str
    api_key: Secret | None = None
    auth: AuthScheme | None = None
    vendor: str | None = None
    prices: str | None = None
    ca_file: str | None = None
    connections: int = 1000
    timeouts: Timeouts = Timeouts()

    def credential_header(self, own: "Credential | None") -> tuple[bytes, bytes] | None:
        """The one credential that goes upstream: the configured key, else the client's own; None for `none`.

        Raises AuthenticationFailed when there is neither, InvalidRequest for one that no header can carry.
        """
        if self.auth == "none":
            return None
        if self.api_key is not None:
            key = self.api_key.reveal()
            scheme: AuthScheme = self.auth or ("bearer" if key.startswith("sk-ant-oat") else "x-api-key")
            own = Credential(scheme, key.encode())
        if own is None:
            raise AuthenticationFailed("x-api-key header is required")
        return _sendable(own.as_header())


class Credential(Struct, frozen=True):
    """A credential as it came or goes: its scheme and its bytes, never shown."""

    scheme: AuthScheme
    value: bytes

    def as_header(self) -> tuple[bytes, bytes]:
        if self.scheme == "bearer":
            return b"authorization", b"Bearer " + self.value
        return b"x-api-key", self.value

    def __repr__(self) -> str:
        return f"Credential({self.scheme!r}, ***)"


class UpstreamRequest(Struct):
    """One HTTP request for a transport: `url` is sent as written, `headers` and `body` byte for byte.

    A transport adds `host` and `content-length` and nothing else. Nothing but `let_go` changes it.
    """

    upstream: Upstream
    method: str
    url: str
    headers: Headers
    body: bytes

    def let_go(self) -> None:
        """Forgets headers and body, whoever holds it: it is answered, and an answer may take an hour."""
        self.headers, self.body = (), b""

    def __repr__(self) -> str:
        where = urlsplit(self.url)
        return f"UpstreamRequest({self.method} {where.hostname}{where.path}, {len(self.body)} bytes)"


def header(headers: Headers, name: bytes) -> bytes | None:
    """The first value of a header, or None. `name` in lower case."""
    for key, value in headers:
        if key == name:
            return value.strip(_BLANKS)
    return None


def client_credentials(headers: Headers) -> list[Credential]:
    """The credentials that a client sent, `x-api-key` first: it is the one Anthropic goes by if both come."""
    keys: list[Credential] = []
    tokens: list[Credential] = []
    for name, value in headers:
        if name == b"x-api-key" and (key := value.strip(_BLANKS)):
            keys.append(Credential("x-api-key", key))
        elif name == b"authorization":
            scheme, _, token = value.strip(_BLANKS).partition(b" ")
            if scheme.lower() == b"bearer" and (token := token.strip(_BLANKS)):
                tokens.append(Credential("bearer", token))
    return keys + tokens


def relayed_request_headers(
    headers: Headers, credential: tuple[bytes, bytes] | None
) -> list[tuple[bytes, bytes]]:
    """A client's headers as they go to an upstream of the same protocol: all but a deny-list, in their order.

    `accept-encoding` becomes `identity`, so that the answer can be metered as it passes.
    Raises InvalidRequest for a value with a control character in it, or a name that is none.
    """
    kept = [
        (name, value.strip(_BLANKS))
        for name, value in _end_to_end(headers)
        if name not in NEVER_UPSTREAM and not name.startswith(_NEVER_UPSTREAM_PREFIXES)
    ]
    names = [name for name, _ in kept]
    if not all(names) or _NOT_IN_A_NAME.search(b"".join(names)):
        raise InvalidRequest("a header's name has characters that are not allowed there")
    if odd := _with_control(kept):
        raise InvalidRequest(_CONTROL_REFUSED.format(odd))
    return [*kept, (b"accept-encoding", b"identity"), *([credential] if credential is not None else [])]


def relayed_response_headers(headers: Headers) -> list[tuple[bytes, bytes]]:
    """An upstream's headers as they go to the client: all that are end-to-end, less any posing as ours.

    Raises UpstreamProtocolError for a value with a control character in it.
    """
    kept = [pair for pair in _end_to_end(headers) if not pair[0].startswith(b"x-nexusflow-")]
    if name := _with_control(kept):
        raise UpstreamProtocolError(f"the upstream's header {name} has a control character in it")
    return kept


def _sendable(credential: tuple[bytes, bytes]) -> tuple[bytes, bytes]:
    if name := _with_control((credential,)):
        raise InvalidRequest(_CONTROL_REFUSED.format(name))
    return credential


def _with_control(headers: Headers) -> str | None:
    """The name of a header that cannot be written; one look at all values finds that there is none."""
    if not _CONTROL.search(b" ".join([value for _, value in headers])):
        return None
    return next(name.decode("latin-1") for name, value in headers if _CONTROL.search(value))


def _end_to_end(headers: Headers) -> Headers:
    listed: set[bytes] = set()
    for name, value in headers:
        if name == b"connection" and value not in (b"keep-alive", b"close"):
            listed.update(token.strip().lower() for token in value.split(b","))
    dropped = HOP_BY_HOP | listed if listed else HOP_BY_HOP
    return [pair for pair in headers if pair[0] not in dropped]
