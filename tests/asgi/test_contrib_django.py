"""The Django app: its migrations and its admin pages. The store runs through the suite of all stores."""

from __future__ import annotations

import pytest
from django.core.management import call_command

from nexusflow_core import ConfigError
from tests.asgi.stores.services import configure_django

configure_django()

from django.contrib import admin  # noqa: E402
from django.db import connections  # noqa: E402

from nexusflow_asgi.contrib.django.models import Hold, Window  # noqa: E402
from nexusflow_asgi.contrib.django.store import DjangoStore  # noqa: E402


def test_the_migrations_are_current() -> None:
    """A host that migrates has the tables of the models."""
    call_command("makemigrations", "nexusflow", check=True, dry_run=True, verbosity=0)


def test_the_admin_shows_amounts_in_words() -> None:
    """Dollars instead of nano-dollars; nothing can be changed there."""
    admin.autodiscover()
    page = admin.site._registry[Window]
    window = Window(
        key="k", scope="user:u1", unit="usd", starts_at=1_790_000_000, used=1_500_000_000, held=10**7
    )
    shown = page.used_amount(window), page.held_amount(window), page.started(window).isoformat()
    assert shown == ("$1.50", "$0.01", "2026-09-21T14:13:20+00:00")
    for model in (Window, Hold):
        page = admin.site._registry[model]
        assert not page.has_add_permission(None)
        assert not page.has_change_permission(None)
        assert not page.has_delete_permission(None)


def test_a_database_that_confuses_scopes_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Django's columns on MariaDB ignore case, so two users would share a budget."""
    monkeypatch.setattr(connections["default"], "vendor", "mysql")
    with pytest.raises(ConfigError, match="use open_store instead"):
        DjangoStore()
