"""NexusFlow: ASGI app, middleware, async context manager and lifespan in one object."""

import contextlib
import os
import threading
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Mapping
from types import TracebackType
from typing import Any, Self

import anyio
from msgspec import Struct
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from nexusflow_asgi.auth import Admission, Authenticate
from nexusflow_asgi.budgets import CallBudgets, OnThreshold
from nexusflow_asgi.calls import Calls
from nexusflow_asgi.credentials import FetchCredential, authorizing, with_host_credentials
from nexusflow_asgi.durable_log import configured_log
from nexusflow_asgi.endpoints import Endpoints
from nexusflow_asgi.hooks import Hook, Hooks
from nexusflow_asgi.ledger import Ledger
from nexusflow_asgi.paths import match_scope
from nexusflow_asgi.readiness import Readiness
from nexusflow_asgi.runtime import LoopStates
from nexusflow_asgi.secret_files import SecretFiles
from nexusflow_asgi.settings import check_files, load_config, price_book, resolve_secrets
from nexusflow_asgi.signals import OnSignals
from nexusflow_asgi.stored_keys import StoredKeys
from nexusflow_asgi.stores import CapStore
from nexusflow_asgi.stores.key_store import KeyStore
from nexusflow_asgi.stores.opening import open_database, open_key_store, open_ledger
from nexusflow_asgi.transports import Transport, TransportName, describe_transport, transport_factory
from nexusflow_core.config import Config
from nexusflow_core.errors import ConfigError
from nexusflow_core.gateway import Gateway
from nexusflow_core.prices import PriceBook

__all__ = ["GatewayState", "NexusFlow"]

_NOT_HERE = (
    "has an effect in `nexusflow serve` alone. Remove it here, and mount SpendPage(gateway) and "
    "MetricsPage(gateway) of nexusflow_asgi.pages behind your own authentication"
)


class GatewayState(Struct, frozen=True):
    """What a gateway is doing at a moment, in this process: calls that run, wait for a slot, or hold money.

    `circuits`: the number of targets that cool down, by upstream.
    """

    running: int
    waiting: int
    holding: int
    circuits: Mapping[str, int]


