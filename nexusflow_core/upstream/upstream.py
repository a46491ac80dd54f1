"""The address and the credential of a call."""

import functools
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Literal, TypeAlias
from urllib.parse import urlsplit

from msgspec import Struct

from nexusflow_core.errors import AuthenticationFailedError, ConfigError
from nexusflow_core.upstream.fetched import Fetched, FetchedCredential
from nexusflow_core.upstream.headers import BLANKS, CONTROL, Headers, derived, refuse_control
from nexusflow_core.upstream.keys import masked
from nexusflow_core.upstream.sigv4 import AwsKeys, signed_headers

__all__ = [
    "AuthScheme",
    "AwsSigning",
    "Betas",
    "Credential",
    "Place",
    "Secret",
    "Timeouts",
    "Upstream",
    "UpstreamRequest",
    "authorized",
    "client_credentials",
    "sent_keys",
    "upstream_id",
]

AuthScheme: TypeAlias = Literal["x-api-key", "bearer", "none", "aws", "google", "azure"]
"""The header of a key. `none` sends no credential, `aws` signs requests, `google` and `azure` fetch a token."""

_KEYLESS = frozenset(("none", "aws", "google", "azure"))

Betas: TypeAlias = Literal["filter", "pass"]
"""`filter`: betas and members that a cloud refuses are left out. `pass`: nothing is."""

_FILE = "file:"
"""Begins the name of a secret that is read from a file."""

_LONGEST_ID = 200

_CREDENTIAL_HEADERS = frozenset((b"x-api-key", b"authorization"))


class Secret:
    """A key that `repr`, `str` and pickle never show: they use its name. `reveal()` returns the value.

    `name` is that of an environment variable, or `file:PATH`. Raises ConfigError for a value that no header can
    carry. The error does not contain the value.
    """

    __slots__ = ("_name", "_value")

    def __init__(self, value: str | None, name: str = "") -> None:
        if value is not None:
            _check(value, "", "a key")
        self._value = value
        self._name = name

    @property
    def name(self) -> str:
        """The environment variable it comes from, or `file:PATH`, or ""."""
        return self._name

    @property
    def path(self) -> str | None:
        """The path of the file it comes from, or None."""
        return self._name.removeprefix(_FILE) if self._name.startswith(_FILE) else None

    @property
    def label(self) -> str:
        """A short name for records: the environment variable, or the file's name without its folder."""
        path = self.path
        return self._name if path is None else path.rstrip("/").rpartition("/")[2]

    @property
    def known(self) -> bool:
        """True if it has a value."""
        return self._value is not None

    def reveal(self) -> str:
        """Returns the key itself. Raises ConfigError if it has not been read from the environment."""
        if self._value is None:
            raise ConfigError("", f"{self._origin()} has not been read")
        return self._value

    def resolve(self, environ: Mapping[str, str], path: str) -> None:
        """Reads the value from `environ`, unless it has one. Raises ConfigError at `path`.

        `environ` has a file's text under `file:PATH`.
        """
        if self._value is None:
            self._value = self._read(environ.get(self._name, ""), path)

    def renew(self, text: str) -> bool:
        """Replaces the value by a file's new text. Returns True if it differs. Raises ConfigError."""
        value = self._read(text, "")
        before, self._value = self._value, value
        return value != before

    def _read(self, text: str, path: str) -> str:
        value = text.strip()
        if not value:
            why = "is not set" if self.path is None else "is missing or empty"
            raise ConfigError(path, f"{self._origin()} {why}")
        _check(value, path, self._origin())
        return value

    def _origin(self) -> str:
        path = self.path
        return f"the environment variable {self._name}" if path is None else f"the file {path}"

    def __repr__(self) -> str:
        if self.path is not None:
            return f"Secret({self._name})"
        return f"Secret(env:{self._name})" if self._name else "Secret(***)"

    def __reduce__(self) -> tuple[type["Secret"], tuple[None, str]]:
        return Secret, (None, self._name)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and (self._value, self._name) == (other._value, other._name)

    def __hash__(self) -> int:
        return hash((self._value, self._name))


