"""FastAPI with NexusFlow as a middleware, which passes the lifespan on."""

from fastapi import FastAPI
from fastapi.responses import PlainTextResponse

from nexusflow_asgi import NexusFlow

app = FastAPI()
app.add_middleware(NexusFlow, config="nexusflow.toml", prefix="/llm")


@app.get("/", response_class=PlainTextResponse)
async def home() -> str:
    return "the host's own page"
