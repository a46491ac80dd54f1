# pyright: basic, reportArgumentType=false, reportAssignmentType=false
# pyright: reportAttributeAccessIssue=false, reportGeneralTypeIssues=false
# mypy: disable-error-code="misc"
"""The app's name for Django."""

from django.apps import AppConfig

__all__ = ["NexusFlowConfig"]


class NexusFlowConfig(AppConfig):
    """Tables and admin pages of the gateway."""

    name = "nexusflow_asgi.contrib.django"
    label = "nexusflow"
    verbose_name = "NexusFlow"
    default_auto_field = "django.db.models.BigAutoField"