def _check(value: str, path: str, what: str) -> None:
    """Raises ConfigError for a value that is not text or has a control character.

    It checks without encoding: a codec's exception would contain the key.
    """
    if any("\ud800" <= character <= "\udfff" for character in value):
        raise ConfigError(path, f"{what} is not UTF-8 text: set it to the key's plain characters")
    if CONTROL.search(value.encode()):
        raise ConfigError(path, f"{what} contains a control character: remove it, often a line break")


class Timeouts(Struct, frozen=True, forbid_unknown_fields=True):
    """Time limits in seconds, all finite.

    `connect`: until a connection is made. `first_byte`: from sending to the first event or body byte. `idle`:
    between two reads. `total`: one attempt. `grace`: from the answer's stop reason to the end of its body.
    """

    connect: float = 10.0
    first_byte: float = 600.0
    idle: float = 120.0
    total: float = 3600.0
    grace: float = 5.0


class Place(Struct, frozen=True):
    """Where in a cloud an upstream is. None: not stated."""

    region: str | None = None
    project: str | None = None
    workspace: str | None = None
    resource: str | None = None


class AwsSigning(Struct, frozen=True, kw_only=True):
    """How requests are signed for AWS. `token` may have no value: long-term keys have none."""

    region: str
    service: str
    key_id: Secret
    secret: Secret
    token: Secret

    def keys(self) -> AwsKeys:
        """Returns the credentials as one set. Raises ConfigError if they have not been read."""
        token = self.token.reveal() if self.token.known else None
        return AwsKeys(self.key_id.reveal(), self.secret.reveal(), token)


class Upstream(Struct, frozen=True, kw_only=True):
    """An address (`base_url`, without the protocol's path) and a credential (`api_key`).

    Without `api_key` the client's own credential is used. `auth` None means `x-api-key`, or `bearer` for
    Anthropic's OAuth tokens (`sk-ant-oat...`); "none" sends no credential. `vendor`: turns on known deviations
    and a bill's form. `prices`: the vendor whose prices apply; None searches all. `optional`: left out if its
    key is missing. `threads`: it stores message threads; None means only at Anthropic's own address. `door`:
    the cloud that serves Claude, at this `place`. `headers` replace the client's; names are in lower case.
    `fetched`: whoever sends a request adds a credential by `authorized`.
    """

    name: str
    dialect: str
    base_url: str
    api_key: Secret | None = None
    auth: AuthScheme | None = None
    vendor: str | None = None
    prices: str | None = None
    ca_file: str | None = None
    optional: bool = False
    threads: bool | None = None
    connections: int = 1000
    timeouts: Timeouts = Timeouts()
    door: str | None = None
    place: Place = Place()
    headers: Mapping[str, Secret | str] = {}
    betas: Betas = "filter"
    signing: AwsSigning | None = None
    fetched: Fetched | None = None

    def secrets(self) -> Iterator[tuple[str, Secret]]:
        """Yields each needed secret with its setting's name: the key, AWS's keys, then those in headers."""
        if self.api_key is not None:
            yield "api_key", self.api_key
        if self.signing is not None and self.fetched is None:
            yield "auth", self.signing.key_id
            yield "auth", self.signing.secret
        for name, value in self.headers.items():
            if isinstance(value, Secret):
                yield f"headers.{name}", value

    def hidden(self) -> Iterator[str]:
        """Yields the values of secrets that travel beside a key, or sign for it: no text may show them."""
        for value in self.headers.values():
            if isinstance(value, Secret):
                yield value.reveal()
        if self.fetched is not None:
            yield from self.fetched.secrets()
        elif self.signing is not None:
            keys = self.signing.keys()
            yield from (value for value in (keys.key_id, keys.secret, keys.token) if value is not None)

    def own_headers(self) -> list[tuple[bytes, bytes]]:
        """Returns the configured headers. Raises ConfigError for one that has not been read."""
        return [
            (name.encode("latin-1"), (value.reveal() if isinstance(value, Secret) else value).encode())
            for name, value in self.headers.items()
        ]

    @property
    def own_credential(self) -> bool:
        """True if the gateway never sends the client's credential to this upstream."""
        return self.api_key is not None or self.fetched is not None or self.auth in _KEYLESS

    def credential_header(self, own: "Credential | None") -> tuple[bytes, bytes] | None:
        """Returns the one credential header: the configured key, else the client's own; or None.

        A fetched credential is not known here. Raises AuthenticationFailedError if there is none,
        InvalidRequestError if no header can carry it.
        """
        if self.fetched is not None or self.auth in _KEYLESS:
            return None
        if self.api_key is not None:
            key = self.api_key.reveal()
            scheme: AuthScheme = self.auth or ("bearer" if key.startswith("sk-ant-oat") else "x-api-key")
            return _header_of(scheme, key)
        if own is None:
            raise AuthenticationFailedError("x-api-key header is required")
        return _sendable(own.as_header())


