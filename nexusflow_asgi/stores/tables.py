"""Tables: the gateway's tables in the host's own MetaData, so that its migrations create them."""

from types import NoneType
from typing import Any, get_args

import msgspec
from sqlalchemy import BigInteger, Boolean, Column, Index, MetaData, String, Table, Unicode, UnicodeText
from sqlalchemy.dialects import mysql

from nexusflow_core.ledger import SUMS, LedgerRow

__all__ = ["Tables", "key_type"]


def key_type(length: int) -> String:
    """Returns the type of a key column. MariaDB compares other text without case and trailing spaces."""
    exact = mysql.VARCHAR(length, charset="utf8mb4", collation="utf8mb4_bin")
    return String(length).with_variant(exact, "mysql", "mariadb")


class Tables:
    """The gateway's tables. Times are seconds since 1970; amounts are integers of a window's unit.

    `metadata`: the host's, whose migrations then create the tables. `prefix` begins each name.

    - `windows`: one row per window, with what was used and what is held.
    - `holds`: one row per running call and window.
    - `calls`: one row per finished call, the ledger.
    - `spending`: the sums of the ledger by day, scope and model, written in the same transaction.
    - `keys`: one row per gateway key, without its secret.
    """

    def __init__(self, metadata: MetaData, prefix: str = "nexusflow_") -> None:
        self.metadata = metadata
        self.windows = Table(
            f"{prefix}windows",
            metadata,
            Column("key", key_type(255), primary_key=True),
            Column("scope", key_type(120), nullable=False),
            Column("unit", String(10), nullable=False),
            Column("period", String(20), nullable=False),
            Column("starts_at", BigInteger, nullable=False),
            Column("ends_at", BigInteger, nullable=True),
            Column("used", BigInteger, nullable=False),
            Column("rest", BigInteger, nullable=False),
            Column("held", BigInteger, nullable=False),
            Index(f"ix_{prefix}windows_scope", "scope", "ends_at"),
        )
        self.holds = Table(
            f"{prefix}holds",
            metadata,
            Column("request_id", key_type(64), primary_key=True),
            Column("window", key_type(255), primary_key=True),
            Column("amount", BigInteger, nullable=False),
            Column("expires_at", BigInteger, nullable=False),
            Column("lost", Boolean, nullable=False),
            Index(f"ix_{prefix}holds_expires_at", "expires_at"),
        )
        self.keys = _keys(metadata, prefix)
        self.calls = _calls(metadata, prefix)
        self.spending = _spending(metadata, prefix)


def _keys(metadata: MetaData, prefix: str) -> Table:
    return Table(
        f"{prefix}keys",
        metadata,
        Column("id", key_type(16), primary_key=True),
        Column("hash", String(64), nullable=False),
        Column("name", Unicode(200), nullable=False),
        Column("account", key_type(16), nullable=False),
        Column("created_at", BigInteger, nullable=False),
        Column("expires_at", BigInteger, nullable=True),
        Column("revoked_at", BigInteger, nullable=True),
        Column("models", UnicodeText, nullable=False),
        Column("scopes", UnicodeText, nullable=False),
        Column("caps", UnicodeText, nullable=False),
        Column("metadata", UnicodeText, nullable=False),
        Column("parent", key_type(16), nullable=True),
        Column("replaced_by", key_type(16), nullable=True),
    )


_TEXTS = {"endpoint": 20, "ending": 16, "usage_source": 16}
_LONG = {"metadata", "details"}
_INDEXED = ("principal", "session_id")


def _calls(metadata: MetaData, prefix: str) -> Table:
    """Returns the table with the members of LedgerRow as columns."""
    return Table(
        f"{prefix}calls",
        metadata,
        *[_column(field) for field in msgspec.structs.fields(LedgerRow)],
        Index(f"ix_{prefix}calls_started_ms", "started_ms", "request_id"),
        *[Index(f"ix_{prefix}calls_{name}", name, "started_ms") for name in (*_INDEXED, "ending")],
    )


def _column(field: msgspec.structs.FieldInfo) -> Column[Any]:
    kinds = set(get_args(field.type)) or {field.type}
    if field.name == "request_id":
        return Column(field.name, key_type(64), primary_key=True)
    if int in kinds:
        kind: Any = BigInteger
    elif bool in kinds:
        kind = Boolean
    elif field.name == "scopes":
        kind = UnicodeText().with_variant(mysql.TEXT(collation="utf8mb4_bin"), "mysql", "mariadb")
    elif field.name in _LONG:
        kind = UnicodeText
    elif field.name in _INDEXED:
        kind = key_type(200)
    else:
        kind = Unicode(_TEXTS.get(field.name, 200))
    return Column(field.name, kind, nullable=NoneType in kinds)


def _spending(metadata: MetaData, prefix: str) -> Table:
    """Returns the table with the members of Spend as columns."""
    keys: dict[str, Any] = {"day": BigInteger(), "scope": key_type(120), "model": key_type(200)}
    return Table(
        f"{prefix}spending",
        metadata,
        *[Column(name, kind, primary_key=True, autoincrement=False) for name, kind in keys.items()],
        *[Column(name, BigInteger, nullable=False) for name in SUMS],
        Index(f"ix_{prefix}spending_scope", "scope", "day"),
    )
