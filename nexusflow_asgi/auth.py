"""Who may call: gateway keys from the configuration, or whatever the host knows of its users."""

import hashlib
import hmac
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, NamedTuple, TypeAlias

from starlette.types import Scope

from nexusflow_asgi.anonymous import check_anonymous
from nexusflow_core.call import Principal
from nexusflow_core.config import Config
from nexusflow_core.errors import AuthenticationFailed, ConfigError
from nexusflow_core.upstream import Credential, Headers, Secret, client_credentials

__all__ = ["Admission", "Admitted", "Authenticate", "GatewayKeys"]

Authenticate: TypeAlias = Callable[[Scope], Awaitable[Principal | str | None]]
"""The host's own answer to "who is this?": a Principal, its id alone, or None for nobody (401)."""

_CREDENTIAL_HEADERS = (b"x-api-key", b"authorization")


class Admitted(NamedTuple):
    """A caller who may go on: its headers without credentials, and the key it brought for an upstream."""

    principal: Principal | None
    headers: Headers
    credential: Credential | None


class GatewayKeys:
    """Compares credentials with the configured keys, by their SHA-256 and in constant time."""

    def __init__(self, keys: Iterable[Secret]) -> None:
        self._known = [(_digest(key.reveal().encode()), key.name) for key in keys]

    def principal(self, credential: Credential) -> Principal | None:
        """Whose key it is, named after its environment variable; None for nobody's."""
        digest = _digest(credential.value)
        found: Principal | None = None
        for known, name in self._known:  # each is compared, whatever matched before
            if hmac.compare_digest(known, digest):
                found = Principal(name or f"key-{digest.hex()[:8]}")
        return found

    def __bool__(self) -> bool:
        return bool(self._known)


class Admission:
    """Decides who may call. Raises ConfigError where nothing does: an open gateway must be asked for."""

    def __init__(self, config: Config, authenticate: Authenticate | None = None) -> None:
        self._keys = GatewayKeys(config.keys)
        self._authenticate = authenticate
        if authenticate is None and not self._keys and not config.anonymous:
            raise ConfigError(
                "auth", "nobody may call: give keys, an authenticate function, or anonymous = true, written out"
            )

    async def admit(self, scope: Scope) -> Admitted:
        """Raises AuthenticationFailed for who may not call, and what `check_anonymous` raises where anyone may."""
        headers: Headers = scope["headers"]
        if self._authenticate is not None:
            return await _admit_by_host(scope, headers, self._authenticate)
        if self._keys:
            return _admit_by_key(headers, self._keys)
        check_anonymous(scope)
        return _admitted(None, headers)


def _admit_by_key(headers: Headers, keys: GatewayKeys) -> Admitted:
    """Consumes the gateway key, in whichever header it came; the other header may hold the client's own key
    for an upstream. Raises AuthenticationFailed."""
    credentials = client_credentials(headers)
    principal: Principal | None = None
    left: Credential | None = None
    for credential in credentials:
        owner = keys.principal(credential)
        principal = principal or owner
        if owner is None and left is None:
            left = credential
    if principal is None:
        raise AuthenticationFailed("invalid x-api-key" if credentials else "x-api-key header is required")
    return Admitted(principal, _without_credentials(headers), left)


async def _admit_by_host(scope: Scope, headers: Headers, authenticate: Authenticate) -> Admitted:
    """Asks the host. Raises AuthenticationFailed where it knows nobody, TypeError for what is no text."""
    who = await authenticate(scope)
    if who is None:
        raise AuthenticationFailed("the caller is not authenticated")
    principal = Principal(who) if isinstance(who, str) else who
    _check_text(principal)
    spent = {name.lower().encode("latin-1") for name in principal.consumes}
    return _admitted(principal, [pair for pair in headers if pair[0] not in spent])


def _check_text(principal: Principal) -> None:
    """What goes into records is text, or a log could not be read back. Nothing is made into text here: a team
    that is missing would become the team `None`."""
    fields: list[tuple[Any, Any]] = [("id", principal.id), *principal.metadata.items()]
    for name, value in fields:
        if not isinstance(name, str) or not isinstance(value, str):
            raise TypeError(f"authenticate: of the principal, {name!r} is {type(value).__name__}, not str")


def _admitted(principal: Principal | None, headers: Headers) -> Admitted:
    credential = next(iter(client_credentials(headers)), None)
    return Admitted(principal, _without_credentials(headers), credential)


def _without_credentials(headers: Headers) -> Headers:
    return [pair for pair in headers if pair[0] not in _CREDENTIAL_HEADERS]


def _digest(value: bytes) -> bytes:
    return hashlib.sha256(value).digest()
