"""Litestar shares its session's user, a guard, its HTTP client, logger and database."""

import contextlib
from collections.abc import AsyncIterator

from ledger import Ledger, client, log
from litestar import Litestar, Request, asgi, post
from litestar.connection import ASGIConnection
from litestar.exceptions import NotAuthorizedException
from litestar.handlers import BaseRouteHandler
from litestar.middleware.session.server_side import ServerSideSessionConfig
from starlette.types import Scope

from nexusflow_asgi import LoggingHook, NexusFlow
from nexusflow_asgi.transports.httpx import HttpxTransport
from nexusflow_core import Principal


def not_blocked(connection: ASGIConnection, handler: BaseRouteHandler) -> None:
    """A guard runs before us, and answers in Litestar's own words."""
    if connection.headers.get("x-blocked"):
        raise NotAuthorizedException


async def who(scope: Scope) -> Principal | None:
    session = scope.get("session") or {}
    return Principal(session["user"], metadata={"team": session["team"]}) if "user" in session else None


@post("/login", status_code=200)
async def login(request: Request) -> str:
    request.set_session({"user": "alice", "team": "red"})
    return "welcome"


gateway = NexusFlow(
    config="nexusflow.toml",
    authenticate=who,
    transport=HttpxTransport(client),
    hooks=[Ledger(), LoggingHook(logger=log)],
)


@contextlib.asynccontextmanager
async def lifespan(app: Litestar) -> AsyncIterator[None]:
    async with client, gateway:
        yield


mount = asgi("/llm", is_mount=True, copy_scope=True, guards=[not_blocked])(gateway)
app = Litestar([login, mount], middleware=[ServerSideSessionConfig().middleware], lifespan=[lifespan])
