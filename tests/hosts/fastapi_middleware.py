"""FastAPI, as a middleware; the lifespan passes through it."""

from fastapi import FastAPI
from fastapi.responses import PlainTextResponse

from nexusflow_asgi import NexusFlow

app = FastAPI()
app.add_middleware(NexusFlow, config="nexusflow.toml", prefix="/llm")


@app.get("/", response_class=PlainTextResponse)
async def home() -> str:
    return "the host's own page"
