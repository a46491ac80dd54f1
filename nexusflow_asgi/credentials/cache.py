"""CredentialCache: the current credential of one upstream on one event loop, with one refresh at a time.

AuthorizedTransport adds it to each request, just before it is sent.

A refresh runs apart from the calls that wait for it: none of them can cancel it by leaving. Each call waits as
long as for a connection. So a refresh that hangs or fails costs only calls to its own upstream.
"""

import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final, TypeAlias

import anyio

from nexusflow_asgi.hooks import logger
from nexusflow_asgi.transports import Transport, TransportResponse
from nexusflow_core.errors import UpstreamUnreachableError
from nexusflow_core.upstream import (
    FetchedCredential,
    Upstream,
    UpstreamRequest,
    authorized,
    cleaned,
    fresh_for,
    masked,
)
from nexusflow_core.upstream.headers import CONTROL

__all__ = ["AuthorizedTransport", "CredentialCache", "Fetch"]

Fetch: TypeAlias = Callable[["Flight", bool], None]
"""Starts a refresh, which ends in a verb of the Flight, on this loop. True: the last credential was refused."""

_LOST_SECONDS: Final = 60.0
"""After this time a refresh that hangs is given up, and another may begin."""
MAX_LOST: Final = 4
"""Bound on refreshes that hang. With so many nothing more is started until one of them ends."""

_AGAIN_SECONDS: Final = 1.0
"""Between two refreshes because of a refusal, if the refused credential had worked before."""
_UNPROVED_SECONDS: Final = 10.0
"""The same if it had never worked: then a new one will hardly do better."""

MAX_BYTES: Final = 64 * 1024
"""Bound on the bytes of a credential: servers accept far fewer."""
_CAUSE: Final = 300
"""Characters of a failure's text in the log."""
_REFUSED: Final = frozenset((401, 403))
"""Statuses that refuse a credential."""


class Flight:
    """One refresh. Its calls wait for `landed`."""

    def __init__(self, cache: "CredentialCache") -> None:
        self.started = time.monotonic()
        self.landed = anyio.Event()
        self.credential: FetchedCredential | None = None
        self._cache = cache

    def land(self, credential: FetchedCredential) -> None:
        """Ends the refresh with its result, or with a failure if no request can carry it."""
        if _is_sendable(credential):
            self.credential = credential
            self._cache.end(self)
        else:
            self.fail(ValueError("the credential has characters that no header can carry, or is too long"))

    def fail(self, error: BaseException) -> None:
        """Ends the refresh with a failure, which is logged once. Its text is cleaned of keys."""
        self._cache.warn(error)
        self._cache.end(self)

    def give_up(self) -> None:
        """Ends the refresh without a result: the loop is being closed."""
        self._cache.end(self)


def _is_sendable(credential: FetchedCredential) -> bool:
    """True if the credential can be sent. A hostile token server may try to end a header, or send no text."""
    values = [value for _, value in credential.headers]
    secrets = list(credential.secrets())
    if not all(isinstance(value, str) and value.isascii() for value in secrets):  # pyright: ignore
        return False
    values += [value.encode() for value in secrets]
    return sum(map(len, values)) <= MAX_BYTES and not CONTROL.search(b" ".join(values))


