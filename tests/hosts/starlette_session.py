"""Starlette shares its session's user, HTTP client, logger and database."""

import contextlib
import logging
import sqlite3
from collections.abc import AsyncIterator

import anyio.to_thread
import httpx2
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.sessions import SessionMiddleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Mount, Route
from starlette.types import Scope

from nexusflow_asgi import LoggingHook, NexusFlow
from nexusflow_asgi.transports.httpx import HttpxTransport
from nexusflow_core import CallRecord, Principal

log = logging.getLogger("shop.llm")


async def who(scope: Scope) -> Principal | None:
    """SessionMiddleware wraps the app, so the scope has the session."""
    session = scope["session"]
    if "user" not in session:
        return None
    return Principal(session["user"], metadata={"team": session["team"], "session": session["id"]})


class Ledger:
    """Writes each record into the host's database."""

    async def after(self, record: CallRecord) -> None:
        row = (record.request_id, record.principal, record.metadata.get("team"), record.cost_usd)
        await anyio.to_thread.run_sync(self._insert, row)

    def _insert(self, row: tuple[str | None, ...]) -> None:
        with contextlib.closing(sqlite3.connect("host.sqlite3")) as database, database:
            database.execute("CREATE TABLE IF NOT EXISTS calls (id, principal, team, cost_usd)")
            database.execute("INSERT INTO calls VALUES (?, ?, ?, ?)", row)


async def login(request: Request) -> Response:
    request.session.update(user="alice", team="red", id="s-1")
    return PlainTextResponse("welcome")


async def note(request: httpx2.Request) -> None:
    log.info("%s %s goes out", request.method, request.url.path)


client = httpx2.AsyncClient(event_hooks={"request": [note]})
gateway = NexusFlow(
    config="nexusflow.toml",
    authenticate=who,
    transport=HttpxTransport(client),
    hooks=[Ledger(), LoggingHook(logger=log)],
)


@contextlib.asynccontextmanager
async def lifespan(app: Starlette) -> AsyncIterator[None]:
    logging.basicConfig(filename="host.log", level=logging.INFO)
    async with client, gateway:
        yield


app = Starlette(
    routes=[Route("/login", login, methods=["POST"]), Mount("/llm", gateway)],
    middleware=[Middleware(SessionMiddleware, secret_key="not-a-secret")],
    lifespan=lifespan,
)
