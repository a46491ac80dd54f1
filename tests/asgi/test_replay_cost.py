"""`nexusflow cost` on the call log of recorded traffic: the sum is the one that an independent script gives."""

import json
import re
from collections import Counter
from datetime import datetime
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from nexusflow_asgi.cli import main
from tests.asgi.test_replay_native import GATEWAY_KEY, UPSTREAM_KEY, needs_recordings, recorded, replay
from tests.core import cost_oracle as oracle


def row_name(model: str) -> str | None:
    """The id or alias of a price row, as the price files have it; None where they have none.

    Recorded names have at most a vendor before a slash, dots for dashes, and a date at the end.
    """
    bare = model.rpartition("/")[2].lower()
    dashed = re.sub(r"(?<=\d)\.(?=\d)", "-", bare)
    listed = {name for _, row in oracle.rows() for name in (row["id"], *row.get("aliases", []))}
    return next((name for name in (bare, dashed, re.sub(r"-\d{8}$", "", dashed)) if name in listed), None)


def sums(log: Path) -> tuple[dict[str, Fraction], Counter[str]]:
    """Dollars by day and what kinds of lines there are, by the oracle alone."""
    dollars: dict[str, Fraction] = {}
    kinds: Counter[str] = Counter()
    for line in log.read_text().splitlines():
        record: dict[str, Any] = json.loads(line)
        if record["usage"] is None:
            kinds["without_usage"] += 1
            continue
        names = [record["response_model"], record["attempts"][-1]["model"], record["model"]]
        name = next(filter(None, (row_name(model) for model in names if model)), None)
        if name is None:
            kinds["unpriced"] += 1
            continue
        kinds["priced"] += 1
        at = datetime.fromisoformat(record["started_at"])
        parts = oracle.bill(record["usage"], "anthropic", name, at)
        day = at.date().isoformat()
        dollars[day] = dollars.get(day, Fraction(0)) + sum(parts.values(), Fraction(0))
    return dollars, kinds


@pytest.mark.recorded
@needs_recordings
def test_the_cost_of_every_recording(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Every recorded call through the gateway, its log through the command: the same dollars to the last digit,
    by day and in all, and the same calls without a price."""
    monkeypatch.setenv("REPLAY_UPSTREAM_KEY", UPSTREAM_KEY.decode())
    monkeypatch.setenv("REPLAY_GATEWAY_KEY", GATEWAY_KEY.decode())
    log = tmp_path / "calls.jsonl"
    sent = replay(recorded(), "h1", seed=3, log=log)
    assert main(["cost", str(log), "--format", "json", "--by", "day"]) == 0
    told = capsys.readouterr()
    report = json.loads(told.out)
    dollars, kinds = sums(log)
    assert {group["day"]: Fraction(group["cost_usd"]) for group in report["groups"]} == dollars
    total = report["total"]
    assert Fraction(total["cost_usd"]) == sum(dollars.values()) > 1
    assert (total["calls"], report["skipped_lines"]) == (sent, 0)
    assert (total["without_usage"], total["unpriced"]) == (kinds["without_usage"], kinds["unpriced"])
    assert kinds["priced"] > 900
    assert told.err.count(": not priced: ") == kinds["unpriced"]
    assert "logged_cost_differs" not in total["flags"]
