"""Authentication: gateway keys from the configuration, or the host's own function."""

import hashlib
import hmac
import inspect
from collections.abc import Awaitable, Callable, Iterable, Mapping
from itertools import chain
from typing import Any, Final, NamedTuple, TypeAlias, cast
from uuid import UUID

import anyio.to_thread
from msgspec.structs import replace
from starlette.types import Scope

from nexusflow_asgi.anonymous import check_anonymous
from nexusflow_asgi.host_errors import refusal_of
from nexusflow_asgi.stored_keys import StoredKeys
from nexusflow_core.budgets import wrong_scopes
from nexusflow_core.call import Principal
from nexusflow_core.config import Config
from nexusflow_core.errors import AuthenticationFailedError, ConfigError, NexusFlowError
from nexusflow_core.keys import key_id
from nexusflow_core.upstream import Credential, Headers, KeptHeaders, KeySearch, Secret, client_credentials

__all__ = ["Admission", "Admitted", "Authenticate", "GatewayKeys", "RepeatedHeaders"]

Known: TypeAlias = Principal | str | int | UUID | None

Authenticate: TypeAlias = Callable[[Scope], Awaitable[Known] | Known]
"""The host's authentication: returns a Principal, its id alone, or None for an unknown caller (401). A plain
function runs in a thread. An exception with a `status_code`, as web frameworks have, becomes the answer."""

_CREDENTIAL_HEADERS = frozenset((b"x-api-key", b"authorization"))


_MOST_KNOWN: Final = 512
_MOST_KNOWN_BYTES: Final = 8 * 1024
_LONGEST_LENGTH: Final = 20
"""Bounds on known heads: their number, the bytes of each, and the digits of a content-length."""


_NOTHING_KNOWN: Final = (None, b"", None)


class Admitted(NamedTuple):
    """A caller that may go on: headers and query without credentials, and its own key for an upstream."""

    principal: Principal | None
    headers: Headers
    query: bytes
    credential: Credential | None


class RepeatedHeaders(tuple[tuple[bytes, bytes], ...]):
    """The headers of a head that a client sends again and again, but for its `content-length`.

    Our own server makes them. `kept`: what was decided about the head, shared by all requests with it.
    """

    kept: dict[str, Any]


class GatewayKeys:
    """Compares credentials with the configured keys, by SHA-256 and in constant time."""

    def __init__(self, keys: Iterable[Secret], scopes: Mapping[str, tuple[str, ...]] | None = None) -> None:
        digests = [(_digest(key.reveal().encode()), key.label) for key in keys]
        self._known = [
            (digest, Principal(name or f"key-{digest.hex()[:8]}", scopes=(scopes or {}).get(name, ())))
            for digest, name in digests
        ]

    def principal(self, credential: Credential) -> Principal | None:
        """Returns the owner of a key, named after its variable or file, or None."""
        digest = _digest(credential.value)
        found: Principal | None = None
        for known, owner in self._known:  # no early exit: the time must not reveal a match
            if hmac.compare_digest(known, digest):
                found = owner
        return found

    def __bool__(self) -> bool:
        return bool(self._known)


class KnownHeads:
    """Heads of requests that were admitted. A client sends the same one with each call, but for its length.

    Only heads with a gateway key are known, and none with a client's own key. A look-up first compares hashes
    that are keyed by this process, so its time reveals nothing of a key.
    """

    def __init__(self, header_bytes: int) -> None:
        self._most = min(_MOST_KNOWN_BYTES, header_bytes - _LONGEST_LENGTH)
        self._known: dict[Any, tuple[Principal | None, dict[str, Any]]] = {}

    def find(self, scope: Scope) -> Admitted | None:
        """Returns the admitted caller of this head, or None."""
        headers, query = scope["headers"], scope.get("query_string", b"")
        if type(headers) is RepeatedHeaders:
            owner, asked, known = headers.kept.get("known", _NOTHING_KNOWN)
            if owner is not self or asked != query:
                known = self._known.get(_head(headers, query))
                headers.kept["known"] = (self, query, known) if known is not None else _NOTHING_KNOWN
        else:
            known = self._known.get(_head(headers, query))
        if known is None:
            return None
        principal, kept = known
        return Admitted(principal, KeptHeaders(_without_credentials(headers), kept), query, None)

    def add(self, scope: Scope, admitted: Admitted) -> None:
        """Remembers an admitted head, unless it is large, has an own key, or has parts that were left out."""
        headers, query = scope["headers"], scope.get("query_string", b"")
        size = len(query) + sum(map(len, chain.from_iterable(headers)))
        whole = len(admitted.headers) == len(_without_credentials(headers)) and admitted.query == query
        if size > self._most or not whole or admitted.credential is not None:
            return
        if len(self._known) >= _MOST_KNOWN:
            self._known.clear()
        self._known[_head(headers, query)] = admitted.principal, {}