class CredentialCache:
    """Gives each attempt a credential that is not about to expire."""

    def __init__(self, upstream: Upstream, fetch: Fetch) -> None:
        self._upstream = upstream
        self._fetch = fetch
        self._current: FetchedCredential | None = None
        self._fresh_until = 0.0
        self._flight: Flight | None = None
        self._lost = 0
        self._proved: FetchedCredential | None = None  # the last one that an answer accepted
        self._refused_at = float("-inf")

    async def get(self) -> FetchedCredential:
        """Returns a fresh credential. Raises UpstreamUnreachableError if none arrives in time."""
        current = self._current
        if current is not None and time.monotonic() < self._fresh_until:
            return current
        return await self._refreshed(anew=False)

    async def instead_of(self, refused: FetchedCredential) -> FetchedCredential | None:
        """Returns another credential for one that was refused; None if another cannot help now."""
        if self._current is not None and self._current is not refused:
            return await self.get()
        now = time.monotonic()
        pause = _AGAIN_SECONDS if refused is self._proved else _UNPROVED_SECONDS
        if self._flight is None and now - self._refused_at < pause:
            return None
        if self._flight is None:
            self._refused_at = now  # meanwhile other calls go on with it: the refusal may be about one model
        try:
            return await self._refreshed(anew=True)
        except UpstreamUnreachableError:
            return None  # the refusal is the better answer

    def accepted(self, credential: FetchedCredential) -> None:
        """Notes that an answer accepted this credential."""
        self._proved = credential

    async def _refreshed(self, *, anew: bool) -> FetchedCredential:
        flight = self._started(anew)
        if flight is not None:
            with anyio.move_on_after(self._upstream.timeouts.connect):
                await flight.landed.wait()
            if flight.credential is not None:
                return flight.credential
        raise UpstreamUnreachableError(
            f"upstream {self._upstream.name}: its credential could not be fetched", reason="credential"
        )

    def _started(self, anew: bool) -> Flight | None:
        """Returns the running refresh, or a new one; None if too many of them hang."""
        flight = self._flight
        if flight is not None and time.monotonic() - flight.started < _LOST_SECONDS:
            return flight
        if flight is not None:
            self._lost += 1
            logger.warning("upstream %s: fetching its credential hangs", self._upstream.name)
        if self._lost >= MAX_LOST:
            self._flight = None
            return None
        self._flight = flight = Flight(self)
        try:
            self._fetch(flight, anew)
        except Exception as error:  # no thread can be started
            flight.fail(error)
        return flight

    def end(self, flight: Flight) -> None:
        """Takes the result of a refresh, and wakes the calls that wait for it. A late result is of use too."""
        if flight is self._flight:
            self._flight = None
        else:
            self._lost -= 1
        if (credential := flight.credential) is not None:
            if self._upstream.fetched is not None:
                self._upstream.fetched.note(credential)
            self._current = credential
            self._fresh_until = time.monotonic() + fresh_for(credential, datetime.now(UTC))
        flight.landed.set()

    def warn(self, error: BaseException) -> None:
        """Logs why a refresh failed."""
        text = " ".join(cleaned(str(error), None).split())
        for secret in self._upstream.hidden():
            text = masked(text, secret)
        where, kind = self._upstream.name, type(error).__name__
        logger.warning("upstream %s: its credential could not be fetched: %s: %s", where, kind, text[:_CAUSE])


class AuthorizedTransport:
    """A transport that adds a fetched credential. If it is refused, another one is tried once."""

    def __init__(self, transport: Transport, credentials: CredentialCache) -> None:
        self._transport = transport
        self._credentials = credentials

    async def send(self, request: UpstreamRequest) -> TransportResponse:
        """Returns the answer, as `Transport.send`. Raises UpstreamError, also without a credential."""
        credentials, plain = self._credentials, request.headers
        credential = await credentials.get()
        request.headers = authorized(request, plain, credential, datetime.now(UTC))
        response = await self._transport.send(request)
        if response.status not in _REFUSED:
            credentials.accepted(credential)
            return response
        try:
            other = await credentials.instead_of(credential)
        except BaseException:  # the client has left
            with anyio.CancelScope(shield=True):
                await response.aclose()
            raise
        if other is None:
            return response
        await response.aclose()
        request.headers = authorized(request, plain, other, datetime.now(UTC))
        response = await self._transport.send(request)
        if response.status not in _REFUSED:
            credentials.accepted(other)
        return response

    async def aclose(self) -> None:
        """Closes all connections."""
        await self._transport.aclose()
