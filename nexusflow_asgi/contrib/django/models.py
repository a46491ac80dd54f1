# pyright: basic, reportArgumentType=false, reportAssignmentType=false
# pyright: reportAttributeAccessIssue=false, reportGeneralTypeIssues=false
# mypy: disable-error-code="misc"
"""Models: windows and holds of caps, gateway keys, and the ledger with its sums.

Times are seconds since 1970 (`started_ms`: milliseconds); amounts are integers of the window's unit. For USD
the unit is a nano-dollar; a column whose name ends in `rest` has the femto-dollars beside it. Tables and
columns have the names of those of SQLAlchemy, so `nexusflow cost` and `nexusflow keys` read them by URL.
"""

from typing import Any, ClassVar

from django.db.models import BigIntegerField, BooleanField, CharField, Index, Model, TextField, UniqueConstraint

__all__ = ["Call", "ExactCharField", "ExactTextField", "Hold", "Key", "Spending", "Window"]

_BINARY = "utf8mb4_bin"


class ExactCharField(CharField):
    """Text that is compared exactly. MariaDB and MySQL would take `user:A` for `user:a`."""

    def db_parameters(self, connection: Any) -> Any:
        """Returns the column's type, for MariaDB and MySQL with a binary collation."""
        found = super().db_parameters(connection)
        return found if connection.vendor != "mysql" else {**found, "collation": _BINARY}


class ExactTextField(TextField):
    """Long text that is compared exactly."""

    def db_parameters(self, connection: Any) -> Any:
        """Returns the column's type, for MariaDB and MySQL with a binary collation."""
        found = super().db_parameters(connection)
        return found if connection.vendor != "mysql" else {**found, "collation": _BINARY}


class Window(Model):
    """A span of time, with what was used in it and what running calls hold."""

    key = ExactCharField(max_length=255, primary_key=True)
    scope = ExactCharField(max_length=120)
    unit = CharField(max_length=10)
    period = CharField(max_length=20)
    starts_at = BigIntegerField()
    ends_at = BigIntegerField(null=True)
    used = BigIntegerField(default=0)
    rest = BigIntegerField(default=0)
    held = BigIntegerField(default=0)

    class Meta:
        db_table = "nexusflow_windows"
        indexes: ClassVar[list[Any]] = [Index(fields=["scope", "ends_at"], name="nexusflow_windows_scope")]

    def __str__(self) -> str:
        return str(self.key)


class Hold(Model):
    """What one running call holds in one window."""

    request_id = ExactCharField(max_length=64)
    window = ExactCharField(max_length=255)
    amount = BigIntegerField()
    expires_at = BigIntegerField()
    lost = BooleanField(default=False)

    class Meta:
        db_table = "nexusflow_holds"
        constraints: ClassVar[list[Any]] = [
            UniqueConstraint(fields=["request_id", "window"], name="nexusflow_holds_once")
        ]
        indexes: ClassVar[list[Any]] = [Index(fields=["expires_at"], name="nexusflow_holds_expires_at")]

    def __str__(self) -> str:
        return f"{self.request_id} {self.window}"


class Key(Model):
    """What is kept of a gateway key: never its text. `models`, `scopes`, `caps`, `metadata` are JSON."""

    id = ExactCharField(max_length=16, primary_key=True)
    hash = CharField(max_length=64)
    name = CharField(max_length=200)
    account = ExactCharField(max_length=16)
    created_at = BigIntegerField()
    expires_at = BigIntegerField(null=True)
    revoked_at = BigIntegerField(null=True)
    models = TextField()
    scopes = TextField()
    caps = TextField()
    metadata = TextField()
    parent = ExactCharField(max_length=16, null=True)
    replaced_by = ExactCharField(max_length=16, null=True)

    class Meta:
        db_table = "nexusflow_keys"

    def __str__(self) -> str:
        return f"{self.name} ({self.id})"


