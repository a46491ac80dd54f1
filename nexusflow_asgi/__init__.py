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

if not TYPE_CHECKING:  # a type checker reads the imports above, and so reports a misspelt name
    _MODULES: Final = {
        "app": "NexusFlow",
        "auth": "Authenticate",
        "call_log": "CallLog",
        "credentials": "FetchCredential",
        "hooks": "AfterHook BeforeHook Hook LoggingHook",
        "settings": "load_config",
        "transports": "Transport TransportName TransportResponse",
    }
    _MODULE_OF: Final = {name: module for module, names in _MODULES.items() for name in names.split()}

    def __getattr__(name: str) -> Any:
        """Imports the module of a public name on first use, so that the command starts fast."""
        if (module := _MODULE_OF.get(name)) is not None:
            value = getattr(importlib.import_module(f"{__name__}.{module}"), name)
            globals()[name] = value
            return value
        if name in _MODULES:  # as the imports above would leave it
            return importlib.import_module(f"{__name__}.{name}")
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

    def __dir__() -> list[str]:
        """Returns the public names too that are not imported yet."""
        return sorted({*globals(), *__all__})
