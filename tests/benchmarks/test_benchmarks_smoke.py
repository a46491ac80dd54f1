"""The benchmarks run. What they measure is never judged here."""

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from benchmarks import gateways, instructions
from benchmarks.environments import Missing
from benchmarks.report import Figure, Report, Row, Table

ROOT = Path(__file__).parents[2]


def _run(*words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "benchmarks", *words]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=240)


def _rows(section: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {row["name"]: row for table in section["tables"] for row in table["rows"]}


def test_a_quick_run_compares_everything() -> None:
    """`python -m benchmarks --quick --json` ends well; what NexusFlow relays has the upstream's bytes."""
    done = _run("--quick", "--json")
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert "cores" in report["conditions"][0]
    assert "CPython" in report["conditions"][1]
    sections = report["sections"]
    for title, names in {
        "Server-sent events": {"NexusFlow"},
        "Relaying, in process": {"StreamTap.feed", "peek"},
        "Translation, in process": {"OpenAIChatDialect.open"},
        "Caps and the ledger": {"memory", "sqlite"},
        "From usage to money": {"cost alone"},
        "Imports": {"import msgspec", "import nexusflow_core", "import nexusflow_asgi"},
    }.items():
        assert names <= _rows(sections[title]).keys()
    bodies = _rows(sections["Whole gateways"])["bodies as the upstream's"]
    assert bodies["NexusFlow"] == "yes"
    assert bodies["bare aiohttp"] == "yes"


def test_a_gateway_that_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """The others are compared, and a note says what is missing and why."""
    monkeypatch.setattr(shutil, "which", lambda *_, **__: None)
    _, tables = gateways.run(1, ["nginx", "NexusFlow"], quick=True)
    assert list(tables[0].columns) == ["", "NexusFlow"]
    assert tables[0].notes == ["nginx: skipped, nginx is not installed"]


@pytest.mark.parametrize("path", instructions.PATHS)
def test_a_counted_path_can_be_walked(path: str) -> None:
    """Each path of `--instructions` still fits the code that it walks, and can be walked again."""
    walk = instructions.PATHS[path]()
    assert walk() == walk()


def test_instructions_need_valgrind(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without it the part says so, and the run goes on."""
    monkeypatch.setattr(shutil, "which", lambda _: None)
    with pytest.raises(Missing, match="valgrind is not installed"):
        instructions.run()


@pytest.mark.parametrize("words", [["--quick"], ["--only", "money"]])
def test_results_come_from_a_whole_run(words: list[str]) -> None:
    """`--write` with part of a run is refused before anything is measured."""
    done = _run("--write", *words)
    assert done.returncode == 2
    assert "--write: needs a whole run" in done.stderr


def test_figures_show_their_spread_in_every_form() -> None:
    """Text, Markdown and JSON of one report agree."""
    cells = [Figure.of([0.25, 0.5, 1.25]), Figure(1, 1, 1), None]
    table = Table("costs", ["", "ratio", "ms", "MB"], [Row("ours", cells)], ["a note"])
    report = Report(["a machine"], {"Part": ("A method.", [table])})
    assert "ours  0.5 (0.25-1.25)   1   -" in report.text()
    assert "| ours | 0.5 (0.25-1.25) | 1 | - |" in report.markdown()
    [plain] = report.plain()["sections"]["Part"]["tables"]
    spread = {"median": 0.5, "low": 0.25, "high": 1.25}
    assert plain["rows"] == [
        {"name": "ours", "ratio": spread, "ms": {"median": 1, "low": 1, "high": 1}, "MB": None}
    ]