def _head(headers: Headers, query: bytes) -> tuple[Any, ...]:
    return query, *[pair for pair in headers if pair[0] != b"content-length"]


class Admission:
    """Decides who may call. Raises ConfigError if nothing is configured: an open gateway must be explicit."""

    def __init__(
        self, config: Config, authenticate: Authenticate | None = None, stored: StoredKeys | None = None
    ) -> None:
        self._configured = config.keys
        self._header_bytes = config.limits.header_bytes
        self._stored = stored
        self._anonymous = config.anonymous
        self._scopes = config.scopes
        self.read_keys()
        self._authenticate = authenticate
        self._in_thread = authenticate is not None and not _is_async(authenticate)
        if authenticate is None and not self._keys and stored is None and not config.anonymous:
            raise ConfigError(
                "auth", "nobody may call: set keys, an authenticate function, or anonymous = true"
            )

    def read_keys(self) -> None:
        """Takes the configured keys as they are now. Call it after a `file:` secret has changed."""
        self._search = KeySearch(key.reveal().encode() for key in self._configured)
        self._keys = GatewayKeys(self._configured, self._scopes)
        self._heads = KnownHeads(self._header_bytes)

    def known(self, scope: Scope) -> Admitted | None:
        """Returns the caller whose gateway key came in the same head before; None if `admit` must decide."""
        return self._heads.find(scope) if self._authenticate is None and self._keys else None

    async def admit(self, scope: Scope) -> Admitted:
        """Returns the admitted caller. Raises AuthenticationFailedError, or the errors of `check_anonymous`."""
        headers: Headers = scope["headers"]
        if self._stored is not None and (found := await self._admit_by_store(scope, headers, self._stored)):
            return found
        if self._authenticate is not None:
            return await self._admit_by_host(scope, headers, self._authenticate)
        if self._keys or not self._anonymous:
            own = client_credentials(headers)
            admitted = _admitted(self._owner(own), scope, headers, own, self._search)
            self._heads.add(scope, admitted)
            return admitted
        check_anonymous(scope)
        return _admitted(None, scope, headers, client_credentials(headers), self._search)

    async def _admit_by_store(self, scope: Scope, headers: Headers, stored: StoredKeys) -> Admitted | None:
        """Returns the caller with a key of the store; None without one. The key never goes upstream."""
        own = client_credentials(headers)
        for credential in own:
            principal = await stored.principal(credential.value)
            if principal is not None:
                search = self._search.together_with([credential.value])
                return _admitted(principal, scope, headers, own, search)
        return None

    def _owner(self, credentials: list[Credential]) -> Principal:
        """Returns the owner of the gateway key. Raises AuthenticationFailedError."""
        owners = [self._keys.principal(credential) for credential in credentials]
        principal = next((owner for owner in owners if owner is not None), None)
        if principal is None:
            raise AuthenticationFailedError(
                "invalid x-api-key" if credentials else "x-api-key header is required"
            )
        return principal

    async def _admit_by_host(self, scope: Scope, headers: Headers, authenticate: Authenticate) -> Admitted:
        """Returns the caller that the host's function names. Raises AuthenticationFailedError without one.

        Raises TypeError for a principal that cannot be recorded.
        """
        who = await self._ask(authenticate, scope)
        if who is None:
            raise AuthenticationFailedError("the caller is not authenticated")
        principal = who if isinstance(who, Principal) else Principal(_id(who))
        principal = replace(principal, id=_id(principal.id))
        _check_text(principal)
        spent = {name.lower().encode("latin-1") for name in principal.consumes}
        search = self._search
        if spent:
            search = search.together_with(_tokens([value for name, value in headers if name in spent]))
        headers = [pair for pair in headers if pair[0] not in spent]
        return _admitted(principal, scope, headers, client_credentials(headers), search)

    async def _ask(self, authenticate: Authenticate, scope: Scope) -> Known:
        try:
            who = await _in_thread(authenticate, scope) if self._in_thread else authenticate(scope)
            return await who if inspect.isawaitable(who) else who
        except NexusFlowError:
            raise
        except Exception as error:
            refusal = refusal_of(error)
            if refusal is None:
                raise
            raise refusal from None


