"""FastAPI with NexusFlow mounted; FastAPI's docs and OpenAPI do not show it."""

from fastapi import FastAPI
from fastapi.responses import PlainTextResponse

from nexusflow_asgi import NexusFlow

gateway = NexusFlow(config="nexusflow.toml")
app = FastAPI(lifespan=gateway.lifespan)
app.mount("/llm", gateway)


@app.get("/", response_class=PlainTextResponse)
async def home() -> str:
    return "the host's own page"
