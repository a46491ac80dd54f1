# pyright: basic, reportArgumentType=false, reportAssignmentType=false
# pyright: reportAttributeAccessIssue=false, reportGeneralTypeIssues=false
# mypy: disable-error-code="misc"
"""Models: windows and holds of caps. Times are seconds since 1970; amounts are integers of the window's unit.

For USD the unit is a nano-dollar; `rest` has the femto-dollars beside it.
"""

from typing import Any, ClassVar

from django.db import models

__all__ = ["Hold", "Window"]


class Window(models.Model):
    """A span of time, with what was used in it and what running calls hold."""

    key = models.CharField(max_length=255, primary_key=True)
    scope = models.CharField(max_length=120)
    unit = models.CharField(max_length=10)
    period = models.CharField(max_length=20)
    starts_at = models.BigIntegerField()
    ends_at = models.BigIntegerField(null=True)
    used = models.BigIntegerField(default=0)
    rest = models.BigIntegerField(default=0)
    held = models.BigIntegerField(default=0)

    class Meta:
        indexes: ClassVar[list[Any]] = [
            models.Index(fields=["scope", "ends_at"], name="nexusflow_windows_scope")
        ]

    def __str__(self) -> str:
        return str(self.key)


class Hold(models.Model):
    """What one running call holds in one window."""

    request_id = models.CharField(max_length=64)
    window = models.CharField(max_length=255)
    amount = models.BigIntegerField()
    expires_at = models.BigIntegerField()
    lost = models.BooleanField(default=False)

    class Meta:
        constraints: ClassVar[list[Any]] = [
            models.UniqueConstraint(fields=["request_id", "window"], name="nexusflow_holds_once")
        ]
        indexes: ClassVar[list[Any]] = [models.Index(fields=["expires_at"], name="nexusflow_holds_expires_at")]

    def __str__(self) -> str:
        return f"{self.request_id} {self.window}"
