"""NexusFlow as an ASGI app: mount it, wrap an app in it, or serve it alone."""

from nexusflow_asgi.app import NexusFlow
from nexusflow_asgi.auth import Authenticate
from nexusflow_asgi.call_log import CallLog
from nexusflow_asgi.hooks import AfterHook, BeforeHook, Hook, LoggingHook
from nexusflow_asgi.settings import load_config
from nexusflow_asgi.transports import Transport, TransportName, TransportResponse

__all__ = [
    "AfterHook",
    "Authenticate",
    "BeforeHook",
    "CallLog",
    "Hook",
    "LoggingHook",
    "NexusFlow",
    "Transport",
    "TransportName",
    "TransportResponse",
    "load_config",
]
