# pyright: basic, reportArgumentType=false, reportAssignmentType=false
# pyright: reportAttributeAccessIssue=false, reportGeneralTypeIssues=false
# mypy: disable-error-code="misc,untyped-decorator"
"""Admin pages: keys, to revoke them; windows, holds, calls and spending, to look at."""

import time
from datetime import UTC, datetime
from typing import Any

from django.contrib import admin

from nexusflow_asgi.contrib.django.models import Call, Hold, Key, Spending, Window
from nexusflow_asgi.stores.key_store import key_of_columns
from nexusflow_core.budgets import shown

__all__ = ["CallAdmin", "HoldAdmin", "KeyAdmin", "SpendingAdmin", "WindowAdmin"]


class _ReadOnly(admin.ModelAdmin):
    def has_add_permission(self, request: Any) -> bool:
        return False

    def has_change_permission(self, request: Any, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: Any, obj: Any = None) -> bool:
        return False


@admin.register(Window)
class WindowAdmin(_ReadOnly):
    """Windows by scope, with amounts in words."""

    list_display = ("scope", "period", "started", "used_amount", "held_amount")
    list_filter = ("unit", "period")
    search_fields = ("scope",)
    ordering = ("-starts_at", "scope")

    @admin.display(ordering="starts_at")
    def started(self, window: Any) -> datetime:
        """Returns the start of the window."""
        return _moment(window.starts_at)

    @admin.display(ordering="used")
    def used_amount(self, window: Any) -> str:
        """Returns what was used."""
        return shown(window.used, window.unit)

    @admin.display(ordering="held")
    def held_amount(self, window: Any) -> str:
        """Returns what running calls hold."""
        return shown(window.held, window.unit)


@admin.register(Hold)
class HoldAdmin(_ReadOnly):
    """Holds of running calls, and of calls that were lost."""

    list_display = ("request_id", "window", "amount", "expires_at", "lost")
    list_filter = ("lost",)
    search_fields = ("request_id", "window")


@admin.register(Call)
class CallAdmin(_ReadOnly):
    """The ledger, newest calls first, with amounts in words."""

    list_display = ("request_id", "began", "principal", "model", "ending", "status", "cost")
    list_filter = ("ending", "endpoint")
    search_fields = ("=request_id", "=principal", "=session_id")
    ordering = ("-started_ms", "-request_id")
    show_full_result_count = False

    @admin.display(ordering="started_ms")
    def began(self, call: Any) -> datetime:
        """Returns when the call began."""
        return _moment(call.started_ms // 1000)

    @admin.display(ordering="cost_nano")
    def cost(self, call: Any) -> str:
        """Returns the cost; a dash if it is unknown."""
        return "-" if call.cost_nano is None else shown(call.cost_nano, "usd")


@admin.register(Spending)
class SpendingAdmin(_ReadOnly):
    """Sums by day, scope and model. The empty scope counts every call."""

    list_display = ("date", "scope", "model", "calls", "errors", "refused", "unpriced", "cost")
    search_fields = ("=scope", "=model")
    ordering = ("-day", "scope", "model")
    show_full_result_count = False

    @admin.display(ordering="day")
    def date(self, spending: Any) -> str:
        """Returns the day."""
        return _moment(spending.day).strftime("%Y-%m-%d")

    @admin.display(ordering="cost_nano")
    def cost(self, spending: Any) -> str:
        """Returns the cost."""
        return shown(spending.cost_nano, "usd")


@admin.register(Key)
class KeyAdmin(admin.ModelAdmin):
    """Keys, which are revoked here. They are made by code or `nexusflow keys`, which show the text once."""

    list_display = ("id", "name", "state", "created", "expires", "parent", "replaced_by")
    search_fields = ("=id", "name", "=account")
    ordering = ("-created_at", "id")
    exclude = ("hash",)
    actions = ("revoke",)

    def has_add_permission(self, request: Any) -> bool:
        return False

    def has_delete_permission(self, request: Any, obj: Any = None) -> bool:
        return False

    def get_readonly_fields(self, request: Any, obj: Any = None) -> list[str]:
        """Returns every field: the rules of a key's life stand in the code that makes it."""
        return [field.name for field in Key._meta.fields if field.name not in self.exclude]

    @admin.display
    def state(self, key: Any) -> str:
        """Returns `active`, `expired` or `revoked`."""
        row = {field.name: getattr(key, field.name) for field in Key._meta.fields}
        return key_of_columns(row).state(int(time.time()))

    @admin.display(ordering="created_at")
    def created(self, key: Any) -> datetime:
        """Returns when the key was made."""
        return _moment(key.created_at)

    @admin.display(ordering="expires_at")
    def expires(self, key: Any) -> datetime | None:
        """Returns when the key ends, if it does."""
        return None if key.expires_at is None else _moment(key.expires_at)

    @admin.action(description="Revoke the selected keys", permissions=["change"])
    def revoke(self, request: Any, keys: Any) -> None:
        """Ends the keys now. Gateways notice within five seconds."""
        ended = keys.filter(revoked_at=None).update(revoked_at=int(time.time()))
        self.message_user(request, f"{ended} keys revoked.")


def _moment(at: int) -> datetime:
    return datetime.fromtimestamp(at, UTC)
