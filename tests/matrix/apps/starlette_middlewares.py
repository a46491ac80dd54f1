"""The gateway in a Starlette mount, under each middleware that Starlette has for a host."""

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware, RequestResponseEndpoint
from starlette.middleware.cors import CORSMiddleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.middleware.sessions import SessionMiddleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Mount

from nexusflow_asgi import NexusFlow


async def plain(request: Request, call_next: RequestResponseEndpoint) -> Response:
    response = await call_next(request)
    response.headers["x-host"] = "seen"
    return response


async def reading(request: Request, call_next: RequestResponseEndpoint) -> Response:
    size = len(await request.body())
    response = await call_next(request)
    response.headers["x-host"] = str(size)
    return response


def under(*middleware: Middleware) -> Starlette:
    gateway = NexusFlow(config="nexusflow.toml")
    return Starlette(routes=[Mount("/llm", gateway)], middleware=middleware, lifespan=gateway.lifespan)


def behind(*middleware: Middleware) -> Starlette:
    """Ours is the outermost but for those given."""
    ours = Middleware(NexusFlow, config="nexusflow.toml", prefix="/llm")
    return Starlette(middleware=[*middleware, ours])


ONE = Middleware(BaseHTTPMiddleware, dispatch=plain)
READING = Middleware(BaseHTTPMiddleware, dispatch=reading)
CORS = Middleware(CORSMiddleware, allow_origins=["https://app.example"], allow_headers=["*"])

gzip = under(Middleware(GZipMiddleware, minimum_size=1))
cors = under(CORS)
session = under(Middleware(SessionMiddleware, secret_key="not-a-secret"))
base_http = under(ONE)
base_http_twice = under(ONE, ONE)
base_http_reading = under(READING)
everything = under(Middleware(GZipMiddleware, minimum_size=1), CORS, READING, ONE)
ours_inside_base_http = behind(ONE, READING)
