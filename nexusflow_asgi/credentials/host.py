"""The host's own credentials: `NexusFlow(credentials={"NAME": function})`."""

import inspect
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime
from functools import partial
from typing import Any, Final, TypeAlias

import anyio
from msgspec.structs import replace

from nexusflow_asgi.backend import is_failure, start_apart
from nexusflow_asgi.credentials.cache import Fetch, Flight
from nexusflow_core.config import Config
from nexusflow_core.errors import ConfigError
from nexusflow_core.untyped import is_object
from nexusflow_core.upstream import Fetched, FetchedCredential
from nexusflow_core.upstream.headers import HOP_BY_HOP, is_header_name

__all__ = ["FetchCredential", "from_host", "with_host_credentials"]

FetchCredential: TypeAlias = Callable[[], Awaitable[tuple[Mapping[str, str], datetime | None]]]
"""The host's async function for one upstream's credential. It returns headers, such as
`{"authorization": "Bearer ..."}`, and when they expire, with a timezone. They serve until shortly before that.
With None they serve one attempt. An exception means that the upstream cannot be called now."""

_SECONDS: Final = 60.0
"""A function that takes longer is cancelled."""
_FRAMING: Final = HOP_BY_HOP | {b"host", b"content-length", b"content-type", b"content-encoding"}


def with_host_credentials(config: Config, functions: Mapping[str, FetchCredential]) -> Config:
    """Returns the configuration with the host's credentials for these upstreams. Raises ConfigError."""
    upstreams = dict(config.upstreams)
    for name in functions:
        if name in config.left_out:
            continue
        if name not in upstreams:
            raise ConfigError("credentials", f"no upstream is called {name!r}")
        upstream = upstreams[name]
        if upstream.own_credential:
            why = (
                "has a credential in the configuration: remove `api_key` and `auth` there, or the function here"
            )
            raise ConfigError(f"upstreams.{name}", why)
        upstreams[name] = replace(upstream, fetched=Fetched("host"))
    return config.with_upstreams(upstreams) if functions else config


def from_host(function: FetchCredential) -> Fetch:
    """Returns how to fetch a credential from the host's function."""

    def fetch(flight: Flight, anew: bool) -> None:
        start_apart(partial(_call, function, flight))

    return fetch


async def _call(function: FetchCredential, flight: Flight) -> None:
    try:
        with anyio.fail_after(_SECONDS):
            returned: Any = function()
            if not inspect.isawaitable(returned):
                raise TypeError("the function for a credential must be async")
            credential = _checked(await returned)
    except BaseException as error:  # a cancelled future of the host's is its failure; our own end is not
        if not is_failure(error):
            flight.give_up()
            raise
        flight.fail(error)
    else:
        flight.land(credential)


def _checked(returned: Any) -> FetchedCredential:
    """Returns the credential. Raises TypeError or ValueError, whose texts hold no part of it."""
    try:
        told, expires = returned
    except (TypeError, ValueError):
        raise TypeError("the function for a credential must return headers and an expiry") from None
    if expires is not None and not (isinstance(expires, datetime) and expires.tzinfo is not None):
        raise TypeError("the expiry of a credential must be a datetime with a timezone, or None")
    if not is_object(told) or not all(isinstance(value, str) for value in told.values()):
        raise TypeError("the headers of a credential must be a dict of strings")
    if not all(name.isascii() and value.isascii() for name, value in told.items()):
        raise ValueError("the headers of a credential must be ASCII")
    headers = [(name.lower().encode(), value.strip().encode()) for name, value in told.items()]
    wrong = [name for name, _ in headers if not name or not is_header_name(name) or name in _FRAMING]
    if not headers or wrong:
        raise ValueError("the headers of a credential are none, or not headers that can be set")
    return FetchedCredential(headers, expires_at=expires)