class Call(Model):
    """One finished call, with the members of `LedgerRow`."""

    request_id = ExactCharField(max_length=64, primary_key=True)
    started_ms = BigIntegerField()
    duration_ms = BigIntegerField()
    first_byte_ms = BigIntegerField(null=True)
    endpoint = CharField(max_length=20)
    stream = BooleanField()
    model = CharField(max_length=200)
    response_model = CharField(max_length=200, null=True)
    upstream = CharField(max_length=200, null=True)
    upstream_model = CharField(max_length=200, null=True)
    route = CharField(max_length=200, null=True)
    attempts = BigIntegerField()
    principal = ExactCharField(max_length=200, null=True)
    scopes = ExactTextField(blank=True)
    metadata = TextField(blank=True)
    session_id = ExactCharField(max_length=200, null=True)
    agent_id = CharField(max_length=200, null=True)
    status = BigIntegerField(null=True)
    ending = CharField(max_length=16)
    error_type = CharField(max_length=200, null=True)
    error_code = CharField(max_length=200, null=True)
    stop_reason = CharField(max_length=200, null=True)
    usage_source = CharField(max_length=16)
    input_tokens = BigIntegerField(null=True)
    cache_read_tokens = BigIntegerField(null=True)
    cache_write_5m_tokens = BigIntegerField(null=True)
    cache_write_1h_tokens = BigIntegerField(null=True)
    output_tokens = BigIntegerField(null=True)
    web_searches = BigIntegerField(null=True)
    cost_nano = BigIntegerField(null=True)
    cost_rest = BigIntegerField(null=True)
    saved_nano = BigIntegerField(null=True)
    saved_rest = BigIntegerField(null=True)
    extra_nano = BigIntegerField(null=True)
    extra_rest = BigIntegerField(null=True)
    price_row = CharField(max_length=200, null=True)
    price_vendor = CharField(max_length=200, null=True)
    cost_flags = CharField(max_length=200)
    details = TextField(blank=True)

    class Meta:
        db_table = "nexusflow_calls"
        indexes: ClassVar[list[Any]] = [
            Index(fields=["started_ms", "request_id"], name="nexusflow_calls_started"),
            Index(fields=["principal", "started_ms"], name="nexusflow_calls_principal"),
            Index(fields=["session_id", "started_ms"], name="nexusflow_calls_session"),
            Index(fields=["ending", "started_ms"], name="nexusflow_calls_ending"),
        ]

    def __str__(self) -> str:
        return str(self.request_id)


class Spending(Model):
    """What calls of a scope and a model add up to on a day, with the members of `Spend`."""

    day = BigIntegerField()
    scope = ExactCharField(max_length=120, blank=True)
    model = ExactCharField(max_length=200, blank=True)
    calls = BigIntegerField(default=0)
    errors = BigIntegerField(default=0)
    refused = BigIntegerField(default=0)
    unpriced = BigIntegerField(default=0)
    input_tokens = BigIntegerField(default=0)
    cache_read_tokens = BigIntegerField(default=0)
    cache_write_tokens = BigIntegerField(default=0)
    output_tokens = BigIntegerField(default=0)
    cost_nano = BigIntegerField(default=0)
    cost_rest = BigIntegerField(default=0)
    saved_nano = BigIntegerField(default=0)
    saved_rest = BigIntegerField(default=0)
    extra_nano = BigIntegerField(default=0)
    extra_rest = BigIntegerField(default=0)

    class Meta:
        db_table = "nexusflow_spending"
        verbose_name_plural = "spending"
        constraints: ClassVar[list[Any]] = [
            UniqueConstraint(fields=["day", "scope", "model"], name="nexusflow_spending_once")
        ]
        indexes: ClassVar[list[Any]] = [Index(fields=["scope", "day"], name="nexusflow_spending_scope")]

    def __str__(self) -> str:
        return f"{self.day} {self.scope} {self.model}"
