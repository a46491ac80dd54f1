"""Quart shares its session's user, HTTP client, logger and database."""

from http.cookies import SimpleCookie

from itsdangerous import BadSignature
from ledger import Ledger, client, log
from quart import Quart, session
from starlette.types import Scope

from nexusflow_asgi import LoggingHook, NexusFlow
from nexusflow_asgi.transports.httpx import HttpxTransport
from nexusflow_core import Principal

app = Quart(__name__)
app.secret_key = "not-a-secret"  # an example's


async def who(scope: Scope) -> Principal | None:
    """We are outside of Quart, so its session is read as Quart itself reads it: from its signed cookie."""
    cookies = SimpleCookie(dict(scope["headers"]).get(b"cookie", b"").decode("latin-1"))
    cookie = cookies.get(app.config["SESSION_COOKIE_NAME"])
    serializer = app.session_interface.get_signing_serializer(app)
    if cookie is None or serializer is None:
        return None
    try:
        found = serializer.loads(cookie.value, max_age=int(app.permanent_session_lifetime.total_seconds()))
    except BadSignature:
        return None
    return Principal(found["user"], metadata={"team": found["team"]}) if "user" in found else None


@app.post("/login")
async def login() -> str:
    session.update(user="alice", team="red")
    return "welcome"


@app.after_serving
async def close() -> None:
    await client.aclose()


app.asgi_app = NexusFlow(
    app.asgi_app,
    config="nexusflow.toml",
    prefix="/llm",
    authenticate=who,
    transport=HttpxTransport(client),
    hooks=[Ledger(), LoggingHook(logger=log)],
)
