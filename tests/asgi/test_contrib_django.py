"""The Django app: its migrations and its admin pages. The store runs through the suite of all stores."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from pathlib import Path

import anyio
import pytest
from django.core.management import call_command
from sqlalchemy import MetaData

from nexusflow_asgi import NexusFlow
from nexusflow_asgi.ledger import Ledger
from nexusflow_asgi.stores.key_store import KeyOptions, create
from nexusflow_asgi.stores.opening import open_key_store, open_ledger
from nexusflow_asgi.stores.protocol import LedgerPage
from nexusflow_asgi.stores.tables import Tables
from nexusflow_core.budgets import Cap
from nexusflow_core.config import decode_config
from nexusflow_core.ledger import row_of
from tests.asgi.asking import OFFLINE, ask
from tests.asgi.stores.services import (
    DJANGO,
    configure_django,
    django_alias,
    fresh,
    opened_keys,
    opened_ledger,
)
from tests.core.ledger.test_ledger import record

configure_django()

from django.contrib import admin  # noqa: E402

from nexusflow_asgi.contrib.django.ledger import DjangoKeyStore, DjangoLedger  # noqa: E402
from nexusflow_asgi.contrib.django.models import Call, Hold, Key, Spending, Window  # noqa: E402
from nexusflow_asgi.contrib.django.store import DjangoStore  # noqa: E402


def test_the_migrations_are_current() -> None:
    """A host that migrates has the tables of the models."""
    call_command("makemigrations", "nexusflow", check=True, dry_run=True, verbosity=0)


def test_the_models_are_those_of_the_other_databases() -> None:
    """Tables and columns have the same names, so that what reads one by URL reads the other."""
    tables = Tables(MetaData())
    for model in (Window, Hold, Key, Call, Spending):
        table = tables.metadata.tables[model._meta.db_table]
        columns = {field.column: field for field in model._meta.fields}
        assert set(columns) - {"id"} == set(table.columns.keys()) - {"id"}
        for name, column in table.columns.items():
            assert (columns[name].null, columns[name].max_length) == (
                bool(column.nullable),
                getattr(column.type, "length", None),
            ), f"{model.__name__}.{name}"


@pytest.mark.parametrize("kind", DJANGO)
def test_the_command_line_reads_what_django_wrote(kind: str, tmp_path: Path) -> None:
    """Keys, rows and sums of the ORM, by the URL of its database; and the other way round."""

    async def life(place: str, url: str) -> None:
        made = await create(opened_keys(place), KeyOptions(name="ci", models=("claude-*",)), now=100)
        begun = datetime(2026, 11, 22, 12, tzinfo=UTC)
        rows = [row_of(record(request_id=f"req_{n}", started_at=begun)) for n in range(4)]
        assert await opened_ledger(place).write(rows[:2]) == 2
        keys, ledger = open_key_store(url), open_ledger(url)
        assert await keys.find(made.key.id) == made.key
        assert await ledger.write(rows) == 2
        assert await ledger.rows(LedgerPage()) == rows[::-1]
        day = int(begun.timestamp()) - 12 * 3600
        both = [await one.spending(since=day, until=day + 1) for one in (ledger, opened_ledger(place))]
        assert both[0] == both[1]
        assert [spend.calls for spend in both[0]] == [4]
        await keys.aclose()
        await ledger.aclose()

    with fresh(kind, tmp_path) as place:
        anyio.run(life, place, place.removeprefix("django:"))


def test_a_gateway_on_django_alone(tmp_path: Path) -> None:
    """Caps, keys and the ledger in Django's database: the key's call is in all three."""
    config = decode_config(OFFLINE.replace(b"[auth]\nanonymous = true\n", b""))
    config.resolve({"SIM_KEY": "sk-ant-simulated"})

    async def life(place: str) -> None:
        using = django_alias(place.removeprefix("django:"))
        keys = DjangoKeyStore(using)
        cap = Cap(scope="key:", window="month", usd="20")
        made = await create(keys, KeyOptions(name="ci", caps=(cap,)), now=100)
        app = NexusFlow(
            config=config,
            transport="offline",
            keys=keys,
            store=DjangoStore(using),
            hooks=[Ledger(lambda: DjangoLedger(using))],
        )
        async with app:
            assert (await ask(app, headers=[(b"x-api-key", made.text.encode())])).status == 200
        [row] = await DjangoLedger(using).rows(LedgerPage())
        [window] = await DjangoStore(using).windows(now=int(time.time()))
        assert row.principal == "ci"
        assert window.window.scope == f"key:{made.key.id}"
        assert (window.balance.used, window.balance.rest) == (row.cost_nano, row.cost_rest)

    with fresh("django-sqlite", tmp_path) as place:
        anyio.run(life, place)


def test_the_admin_shows_amounts_in_words() -> None:
    """Dollars instead of nano-dollars; nothing can be changed there."""
    admin.autodiscover()
    page = admin.site._registry[Window]
    window = Window(
        key="k", scope="user:u1", unit="usd", starts_at=1_790_000_000, used=1_500_000_000, held=10**7
    )
    shown = page.used_amount(window), page.held_amount(window), page.started(window).isoformat()
    assert shown == ("$1.50", "$0.01", "2026-09-21T14:13:20+00:00")
    for model in (Window, Hold, Call, Spending):
        page = admin.site._registry[model]
        assert not page.has_add_permission(None)
        assert not page.has_change_permission(None)
        assert not page.has_delete_permission(None)


def test_the_admin_revokes_keys(tmp_path: Path) -> None:
    """It shows their state and never their hash; it makes none, because the text of a key is shown once."""
    with fresh("django-sqlite", tmp_path) as place:
        using = django_alias(place.removeprefix("django:"))
        made = anyio.run(lambda: create(DjangoKeyStore(using), KeyOptions(name="ci"), now=100))
        admin.autodiscover()
        page = admin.site._registry[Key]
        keys = Key.objects.using(using)
        assert page.state(keys.get()) == "active"
        told: list[str] = []
        page.message_user = lambda request, text: told.append(text)
        page.revoke(None, keys)
        page.revoke(None, keys)
        del page.message_user
        assert told == ["1 keys revoked.", "0 keys revoked."]
        assert page.state(keys.get()) == "revoked"
        assert made.key.hash not in repr([page.list_display, page.get_readonly_fields(None)])
        assert "hash" in page.exclude
        assert not page.has_add_permission(None)
        assert not page.has_delete_permission(None)
        names = {field.name for field in Key._meta.fields} - {"hash"}
        assert set(page.get_readonly_fields(None)) == names


def test_the_admin_shows_the_ledger() -> None:
    """Calls and sums with their amounts in words."""
    admin.autodiscover()
    call = Call(request_id="r", started_ms=1_790_000_000_000, cost_nano=1_500_000_000)
    page = admin.site._registry[Call]
    assert (page.began(call).isoformat(), page.cost(call)) == ("2026-09-21T14:13:20+00:00", "$1.50")
    assert page.cost(Call(cost_nano=None)) == "-"
    page = admin.site._registry[Spending]
    spending = Spending(day=1_789_948_800, cost_nano=10**7)
    assert (page.date(spending), page.cost(spending)) == ("2026-09-21", "$0.01")
