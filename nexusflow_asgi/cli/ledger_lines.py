"""Reads a ledger by the URL of its database, as lines of our call log."""

import asyncio
import os
from collections.abc import Iterator

from nexusflow_asgi.stores.opening import check_exists, open_ledger
from nexusflow_asgi.stores.protocol import LedgerPage
from nexusflow_core.errors import ConfigError
from nexusflow_core.ledger import line_of

__all__ = ["is_ledger", "ledger_lines"]

_PAGE = 2000
_ENV = "env:"


def is_ledger(name: str) -> bool:
    """True for the URL of a database instead of a file's name: `sqlite:///nexusflow.db`, or `env:NAME`."""
    return "://" in name or name.startswith(_ENV)


def ledger_lines(name: str) -> Iterator[bytes]:
    """Yields every call, the oldest first. Holds one page at a time.

    `env:NAME` names a variable with the URL, for one with a password. Raises ConfigError.
    """
    url = name
    if name.startswith(_ENV):
        url = os.environ.get(name.removeprefix(_ENV), "")
        if not url:
            raise ConfigError("", f"the environment variable {name.removeprefix(_ENV)} is not set")
    check_exists(url)
    store = open_ledger(url)
    with asyncio.Runner() as runner:
        try:
            page = LedgerPage(limit=_PAGE, oldest_first=True)
            while rows := runner.run(store.rows(page)):
                for row in rows:
                    yield line_of(row)
                last = rows[-1].started_ms, rows[-1].request_id
                page = LedgerPage(limit=_PAGE, oldest_first=True, behind=last)
        except Exception as error:  # SQLAlchemy's and the driver's: their text may hold the password
            raise ConfigError("", f"the ledger cannot be read: {type(error).__name__}") from None
        finally:
            runner.run(store.aclose())
