"""Litestar wrapped by NexusFlow; Litestar's middlewares and guards do not run for our paths."""

from litestar import Litestar, MediaType, get

from nexusflow_asgi import NexusFlow


@get("/", media_type=MediaType.TEXT)
async def home() -> str:
    return "the host's own page"


app = NexusFlow(Litestar([home]), config="nexusflow.toml", prefix="/llm")
