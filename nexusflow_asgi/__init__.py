"""NexusFlow as an ASGI app: mount it, wrap an app in it, or serve it alone."""

import importlib
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from nexusflow_asgi.app import NexusFlow
    from nexusflow_asgi.auth import Authenticate
    from nexusflow_asgi.call_log import CallLog
    from nexusflow_asgi.credentials import FetchCredential
    from nexusflow_asgi.hooks import AfterHook, BeforeHook, Hook, LoggingHook
    from nexusflow_asgi.settings import load_config
    from nexusflow_asgi.transports import Transport, TransportName, TransportResponse

__all__ = [
    "AfterHook",
    "Authenticate",
    "BeforeHook",
    "CallLog",
    "FetchCredential",
    "Hook",
    "LoggingHook",
    "NexusFlow",
    "Transport",
    "TransportName",
    "TransportResponse",
    "load_config",
]

_MODULES: Final = {
    "app": ("NexusFlow",),
    "auth": ("Authenticate",),
    "call_log": ("CallLog",),
    "credentials": ("FetchCredential",),
    "hooks": ("AfterHook", "BeforeHook", "Hook", "LoggingHook"),
    "settings": ("load_config",),
    "transports": ("Transport", "TransportName", "TransportResponse"),
}


def __getattr__(name: str) -> Any:
    """Imports a public name on first use, so that the command, which is in this package, starts fast."""
    for module, names in _MODULES.items():
        if name in names:
            value = getattr(importlib.import_module(f"nexusflow_asgi.{module}"), name)
            globals()[name] = value
            return value
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
