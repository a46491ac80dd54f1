"""NexusFlow alone: the server runs it as the app."""

from nexusflow_asgi import NexusFlow

app = NexusFlow(config="nexusflow.toml", prefix="/llm")
