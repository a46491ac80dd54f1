"""Starlette with NexusFlow mounted."""

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Mount, Route

from nexusflow_asgi import NexusFlow


async def home(request: Request) -> PlainTextResponse:
    return PlainTextResponse("the host's own page")


gateway = NexusFlow(config="nexusflow.toml")
app = Starlette(routes=[Route("/", home), Mount("/llm", gateway)], lifespan=gateway.lifespan)
