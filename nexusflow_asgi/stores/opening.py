"""Opens the store of a URL or of a host's engine. The error for a missing library names the extra."""

import importlib
import os
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Final

from nexusflow_asgi.stores.key_store import KeyStore
from nexusflow_asgi.stores.memory import MemoryStore
from nexusflow_asgi.stores.protocol import CapStore, LedgerStore
from nexusflow_core.errors import ConfigError

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncEngine

    from nexusflow_asgi.stores.database import Database
    from nexusflow_asgi.stores.tables import Tables

__all__ = ["check_exists", "check_library", "open_database", "open_key_store", "open_ledger", "open_store"]

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
    scheme = where.partition(":")[0]
    if scheme == "memory":
        return MemoryStore()
    if scheme in ("redis", "rediss", "redis+unix"):
        _need("redis", "redis")
        store: CapStore = importlib.import_module("nexusflow_asgi.stores.redis").RedisStore(where)
        return store
    kind, url = _database(where, ("memory", *_DRIVERS, "redis"))
    return _sql(kind)(url, tables)


def open_database(where: "str | AsyncEngine", tables: "Tables | None" = None) -> "Database":
    """Returns the database of a URL or of a host's engine, for keys and the ledger. Raises ConfigError."""
    url = _database(where, _DRIVERS)[1] if isinstance(where, str) else where
    from nexusflow_asgi.stores.database import Database

    return Database(url, tables)


def open_key_store(where: "str | AsyncEngine", tables: "Tables | None" = None) -> KeyStore:
    """Returns the store of gateway keys in a database, as `open_database` opens it. Raises ConfigError."""
    database = open_database(where, tables)
    from nexusflow_asgi.stores.sql_keys import SqlKeyStore

    return SqlKeyStore(database)


def open_ledger(where: "str | AsyncEngine", tables: "Tables | None" = None) -> LedgerStore:
    """Returns the store of a ledger in a database, as `open_database` opens it. Raises ConfigError."""
    database = open_database(where, tables)
    from nexusflow_asgi.stores.sql_ledger import SqlLedger

    return SqlLedger(database)


def check_library(url: str) -> None:
    """Raises ConfigError if the library for a database is not installed, or if no database has such a URL."""
    _database(url, _DRIVERS)


def check_exists(url: str) -> None:
    """Raises ConfigError if a SQLite file that is only read does not exist: opening it would make it."""
    kind, _, path = url.partition(":///")
    name = path.partition("?")[0]
    if kind.startswith("sqlite") and name and name != ":memory:" and not os.path.exists(name):
        raise ConfigError("", f"{name} does not exist; a relative path counts from {os.getcwd()}")


def _database(where: str, known: Iterable[str]) -> tuple[str, str]:
    """Returns the kind of a database and its URL with a driver. Raises ConfigError."""
    scheme, colon, rest = where.partition(":")
    kind, _, driver = scheme.partition("+")
    kind = _ALIASES.get(kind, kind)
    if kind not in _DRIVERS or not colon:
        raise ConfigError("ledger.url", f"{kind[:40]!r} is not one of {', '.join(known)}")
    name, module, extra = _DRIVERS[kind]
    _need("sqlalchemy", extra)
    if not driver:
        _need(module, extra)
    return kind, f"{name if not driver else f'{kind}+{driver}'}{colon}{rest}"


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
