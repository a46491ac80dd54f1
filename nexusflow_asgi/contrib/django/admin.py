# pyright: basic, reportArgumentType=false, reportAssignmentType=false
# pyright: reportAttributeAccessIssue=false, reportGeneralTypeIssues=false
# mypy: disable-error-code="misc,untyped-decorator"
"""Admin pages: windows and holds, to look at. The gateway alone changes them."""

from datetime import UTC, datetime
from typing import Any

from django.contrib import admin

from nexusflow_asgi.contrib.django.models import Hold, Window
from nexusflow_core.budgets import shown

__all__ = ["HoldAdmin", "WindowAdmin"]


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
        return datetime.fromtimestamp(window.starts_at, UTC)

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
