"""Litestar with NexusFlow mounted."""

from litestar import Litestar, MediaType, asgi, get

from nexusflow_asgi import NexusFlow


@get("/", media_type=MediaType.TEXT)
async def home() -> str:
    return "the host's own page"


gateway = NexusFlow(config="nexusflow.toml")
mount = asgi("/llm", is_mount=True, copy_scope=True)(gateway)
app = Litestar([home, mount], lifespan=[gateway.lifespan])