class NexusFlow:
    """Serves Anthropic's Messages API inside an ASGI app.

    - `app`: the wrapped app, if this is a middleware; None for a mount or alone.
    - `config`: a Config, or the path of a nexusflow.toml. Secrets are read from the environment now.
    - `prefix`: the path of the gateway, as a middleware or alone.
    - `authenticate`: the host's own authentication, instead of `[auth]` keys.
    - `credentials`: async functions for credentials, by upstream. Each returns headers and an expiry, or None.
    - `hooks`: objects with `before(call)` or `after(record)`.
    - `transport`: "auto" (the fastest that is installed of "h1", "aiohttp", "httpx"), one of these, "offline"
      (the simulator), or your own Transport.
    - `book`: your own prices, instead of the built-in ones and those of `[prices]`.
    - `keys`: where keys are kept that your code creates; by default the database of `[ledger]`. They are
      accepted beside those of `[auth]`, and beside `authenticate`.
    - `grace`: seconds for running calls to finish at shutdown. Calls still open then are ended with an error;
      this may take up to six more seconds.
    - `close_on_signals`: True closes at SIGTERM and SIGINT at once, beside the server's own handlers. uvicorn
      tells the lifespan only after it has cancelled all calls. Needs the lifespan, asyncio and the main thread.
    - `upstream_server_headers`: True passes on an upstream's `server` and `date`. Only for a server that adds
      neither, or the client gets them twice.
    - `store`: where caps are kept, instead of `[ledger] url`, see `nexusflow_asgi.stores`.
    - `on_threshold(scope, used, cap)`: called once when a scope crosses a threshold of a cap.

    Raises ConfigError if nobody may call, if the call log is not writable, or for any mistake in `config`.
    Connections open at the first call. A lifespan is optional; with one (`lifespan`, `async with`, or as a
    middleware) shutdown waits for running calls.
    """

    _serves_pages = False
    """True in `nexusflow serve`, whose server answers at the pages' paths."""

    def __init__(
        self,
        app: ASGIApp | None = None,
        *,
        config: Config | str | os.PathLike[str],
        prefix: str = "",
        authenticate: Authenticate | None = None,
        credentials: Mapping[str, FetchCredential] | None = None,
        hooks: Iterable[Hook] = (),
        transport: TransportName | Transport = "auto",
        book: PriceBook | None = None,
        keys: KeyStore | None = None,
        grace: float = 5.0,
        close_on_signals: bool = False,
        upstream_server_headers: bool = False,
        store: CapStore | None = None,
        on_threshold: OnThreshold | None = None,
    ) -> None:
        config = config if isinstance(config, Config) else load_config(config)
        check_files(config)
        if not self._serves_pages and (config.pages.spend or config.pages.metrics):
            raise ConfigError("pages", _NOT_HERE)
        config = resolve_secrets(config, os.environ, offline=transport == "offline")
        config = with_host_credentials(config, credentials or {})
        gateway = Gateway(config, book or price_book(config), lock=threading.Lock())
        self._gateway = gateway
        self.config = gateway.config
        self._own_keys: KeyStore | None = None
        if keys is None and config.ledger is not None:
            keys = self._own_keys = open_key_store(config.ledger.reveal())
        self._keys = keys
        admission = Admission(config, authenticate, StoredKeys(keys) if keys is not None else None)
        log = configured_log(config)
        self.ledger = _ledger(config)
        self._app = app
        self._close_on_signals = close_on_signals
        self._prefix = prefix
        self._hooks = Hooks(hooks if self.ledger is None else [self.ledger, *hooks], log)
        self._transport = describe_transport(transport)
        make = transport_factory(transport, config.upstreams.values())
        make = authorizing(make, credentials or {}, offline=transport == "offline")
        self._loops = LoopStates(make, config.limits)
        self._secrets = SecretFiles((secret for _, secret, _ in config.secrets()), admission.read_keys)
        self._budgets = CallBudgets(gateway, store, on_threshold=on_threshold)
        self._calls = Calls(
            gateway,
            admission,
            self._hooks,
            self._loops,
            upstream_server_headers=upstream_server_headers,
            budgets=self._budgets,
        )
        self._endpoints = Endpoints(gateway, admission, Readiness(gateway, self._loops, log))
        self._grace = grace

    def __repr__(self) -> str:
        return f"<NexusFlow transport={self._transport!r}>"

    # Use real types in this signature: Litestar resolves them at runtime.
    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._pass_lifespan(scope, receive, send)
            return
        match = None
        if scope["type"] == "http":
            match = match_scope(scope, self._prefix, self, middleware=self._app is not None)
        if match is None:
            await self._hand_on(scope, receive, send)
            return
        if self._secrets.due():
            await self._secrets.refresh()
        if scope["method"] == "POST" and (match.place == "messages" or match.place == "count_tokens"):
            await self._calls.serve(match.place, scope, receive, send)
        else:
            await self._endpoints.serve(match, scope, receive, send)

    # Lifespan and closing

    async def __aenter__(self) -> Self:
        self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    def start(self) -> None:
        """Begins what does not wait for the first call: the ledger takes over what a killed process has left.

        A lifespan does it too.
        """
        if self.ledger is not None:
            self.ledger.start()

    @contextlib.asynccontextmanager
    async def lifespan(self, app: Any = None) -> AsyncGenerator[None]:
        """For a host that mounts the gateway: `Starlette(..., lifespan=gateway.lifespan)`. Ends in `aclose`."""
        with self._signals():
            async with self:
                yield

    async def aclose(self, grace: float | None = None) -> None:
        """Refuses new calls, waits `grace` seconds for running ones, ends the rest, closes transports, hooks.

        `grace`: None means the app's own. Returns after the call log is written.
        """
        await self._loops.aclose(self._grace if grace is None else grace)
        with anyio.CancelScope(shield=True):
            await self._budgets.aclose()
            await self._hooks.aclose()
            if self._own_keys is not None:
                await self._own_keys.aclose()

    def add_hook(self, hook: Hook) -> None:
        """Adds a hook behind the others, for calls from now on. Raises TypeError for what is not a hook."""
        self._hooks.add(hook)

    def close_too(self, aclose: Callable[[], Awaitable[None]]) -> None:
        """Lets the gateway's `aclose` close something else that belongs to it, such as a page's database."""
        self._hooks.close_too(aclose)

    @property
    def cap_store(self) -> CapStore | None:
        """The store of the windows of caps; None if nothing is capped."""
        return self._budgets.store

    @property
    def key_store(self) -> KeyStore | None:
        """The store of gateway keys; None without `keys` and without `[ledger]`."""
        return self._keys

    def state(self) -> GatewayState:
        """Returns what the gateway is doing now, on all event loops of this process."""
        running, waiting = self._loops.totals()
        circuits = self._gateway.circuits(time.monotonic())
        return GatewayState(running, waiting, self._budgets.holding, circuits)

    def refuse(self) -> None:
        """Refuses every new call with 529, also after `aclose`. For a process that is about to end."""
        self._loops.refuse()

    def _signals(self) -> contextlib.AbstractContextManager[object]:
        return OnSignals(self._close_at_signal) if self._close_on_signals else contextlib.nullcontext()

    async def _close_at_signal(self, hurry: bool) -> None:
        self.refuse()
        await self.aclose(0.0 if hurry else None)

    async def _pass_lifespan(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Closes with the host, as a middleware. Alone, or if the host has no lifespan, answers by itself."""
        begun = False
        self.start()
        with contextlib.ExitStack() as signals:

            async def receive_and_close() -> Message:
                nonlocal begun
                message = await receive()
                if not begun:
                    begun = True
                    signals.enter_context(self._signals())
                if message["type"] == "lifespan.shutdown":
                    await self.aclose()
                return message

            if self._app is not None:
                try:
                    await self._app(scope, receive_and_close, send)
                    if begun:
                        return
                except Exception:  # Django refuses the scope before it reads a message; later errors are real
                    if begun:
                        raise
            await receive_and_close()
            await send({"type": "lifespan.startup.complete"})
            await receive_and_close()
            await send({"type": "lifespan.shutdown.complete"})

    async def _hand_on(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self._app is not None:
            await self._app(scope, receive, send)
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1000})


def _ledger(config: Config) -> Ledger | None:
    """Returns the ledger in the database of `[ledger]`, or None. Raises ConfigError for a wrong URL."""
    if config.ledger is None:
        return None
    url = config.ledger.reveal()
    open_database(url)
    return Ledger(lambda: open_ledger(url), log=config.call_log if config.durable else None)
