"""NexusFlow's own HTTP/1.1 client for asyncio, on httptools: the default if httptools is installed."""

from nexusflow_asgi.transports.h1.transport import H1Transport

__all__ = ["H1Transport"]
