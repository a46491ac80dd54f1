"""Quart wrapped by NexusFlow."""

from quart import Quart

from nexusflow_asgi import NexusFlow

app = Quart(__name__)
app.asgi_app = NexusFlow(app.asgi_app, config="nexusflow.toml", prefix="/llm")


@app.get("/")
async def home() -> str:
    return "the host's own page"
