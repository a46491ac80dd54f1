"""Where an upstream's credential comes from: a cloud's library, the host's function, or a placeholder."""

import importlib.util
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from functools import partial
from threading import Thread
from typing import Final

from msgspec.structs import replace

from nexusflow_asgi.backend import post_to_loop
from nexusflow_asgi.credentials.cache import AuthorizedTransport, CredentialCache, Fetch, Flight
from nexusflow_asgi.credentials.host import FetchCredential, from_host
from nexusflow_asgi.credentials.libraries import AwsCredentials, AzureCredentials, GoogleCredentials
from nexusflow_asgi.transports import Transport
from nexusflow_core.config import Config
from nexusflow_core.errors import ConfigError
from nexusflow_core.upstream import Fetched, FetchedCredential, Upstream
from nexusflow_core.upstream.sigv4 import AwsKeys

__all__ = ["authorizing", "in_thread", "missing_extras", "with_found_keys"]

_LIBRARIES: Final = {"aws": "botocore", "google": "google.auth", "azure": "azure.identity"}
"""The library of each source. The extra has the source's name."""

_OFFLINE: Final = "offline"


def with_found_keys(config: Config, environ: Mapping[str, str]) -> Config:
    """Returns the configuration in which botocore looks for AWS's keys that the environment does not have.

    An optional upstream is not changed: it is left out then.
    """
    upstreams = dict(config.upstreams)
    for name, upstream in upstreams.items():
        signing = upstream.signing
        if signing is None or upstream.fetched is not None or upstream.optional:
            continue
        secrets = (signing.key_id, signing.secret)
        complete = all(secret.known or environ.get(secret.name, "").strip() for secret in secrets)
        if not complete:
            upstreams[name] = replace(upstream, fetched=Fetched("aws"))
    return config.with_upstreams(upstreams) if upstreams != config.upstreams else config


def missing_extras(config: Config) -> list[ConfigError]:
    """Returns an error for each upstream whose credential needs a library that is not installed."""
    wrong: list[ConfigError] = []
    for name, upstream in config.upstreams.items():
        source = upstream.fetched.source if upstream.fetched is not None else ""
        library = _LIBRARIES.get(source)
        if library is not None and not _is_installed(library):
            why = f"needs {library}: pip install 'nexusflow[{source}]'"
            if source == "aws":
                why = f"AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY are not set. To look elsewhere {why}"
            wrong.append(ConfigError(f"upstreams.{name}.auth", why))
    return wrong


def authorizing(
    make: Callable[[Upstream], Transport],
    functions: Mapping[str, FetchCredential],
    *,
    offline: bool = False,
) -> Callable[[Upstream], Transport]:
    """Returns `make` with credentials: a transport adds them to the requests of an upstream that needs some.

    Offline they are placeholders: nothing is looked up.
    """

    def made(upstream: Upstream) -> Transport:
        transport = make(upstream)
        if upstream.fetched is None:
            return transport
        fetch = _placeholder if offline else _fetch_of(upstream, functions)
        return AuthorizedTransport(transport, CredentialCache(upstream, fetch))

    return made


def in_thread(read: Callable[[bool], FetchedCredential]) -> Fetch:
    """Returns how to fetch a credential by a function that blocks: in a daemon thread of its own."""

    def fetch(flight: Flight, anew: bool) -> None:
        post = post_to_loop()

        def run() -> None:
            try:
                credential = read(anew)
            except BaseException as error:  # some libraries raise SystemExit
                post(partial(flight.fail, error))
            else:
                post(partial(flight.land, credential))

        Thread(target=run, name="nexusflow-credential", daemon=True).start()

    return fetch


def _fetch_of(upstream: Upstream, functions: Mapping[str, FetchCredential]) -> Fetch:
    """Returns how to fetch an upstream's credential. A library is imported in its thread, at the first call."""
    source = upstream.fetched.source if upstream.fetched is not None else "host"
    if source == "host":
        return from_host(functions[upstream.name])
    if source == "aws":
        return in_thread(AwsCredentials(upstream.name).read)
    return in_thread((GoogleCredentials() if source == "google" else AzureCredentials()).read)


def _placeholder(flight: Flight, anew: bool) -> None:
    later = datetime.now(UTC) + timedelta(hours=1)
    headers = [(b"authorization", b"Bearer " + _OFFLINE.encode())]
    flight.land(FetchedCredential(headers, AwsKeys(_OFFLINE, _OFFLINE), later))


def _is_installed(library: str) -> bool:
    try:
        return importlib.util.find_spec(library) is not None
    except ModuleNotFoundError:  # its parent package
        return False
