"""FastAPI shares its session's user, HTTP client, logger and database."""

import contextlib
from collections.abc import AsyncIterator

from fastapi import FastAPI, HTTPException, Request
from ledger import Ledger, client, log
from starlette.middleware.sessions import SessionMiddleware

from nexusflow_asgi import LoggingHook, NexusFlow
from nexusflow_asgi.contrib.fastapi import from_dependency
from nexusflow_asgi.transports.httpx import HttpxTransport
from nexusflow_core import Principal


async def current_user(request: Request) -> Principal:
    if "user" not in request.session:
        raise HTTPException(401)
    return Principal(request.session["user"], metadata={"team": request.session["team"]})


gateway = NexusFlow(
    config="nexusflow.toml",
    authenticate=from_dependency(current_user),
    transport=HttpxTransport(client),
    hooks=[Ledger(), LoggingHook(logger=log)],
)


@contextlib.asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    async with client, gateway:
        yield


app = FastAPI(lifespan=lifespan)
app.add_middleware(SessionMiddleware, secret_key="not-a-secret")
app.mount("/llm", gateway)


@app.post("/login")
async def login(request: Request) -> str:
    request.session.update(user="alice", team="red")
    return "welcome"
