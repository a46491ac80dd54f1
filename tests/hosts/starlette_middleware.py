"""Starlette with NexusFlow as a middleware, which passes the lifespan on."""

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from nexusflow_asgi import NexusFlow


async def home(request: Request) -> PlainTextResponse:
    return PlainTextResponse("the host's own page")


app = Starlette(routes=[Route("/", home)])
app.add_middleware(NexusFlow, config="nexusflow.toml", prefix="/llm")