class Credential(Struct, frozen=True):
    """A credential: its scheme and its bytes. `repr` does not show it."""

    scheme: AuthScheme
    value: bytes

    def as_header(self) -> tuple[bytes, bytes]:
        """Returns the name and value of the header."""
        if self.scheme == "bearer":
            return b"authorization", b"Bearer " + self.value
        return b"x-api-key", self.value

    def __repr__(self) -> str:
        return f"Credential({self.scheme!r}, ***)"


class UpstreamRequest(Struct):
    """One HTTP request. A transport sends `url`, `headers` and `body` byte for byte.

    It adds only `host` and `content-length`. A fetched credential is added last, see `authorized`; then only
    `let_go` changes it. `edits`: for the record, the places where a relayed body differs from the client's.
    """

    upstream: Upstream
    method: str
    url: str
    headers: Headers
    body: bytes
    edits: Sequence[str] = ()

    def let_go(self) -> None:
        """Frees headers and body once the answer has begun: the answer may take an hour."""
        self.headers, self.body = (), b""

    def __repr__(self) -> str:
        url = urlsplit(self.url)
        where = f"{url.hostname or url.scheme}{url.path}"
        return f"UpstreamRequest({self.method} {where}, {len(self.body)} bytes)"


def authorized(
    request: UpstreamRequest, headers: Headers, credential: FetchedCredential, at: datetime
) -> Headers:
    """Returns these headers of a request with a fetched credential. Its keys sign them for this moment."""
    signing = request.upstream.signing
    if credential.keys is not None and signing is not None:
        scope, body = (signing.region, signing.service), request.body
        return signed_headers(
            request.method, request.url, headers, body, keys=credential.keys, scope=scope, at=at
        )
    names = {name for name, _ in credential.headers}
    return [*(pair for pair in headers if pair[0] not in names), *credential.headers]


def client_credentials(headers: Headers) -> list[Credential]:
    """Returns a client's credentials, `x-api-key` first: Anthropic prefers it if both are sent."""
    keys: list[Credential] = []
    tokens: list[Credential] = []
    for name, value in [pair for pair in headers if pair[0] in _CREDENTIAL_HEADERS]:
        if name == b"x-api-key" and (key := value.strip(BLANKS)):
            keys.append(Credential("x-api-key", key))
        elif name == b"authorization":
            scheme, _, token = value.strip(BLANKS).partition(b" ")
            if scheme.lower() == b"bearer" and (token := token.strip(BLANKS)):
                tokens.append(Credential("bearer", token))
    return keys + tokens


def upstream_id(headers: Headers, sent: Headers, *names: bytes) -> str | None:
    """Returns the upstream's id of an answer, for the record: the first of these headers that is present.

    At most 200 printable characters, without the credential in `sent`. None if no header is present.
    """
    first = dict(reversed(headers))  # of a repeated header the first value counts
    for name in names:
        if value := first.get(name, b"").strip(BLANKS):
            break
    else:
        return None
    text = value[:_LONGEST_ID].decode("latin-1")
    text = text if text.isprintable() else ascii(text)[1:-1]
    for key in derived(sent, "keys", sent_keys):
        text = masked(text, key)
    return text[:_LONGEST_ID]


def sent_keys(headers: Headers) -> tuple[str, ...]:
    """Returns the credentials in these headers as text, each once."""
    return tuple(dict.fromkeys([found.value.decode("latin-1") for found in client_credentials(headers)]))


@functools.lru_cache(maxsize=256)
def _header_of(scheme: AuthScheme, key: str) -> tuple[bytes, bytes]:
    return _sendable(Credential(scheme, key.encode()).as_header())


def _sendable(credential: tuple[bytes, bytes]) -> tuple[bytes, bytes]:
    if CONTROL.search(credential[1]):
        refuse_control((credential,))
    return credential
