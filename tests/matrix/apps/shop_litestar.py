"""A shop on Litestar, as an author writes it: sessions, CORS, a middleware, and a page of what calls cost."""

from typing import Any

from litestar import Litestar, MediaType, Request, asgi, get, post
from litestar.config.cors import CORSConfig
from litestar.exceptions import HTTPException, NotAuthorizedException
from litestar.middleware.session.server_side import ServerSideSessionConfig
from litestar.types import ASGIApp, Message, Receive, Scope, Send
from shop_page import PAGE

from nexusflow_asgi import NexusFlow
from nexusflow_core import CallRecord, Principal

records: list[CallRecord] = []


class Spend:
    def after(self, record: CallRecord) -> None:
        records.append(record)


def who(scope: Any) -> Principal:
    """A plain function: the session is in the scope already."""
    user = (scope.get("session") or {}).get("user")
    if user is None:
        raise NotAuthorizedException("log in first", headers={"www-authenticate": "Session"})
    if user == "mallory":
        raise HTTPException("this account is closed", status_code=403)
    return Principal(user)


@get("/", media_type=MediaType.HTML)
async def page() -> str:
    return PAGE


@post("/login/{user:str}", status_code=200)
async def login(user: str, request: Request) -> str:
    request.set_session({"user": user})
    return "welcome"


@get("/spend")
async def spend() -> list[dict[str, Any]]:
    return [record.as_dict() for record in records]


def marked(app: ASGIApp) -> ASGIApp:
    """The shop's own middleware."""

    async def middleware(scope: Scope, receive: Receive, send: Send) -> None:
        async def marking(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], (b"x-shop", b"seen")]
            await send(message)

        await app(scope, receive, marking)

    return middleware


def make_app(**options: Any) -> Litestar:
    """The app; tests pass `transport="offline"`."""
    gateway = NexusFlow(config="nexusflow.toml", authenticate=who, hooks=[Spend()], **options)
    mount = asgi("/llm", is_mount=True, copy_scope=True)(gateway)
    cors = CORSConfig(
        allow_origins=["https://shop.example"],
        allow_credentials=True,
        allow_methods=["POST"],
        allow_headers=["content-type", "anthropic-version"],
    )
    return Litestar(
        [page, login, spend, mount],
        lifespan=[gateway.lifespan],
        middleware=[ServerSideSessionConfig().middleware, marked],
        cors_config=cors,
    )


app = make_app()
