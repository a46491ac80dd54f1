"""Opens the store of a URL or of a host's engine. The error for a missing library names the extra."""

import importlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from nexusflow_asgi.stores.memory import MemoryStore
from nexusflow_asgi.stores.protocol import CapStore
from nexusflow_core.errors import ConfigError

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncEngine

    from nexusflow_asgi.stores.tables import Tables

__all__ = ["open_store"]

_DRIVERS: Final = {
    "sqlite": ("sqlite+aiosqlite", "aiosqlite", "sql"),
    "postgresql": ("postgresql+asyncpg", "asyncpg", "postgres"),
    "mariadb": ("mariadb+asyncmy", "asyncmy", "mariadb"),
}
"""The driver of each database, the module that it needs, and the extra that installs both."""

_ALIASES: Final = {"postgres": "postgresql"}


def open_store(where: "str | AsyncEngine", tables: "Tables | None" = None) -> CapStore:
    """Returns the store of a URL, or one in the host's database through its async engine.

    URLs: `memory:`, `sqlite:///nexusflow.db`, `postgresql://...`, `mariadb://...`, `redis://...`. For a URL of
    a database the first call creates the tables; for an engine the host's migrations do, from `tables`.
    Raises ConfigError for another URL, and if a library is missing.
    """
    if not isinstance(where, str):
        return _sql(where.dialect.name)(where, tables)
    scheme, colon, rest = where.partition(":")
    if scheme == "memory":
        return MemoryStore()
    if scheme in ("redis", "rediss", "redis+unix"):
        _need("redis", "redis")
        store: CapStore = importlib.import_module("nexusflow_asgi.stores.redis").RedisStore(where)
        return store
    kind, _, driver = scheme.partition("+")
    kind = _ALIASES.get(kind, kind)
    if kind not in _DRIVERS:
        known = ", ".join(("memory", *_DRIVERS, "redis"))
        raise ConfigError("ledger.url", f"{kind[:40]!r} is not one of {known}")
    name, module, extra = _DRIVERS[kind]
    _need("sqlalchemy", extra)
    if not driver:
        _need(module, extra)
    return _sql(kind)(f"{name if not driver else f'{kind}+{driver}'}{colon}{rest}", tables)


def _sql(dialect: str) -> Callable[..., CapStore]:
    """Returns the class of store for a database, by SQLAlchemy's name for it."""
    if dialect == "postgresql":
        from nexusflow_asgi.stores.postgresql import PostgresStore

        return PostgresStore
    from nexusflow_asgi.stores.sqlalchemy import SqlStore

    return SqlStore


def _need(module: str, extra: str) -> None:
    try:
        importlib.import_module(module)
    except ImportError:
        raise ConfigError("ledger.url", f"needs {module}: pip install 'nexusflow[{extra}]'") from None
