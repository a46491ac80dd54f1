"""The examples of docs/many-rows.md, as they stand, in each engine: one total over a million rows."""

from __future__ import annotations

import random
import re
import shutil
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from nexusflow_core import Cost, Usage, cost
from nexusflow_core.prices import usd
from tests.matrix.environments import ROOT, environment, plain_environ

pytestmark = pytest.mark.matrix

ROWS = 1_000_000
FIRST = datetime(2026, 9, 1, tzinfo=UTC)
MODELS = """claude-opus-4-7 claude-sonnet-5-5 claude-haiku-5-5 claude-haiku-4-5-20251001 gpt-6-sol
    deepseek-flash us.anthropic.claude-haiku-4-5-20251001-v1:0 acme-1 claude-opus-4-70""".split()
"""With tiers, a price that changed, peak hours, a region, and two that have no price."""

TIERS = (None, None, "standard", "priority", "flex", "batch", "express")
"""Service tiers, also one that no vendor has."""

COUNTS = (
    "input_tokens",
    "cache_read_tokens",
    "cache_write_5m_tokens",
    "cache_write_1h_tokens",
    "output_tokens",
)
PAGE = (ROOT / "docs/many-rows.md").read_text()
EXAMPLES = dict(re.findall(r"^### ([^\n]*)\n[^#]*?```py\n(.*?)```", PAGE, re.MULTILINE | re.DOTALL))
ENGINES = {
    "Polars": "polars",
    "Polars, lazy": "polars",
    "DuckDB, as a function": "duckdb",
    "DuckDB, as a join": "duckdb",
    "PySpark": "spark",
    "Ray Data": "ray",
    "Dask": "dask",
}


class Calls:
    """calls.parquet, and its total by `cost`, row by row."""

    def __init__(self, folder: Path) -> None:
        dice = random.Random(18)
        number = dice.randrange
        columns = {
            "model": [dice.choice(MODELS) for _ in range(ROWS)],
            "at": [FIRST + timedelta(seconds=number(80 * 86_400)) for _ in range(ROWS)],
            "batch": [not number(5) for _ in range(ROWS)],
            "service_tier": [dice.choice(TIERS) for _ in range(ROWS)],
            "input_tokens": [number(4_000) for _ in range(ROWS)],
            "cache_read_tokens": [number(300_000) for _ in range(ROWS)],
            "cache_write_5m_tokens": [number(4_000) * number(2) for _ in range(ROWS)],
            "cache_write_1h_tokens": [number(4_000) * (not number(4)) for _ in range(ROWS)],
            "output_tokens": [number(3_000) for _ in range(ROWS)],
        }
        table = pa.table({**columns, "at": pa.array(columns["at"], pa.timestamp("us", "UTC"))})
        pq.write_table(table, folder / "calls.parquet", row_group_size=100_000)
        total = 0
        for model, at, batch, tier, *counts in zip(*columns.values(), strict=True):
            usage = Usage(**dict(zip(COUNTS, counts, strict=True)), service_tier=tier)
            found: Cost | None = cost(usage, model=model, at=at, batch=batch, unknown="none")
            total += 0 if found is None else found.femto_usd
        self.folder, self.total = folder, usd(total)


@pytest.fixture(scope="module")
def calls(tmp_path_factory: pytest.TempPathFactory) -> Calls:
    return Calls(tmp_path_factory.mktemp("calls"))


def test_every_example_runs_somewhere() -> None:
    """One that is added to the page gets an engine here."""
    assert set(EXAMPLES) == set(ENGINES)


@pytest.mark.parametrize("name", ENGINES)
def test_an_example_of_the_page(name: str, calls: Calls, tmp_path: Path) -> None:
    """It prints the total of `cost`, to the femto-dollar."""
    if name == "PySpark" and shutil.which("java") is None:
        pytest.skip("Spark needs Java, which this machine lacks")
    python = environment(ENGINES[name]).python
    shutil.copy(calls.folder / "calls.parquet", tmp_path)
    (tmp_path / "example.py").write_text(EXAMPLES[name])
    environ = plain_environ({"PYSPARK_PYTHON": str(python), "RAY_USAGE_STATS_ENABLED": "0"})
    done = subprocess.run(
        [python, "example.py"], cwd=tmp_path, env=environ, capture_output=True, text=True, timeout=550
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert usd_of(done.stdout) == calls.total


def usd_of(printed: str) -> object:
    """The last line, as a decimal without trailing zeros."""
    return pa.scalar(printed.splitlines()[-1]).cast(pa.decimal128(38, 15)).as_py().normalize()
