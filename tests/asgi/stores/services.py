"""The stores of this machine, each in a place of its own. A service that does not answer is skipped by name.

Worker processes import this too, so the libraries are imported where they are used.
"""

from __future__ import annotations

import asyncio
import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from nexusflow_asgi.stores import CapStore, open_store
from nexusflow_asgi.stores.key_store import KeyStore, MemoryKeyStore
from nexusflow_asgi.stores.opening import open_key_store, open_ledger
from nexusflow_asgi.stores.protocol import LedgerStore

DJANGO = ["django-sqlite", "django-postgresql", "django-mariadb"]
LONG = {"django-postgresql", "django-mariadb"}
KINDS = ["memory", "sqlite", "postgresql", "mariadb", "redis", *DJANGO]

POSTGRESQL = os.environ.get(
    "NEXUSFLOW_TEST_POSTGRESQL", "postgresql+asyncpg://postgres@127.0.0.1:5432/postgres"
)
MARIADB = os.environ.get("NEXUSFLOW_TEST_MARIADB", "mariadb+asyncmy://root@127.0.0.1:3306/mysql")
REDIS = os.environ.get("NEXUSFLOW_TEST_REDIS", "redis://127.0.0.1:6379/0")


def parameters(*kinds: str) -> list[Any]:
    """Returns kinds as parameters of a test. Those that take long are for `-m matrix`."""
    import pytest

    return [pytest.param(kind, marks=pytest.mark.matrix if kind in LONG else ()) for kind in kinds]


@contextmanager
def fresh(kind: str, folder: Path) -> Iterator[str]:
    """Gives the address of an empty store, which other processes can open too, and removes it afterwards."""
    if kind == "memory":
        yield "memory:"
    elif kind == "sqlite":
        yield f"sqlite:///{folder}/nexusflow.db"
    elif kind.startswith("django-"):
        with fresh(kind.removeprefix("django-"), folder) as url:
            yield from _fresh_django(url)
    elif kind == "redis":
        yield from _fresh_redis()
    else:
        import pytest
        from sqlalchemy.exc import DBAPIError

        server = POSTGRESQL if kind == "postgresql" else MARIADB
        name = f"nexusflow_test_{uuid.uuid4().hex[:12]}"
        try:
            asyncio.run(_tell(server, f"CREATE DATABASE {name}"))
        except (OSError, DBAPIError) as error:
            pytest.skip(f"no {kind} at {urlsplit(server).netloc}: {type(error).__name__}")
        try:
            yield server.rpartition("/")[0] + f"/{name}"
        finally:
            force = " WITH (FORCE)" if kind == "postgresql" else ""
            asyncio.run(_tell(server, f"DROP DATABASE {name}{force}"))


DJANGO_APP = "nexusflow_asgi.contrib.django"


def _fresh_django(url: str) -> Iterator[str]:
    """The tables of Django's app in an empty database, made by its migrations."""
    alias = django_alias(url)
    from django.core.management import call_command
    from django.db import connections

    call_command("migrate", "nexusflow", database=alias, verbosity=0)
    connections[alias].close()
    try:
        yield f"django:{url}"
    finally:
        connections[alias].close()
        del connections.settings[alias]


def django_alias(url: str) -> str:
    """Returns Django's name for the database of a URL, which this process may not know yet."""
    configure_django()
    from django.db import connections

    if url not in connections.settings:
        parts = urlsplit(url)
        kind = parts.scheme.partition("+")[0]
        backend = {"sqlite": "sqlite3", "mariadb": "mysql"}.get(kind, kind)
        settings: dict[str, Any] = {"ENGINE": f"django.db.backends.{backend}", "NAME": parts.path[1:]}
        if kind == "sqlite":
            settings["OPTIONS"] = {"transaction_mode": "IMMEDIATE"}
        else:
            settings |= {"HOST": parts.hostname, "PORT": parts.port, "USER": parts.username}
            settings["PASSWORD"] = parts.password or ""
        connections.settings[url] = {**connections.settings["default"], **settings}
    return url


def configure_django() -> None:
    """Sets Django up once for a process of tests."""
    import django
    import pymysql
    from django.conf import settings

    pymysql.install_as_MySQLdb()  # a driver for MariaDB that needs no compiler
    if not settings.configured:
        engine = "django.db.backends.sqlite3"
        settings.configure(
            INSTALLED_APPS=[
                *(f"django.contrib.{app}" for app in ("admin", "auth", "contenttypes")),
                DJANGO_APP,
            ],
            DATABASES={"default": {"ENGINE": engine, "NAME": ":memory:"}},
            USE_TZ=True,
        )
        django.setup()


def _fresh_redis() -> Iterator[str]:
    """A prefix of its own on the server; the address names it after a `#`."""
    import pytest
    import redis

    prefix = f"{{nexusflow-test-{uuid.uuid4().hex[:12]}}}:"
    client = redis.Redis.from_url(REDIS)
    try:
        client.ping()
    except (OSError, redis.RedisError) as error:
        pytest.skip(f"no redis at {urlsplit(REDIS).netloc}: {type(error).__name__}")
    try:
        yield f"{REDIS}#{prefix}"
    finally:
        for key in client.scan_iter(match=f"{prefix}*"):
            client.delete(key)
        client.close()


def opened(place: str) -> CapStore:
    """Returns a store at this address, as a process of its own would open it."""
    if place.startswith("django:"):
        using = django_alias(place.removeprefix("django:"))
        from nexusflow_asgi.contrib.django.store import DjangoStore

        return DjangoStore(using)
    url, _, prefix = place.partition("#")
    if not prefix:
        return open_store(url)
    from nexusflow_asgi.stores.redis import RedisStore

    return RedisStore(url, prefix)


def opened_keys(place: str) -> KeyStore:
    """Returns the store of keys at this address."""
    if place == "memory:":
        return MemoryKeyStore()
    if not place.startswith("django:"):
        return open_key_store(place)
    using = django_alias(place.removeprefix("django:"))
    from nexusflow_asgi.contrib.django.ledger import DjangoKeyStore

    return DjangoKeyStore(using)


def opened_ledger(place: str) -> LedgerStore:
    """Returns the ledger at this address."""
    if not place.startswith("django:"):
        return open_ledger(place)
    using = django_alias(place.removeprefix("django:"))
    from nexusflow_asgi.contrib.django.ledger import DjangoLedger

    return DjangoLedger(using)


async def _tell(server: str, sql: str) -> None:
    from sqlalchemy import text
    from sqlalchemy.ext.asyncio import create_async_engine

    engine = create_async_engine(server, isolation_level="AUTOCOMMIT")
    try:
        async with engine.connect() as connection:
            await connection.execute(text(sql))
    finally:
        await engine.dispose()
