"""A shop on FastAPI, as an author writes it: sessions, CORS, a middleware, and a page of what calls cost."""

from typing import Any

from fastapi import FastAPI, HTTPException, Request
from fastapi.middleware.cors import CORSMiddleware
from fastapi.responses import HTMLResponse, Response
from shop_page import PAGE
from starlette.middleware.base import RequestResponseEndpoint
from starlette.middleware.sessions import SessionMiddleware
from starlette.types import Scope

from nexusflow_asgi import NexusFlow
from nexusflow_core import CallRecord, Principal

records: list[CallRecord] = []


class Spend:
    def after(self, record: CallRecord) -> None:
        records.append(record)


def who(scope: Scope) -> Principal:
    """A plain function: the session is in the scope already."""
    user = scope["session"].get("user")
    if user is None:
        raise HTTPException(401, "log in first", headers={"www-authenticate": "Session"})
    if user == "mallory":
        raise HTTPException(403, "this account is closed")
    return Principal(user)


def make_app(**options: Any) -> FastAPI:
    """The app; tests pass `transport="offline"`."""
    gateway = NexusFlow(config="nexusflow.toml", authenticate=who, hooks=[Spend()], **options)
    app = FastAPI(lifespan=gateway.lifespan)
    app.mount("/llm", gateway)

    @app.get("/", response_class=HTMLResponse)
    async def page() -> str:
        return PAGE

    @app.post("/login/{user}")
    async def login(user: str, request: Request) -> str:
        request.session["user"] = user
        return "welcome"

    @app.get("/spend")
    async def spend() -> list[dict[str, Any]]:
        return [record.as_dict() for record in records]

    @app.middleware("http")
    async def marked(request: Request, call_next: RequestResponseEndpoint) -> Response:
        response = await call_next(request)
        response.headers["x-shop"] = "seen"
        return response

    app.add_middleware(SessionMiddleware, secret_key="not-a-secret")
    app.add_middleware(
        CORSMiddleware,
        allow_origins=["https://shop.example"],
        allow_credentials=True,
        allow_methods=["POST"],
        allow_headers=["content-type", "anthropic-version"],
    )
    return app


app = make_app()
