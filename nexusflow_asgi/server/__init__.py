"""The server of `nexusflow serve`: uvicorn with bounds for unknown clients."""

from nexusflow_asgi.server.limits import ServerLimits
from nexusflow_asgi.server.protocol import GatewayProtocol
from nexusflow_asgi.server.reloading import Reloading, Workers

__all__ = ["GatewayProtocol", "Reloading", "ServerLimits", "Workers"]
