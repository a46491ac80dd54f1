"""Tables: the gateway's tables in the host's own MetaData, so that its migrations create them."""

from sqlalchemy import BigInteger, Boolean, Column, Index, MetaData, String, Table, Unicode, UnicodeText
from sqlalchemy.dialects import mysql

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
