"""Stores: where the windows and holds of caps are kept. Each is imported when it is used."""

from nexusflow_asgi.stores.memory import MemoryStore
from nexusflow_asgi.stores.opening import open_store
from nexusflow_asgi.stores.protocol import CapStore, Lost, OpenWindow

__all__ = ["CapStore", "Lost", "MemoryStore", "OpenWindow", "open_store"]