async def _in_thread(authenticate: Authenticate, scope: Scope) -> Any:
    """Returns the function's result, wrapped while it crosses threads: trio cannot return an awaitable."""
    [who] = await anyio.to_thread.run_sync(lambda: [authenticate(scope)])
    return who


def _is_async(function: Any) -> bool:
    called = getattr(cast(object, type(function)), "__call__", None)  # noqa: B004 - of a callable object
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(called)


def _id(who: Any) -> str:
    """Returns a user's id as text; databases use numbers. Raises TypeError for other types."""
    if isinstance(who, str | int | UUID) and not isinstance(who, bool):
        return str(who)
    raise TypeError(f"authenticate: the principal's 'id' is {type(who).__name__}, not str")


def _tokens(values: Iterable[bytes]) -> Iterable[bytes]:
    """Yields the host's tokens in these header values: each value, and a token without its scheme."""
    for value in values:
        yield value.strip()
        scheme, _, token = value.strip().partition(b" ")
        if scheme.lower() in (b"bearer", b"basic", b"token"):
            yield token.strip()


def _check_text(principal: Principal) -> None:
    """Raises TypeError unless id, metadata and scopes are strings that UTF-8 can hold.

    Records must be writable. Nothing is converted, so that a missing team does not become "None".
    """
    scopes: Any = principal.scopes
    if type(scopes) is not tuple:
        raise TypeError("authenticate: the principal's 'scopes' is not a tuple of strings")
    scoped = [(f"scopes[{at}]", scope) for at, scope in enumerate(principal.scopes)]
    fields: list[tuple[Any, Any]] = [("id", principal.id), *principal.metadata.items(), *scoped]
    for name, value in fields:
        if not isinstance(name, str) or not isinstance(value, str):
            raise TypeError(f"authenticate: the principal's {name!r} is {type(value).__name__}, not str")
        try:
            (name + value).encode()
        except UnicodeEncodeError:
            raise TypeError(f"authenticate: the principal's {name!r} is not valid Unicode: {value!r}") from None
    if (why := wrong_scopes(principal.scopes)) is not None:
        raise TypeError(f"authenticate: the principal's 'scopes': {why}")


def _admitted(
    principal: Principal | None, scope: Scope, headers: Headers, own: list[Credential], search: KeySearch
) -> Admitted:
    """Returns the caller with its own credential for an upstream: the first one that is not a gateway key.

    Headers and query parameters that contain a gateway key are left out.
    """
    headers, query = _without_credentials(headers), scope.get("query_string", b"")
    own = [credential for credential in own if key_id(credential.value) is None]  # not even a revoked one
    if search:
        own = [credential for credential in own if not search.finds(credential.value)]
        headers, query = search.without_keys(headers, query)
    return Admitted(principal, headers, query, own[0] if own else None)


def _without_credentials(headers: Headers) -> Headers:
    return [pair for pair in headers if pair[0] not in _CREDENTIAL_HEADERS]


def _digest(value: bytes) -> bytes:
    return hashlib.sha256(value).digest()
