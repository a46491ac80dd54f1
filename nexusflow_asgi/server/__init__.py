"""The server behind `nexusflow serve`: uvicorn, with bounds for strangers."""

from nexusflow_asgi.server.limits import ServerLimits
from nexusflow_asgi.server.protocol import GatewayProtocol

__all__ = ["GatewayProtocol", "ServerLimits"]
