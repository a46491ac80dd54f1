"""`nexusflow reconcile` as a person meets it."""

import csv
import gzip
import io
import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from nexusflow_asgi.cli import main
from tests.asgi.test_cli_cost import RECORD, Told, lines

DAY = {"starting_at": "2026-11-22T00:00:00Z", "ending_at": "2026-11-23T00:00:00Z"}
COST = {
    "amount": "150.5",
    "currency": "USD",
    "model": "claude-haiku-4-5-20251001",
    "cost_type": "tokens",
    "token_type": "uncached_input_tokens",
    "service_tier": "standard",
}
USAGE = {
    "uncached_input_tokens": 1_500_000,
    "cache_creation": {"ephemeral_5m_input_tokens": 0, "ephemeral_1h_input_tokens": 0},
    "cache_read_input_tokens": 0,
    "output_tokens": 0,
    "server_tool_use": {"web_search_requests": 0},
    "model": "claude-haiku-4-5-20251001",
    "service_tier": "standard",
    "context_window": "0-200k",
}


@pytest.fixture
def reconcile(capsys: pytest.CaptureFixture[str]) -> Any:
    def run(*arguments: object) -> Told:
        try:
            status = main(["reconcile", *map(str, arguments)])
        except SystemExit as ended:
            status = int(ended.code or 0)
        return Told(status, *capsys.readouterr())

    return run


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path, Path]:
    """Our log with one call of a dollar, a bill of 1.505, and a usage report with one and a half calls."""
    calls, cost, usage = tmp_path / "calls.jsonl", tmp_path / "cost_report.json", tmp_path / "usage.json.gz"
    calls.write_text(
        lines(RECORD, RECORD, {**RECORD, "request_id": "r2", "started_at": "2026-11-25T00:00:00Z"})
    )
    cost.write_text(json.dumps({"data": [{**DAY, "results": [COST]}], "has_more": False}, indent=2))
    usage.write_bytes(gzip.compress(json.dumps({"data": [{**DAY, "results": [USAGE]}]}).encode()))
    return calls, cost, usage


def test_the_table(reconcile: Any, files: tuple[Path, Path, Path]) -> None:
    """By day, model and kind; each rule with its amount, and the rest."""
    calls, cost, usage = files
    told = reconcile(calls, "--anthropic", cost, "--usage", usage)
    assert (told.status, told.err) == (0, "")
    header, row, total = (line.split() for line in told.out.splitlines()[:3])
    assert header == "day model kind ours (USD) billed difference explained unexplained".split()
    assert row[:3] == ["2026-11-22", "claude-haiku-4-5", "input"]
    assert row[3:] == ["1.000000", "1.505000", "0.505000", "0.500000", "0.005000"]
    assert total == ["total", *row[3:]]
    assert "0.500000  calls that did not pass here" in told.out
    assert "0.005000  unexplained" in told.out
    assert "1 calls are of other vendors, or of days that the bill does not cover" in told.out


def test_without_the_usage_report(reconcile: Any, files: tuple[Path, Path, Path]) -> None:
    """The rest is stated, and what would explain it."""
    calls, cost, _ = files
    told = reconcile(calls, "--anthropic", cost)
    assert (told.status, "0.505000  unexplained" in told.out) == (0, True)
    assert "give the provider's usage report with --usage" in told.out
    assert reconcile(calls, "--anthropic", cost, "--strict").status == 1


def test_json_and_csv_add_up(reconcile: Any, files: tuple[Path, Path, Path]) -> None:
    """Exact amounts: what is explained, and the rest, are the difference."""
    calls, cost, usage = files
    told = reconcile(calls, "--anthropic", cost, "--usage", usage, "--format", "json").json
    (cell,) = told["cells"]
    assert cell == {
        "day": "2026-11-22",
        "model": "claude-haiku-4-5",
        "kind": "input",
        "tokens": 1_000_000,
        "reported_tokens": 1_500_000,
        "ours_usd": "1",
        "billed_usd": "1.505",
        "explained": {"elsewhere": "0.5"},
        "unexplained_usd": "0.005",
    }
    assert (told["total"]["billed_usd"], told["calls_left_out"]) == ("1.505", 1)
    out = reconcile(calls, "--anthropic", cost, "--usage", usage, "--format", "csv").out
    (row,) = csv.DictReader(io.StringIO(out))
    assert (row["elsewhere"], row["unexplained_usd"], row["priority"]) == ("0.5", "0.005", "0")


def test_openai_s_costs(reconcile: Any, tmp_path: Path) -> None:
    """As downloaded; a bill that agrees has no rows, unless all are asked for."""
    log, bill = tmp_path / "log", tmp_path / "costs.json"
    log.write_text(
        lines({"model": "gpt-5", "at": "2026-11-22T01:00:00Z", "usage": {"output_tokens": 1_000_000}})
    )
    item = {"object": "organization.costs.result", "line_item": "gpt-5-2025-08-07, output", "project_id": None}
    rows = [{**item, "amount": {"value": 10.0, "currency": "usd"}}]
    bucket = {"object": "bucket", "start_time": 1_795_305_600, "end_time": 1_795_392_000, "results": rows}
    bill.write_text(json.dumps({"object": "page", "data": [bucket], "has_more": False}))
    told = reconcile(log, "--openai", bill)
    assert told.out.splitlines()[1].split() == "total 10.000000 10.000000 0 0 0".split()
    told = reconcile(log, "--openai", bill, "--all", "--format", "json").json
    assert Decimal(told["total"]["ours_usd"]) == Decimal(told["total"]["billed_usd"]) == 10


def test_only_calls_of_an_upstream(reconcile: Any, files: tuple[Path, Path, Path]) -> None:
    """Claude at another cloud is in no bill of Anthropic's."""
    calls, cost, _ = files
    elsewhere = {**RECORD, "request_id": "r3", "attempts": [{"upstream": "aws", "model": "claude-haiku-4-5"}]}
    calls.write_text(calls.read_text() + lines(elsewhere))
    assert reconcile(calls, "--anthropic", cost, "--format", "json").json["total"]["ours_usd"] == "2"
    told = reconcile(calls, "--anthropic", cost, "--upstream", "aws", "--format", "json").json
    assert told["total"]["ours_usd"] == "1"


def test_what_cannot_be(reconcile: Any, files: tuple[Path, Path, Path], tmp_path: Path) -> None:
    """Reports that are none, a missing bill, and lines of ours that are unreadable."""
    calls, cost, usage = files
    told = reconcile(calls, "--anthropic", usage)
    assert (told.status, told.out, "no cost report of anthropic" in told.err) == (2, "", True)
    assert reconcile(calls, "--anthropic", tmp_path / "none").status == 2
    assert reconcile(calls).status == 2
    assert reconcile(calls, "--anthropic", cost, "--openai", cost).status == 2
    calls.write_text("nonsense\n")
    told = reconcile(calls, "--anthropic", cost)
    assert (told.status, f"{calls}:1: skipped: " in told.err) == (1, True)
