"""No host at all: NexusFlow is the app that the server runs."""

from nexusflow_asgi import NexusFlow

app = NexusFlow(config="nexusflow.toml", prefix="/llm")
