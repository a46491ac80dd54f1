"""`nexusflow cost` on a ledger: the same numbers as on the call log of the same calls."""

from __future__ import annotations

import asyncio
import json
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest

from nexusflow_asgi.cli import main
from nexusflow_asgi.cli.log_files import ledger_lines
from nexusflow_asgi.stores.opening import open_ledger
from nexusflow_core import Billing
from nexusflow_core.ledger import row_of
from tests.core.ledger.test_ledger import AT, USAGES, record


@pytest.fixture
def url(tmp_path: Path) -> str:
    """A ledger, and a call log beside it, of the same 40 calls."""
    records = [
        record(
            request_id=f"req_{number:03}",
            usage=USAGES[number % len(USAGES)],
            usage_source="none" if USAGES[number % len(USAGES)] is None else "upstream",
            principal=f"u{number % 3}",
            billing=Billing(reported_femto_usd=number) if number % 5 == 0 else None,
            session_id=f"s{number % 4}",
        )
        for number in range(40)
    ]
    (tmp_path / "calls.jsonl").write_bytes(b"".join(msgspec.json.encode(it) + b"\n" for it in records))
    url = f"sqlite:///{tmp_path}/ledger.db"

    async def write() -> None:
        store = open_ledger(url)
        await store.write([row_of(it) for it in records])
        await store.aclose()

    asyncio.run(write())
    return url


def costs(capsys: pytest.CaptureFixture[str], *arguments: str) -> Any:
    assert main(["cost", "--format", "json", *arguments]) == 0
    return json.loads(capsys.readouterr().out)


@pytest.mark.parametrize(
    "arguments", [["--by", "model"], ["--by", "key,day"], ["--logged"], ["--by", "session"]]
)
def test_a_ledger_costs_what_its_log_costs(
    arguments: list[str], url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Priced again or as it was recorded, in any groups."""
    by_url = costs(capsys, url, *arguments)
    assert by_url == costs(capsys, str(tmp_path / "calls.jsonl"), *arguments)
    assert by_url["total"]["calls"] == 40


def test_pages_are_read_one_after_another(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each call once, also where many began in the same millisecond."""
    monkeypatch.setattr("nexusflow_asgi.cli.log_files._PAGE", 7)
    ids = [json.loads(line)["request_id"] for line in ledger_lines(url)]
    assert ids == [f"req_{number:03}" for number in range(40)]


def test_a_bill_reconciles_with_a_ledger(url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """By its URL: the same comparison as with the call log of the same calls."""
    cost = {"amount": "150.5", "currency": "USD", "model": "claude-haiku-4-5", "cost_type": "tokens"}
    cost |= {"token_type": "output_tokens", "service_tier": "standard"}
    bill = tmp_path / "cost_report.json"
    day = AT.replace(hour=0, minute=0, second=0, microsecond=0)
    bucket = {"starting_at": day.isoformat(), "ending_at": (day + timedelta(days=1)).isoformat()}
    bill.write_text(json.dumps({"data": [{**bucket, "results": [cost]}]}))
    compared = list[str]()
    for ours in (url, str(tmp_path / "calls.jsonl")):
        assert main(["reconcile", ours, "--anthropic", str(bill), "--format", "json"]) == 0
        compared.append(capsys.readouterr().out)
    assert compared[0] == compared[1]
    total = json.loads(compared[0])["total"]
    assert Decimal(total["billed_usd"]) == Decimal("1.505")
    assert Decimal(total["ours_usd"]) > 0


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("env:NO_SUCH_LEDGER", "the environment variable NO_SUCH_LEDGER is not set"),
        ("oracle://host/db", "'oracle' is not one of sqlite, postgresql, mariadb"),
        ("postgresql://sk-user:sk-password@127.0.0.1:9/none", "the ledger cannot be read: "),
    ],
)
def test_a_ledger_that_cannot_be_read(name: str, why: str, capsys: pytest.CaptureFixture[str]) -> None:
    """The reason, without a password."""
    assert main(["cost", name]) == 2
    assert why in capsys.readouterr().err


def test_a_ledger_does_not_grow_like_a_file(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    """`--follow` is for files."""
    assert main(["cost", url, "--follow"]) == 2
    assert "--follow reads files" in capsys.readouterr().err


def test_a_ledger_that_is_missing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It costs not 0: a wrong path is an error, and makes no file."""
    assert main(["cost", f"sqlite:///{tmp_path}/nope.db"]) == 2
    assert "does not exist" in capsys.readouterr().err
    assert not (tmp_path / "nope.db").exists()
