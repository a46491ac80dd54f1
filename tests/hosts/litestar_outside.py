"""Litestar inside, NexusFlow outside: its middlewares and guards see nothing of our paths."""

from litestar import Litestar, MediaType, get

from nexusflow_asgi import NexusFlow


@get("/", media_type=MediaType.TEXT)
async def home() -> str:
    return "the host's own page"


app = NexusFlow(Litestar([home]), config="nexusflow.toml", prefix="/llm")
