"""AuthorizedTransport: adds a credential to each request of an upstream, just before it is sent."""

from datetime import UTC, datetime
from typing import Final

import anyio

from nexusflow_asgi.credentials.cache import CredentialCache
from nexusflow_asgi.transports import Transport, TransportResponse
from nexusflow_core.upstream import UpstreamRequest, authorized

__all__ = ["AuthorizedTransport"]

_REFUSED: Final = frozenset((401, 403))


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
