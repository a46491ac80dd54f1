"""docs/failures.md is true: each failure has a test. No comment cites a list that a stranger cannot open."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parent.parent
TESTS = ROOT / "tests"
GROUPS = ["Money", "Streams", "Translation", "Security", "Hosts", "Operations"]


class Row(NamedTuple):
    """A line of a table: the failure, the reason, and the test as `FILE::FUNCTION`."""

    failure: str
    reason: str
    test: str


def rows() -> dict[str, list[Row]]:
    """Returns the lines of each group."""
    parts = re.split(r"^## (.*)$", (ROOT / "docs/failures.md").read_text(), flags=re.MULTILINE)[1:]
    found: dict[str, list[Row]] = {}
    for group, text in zip(parts[::2], parts[1::2], strict=True):
        cells = [line.strip("| ").split(" | ") for line in text.splitlines() if line.startswith("| ")]
        found[group] = [Row(*line) for line in cells[2:]]
    return found


def test_every_group_has_failures() -> None:
    """The table is read as it is meant."""
    assert list(rows()) == GROUPS
    assert all(len(group) > 10 for group in rows().values())


@pytest.mark.parametrize("row", [row for group in rows().values() for row in group], ids=lambda row: row.test)
def test_a_failure_has_a_reason_and_a_test(row: Row) -> None:
    """One sentence each, and a test that exists."""
    assert row.reason.endswith(".")
    file, _, function = row.test.strip("`").partition("::")
    files = [path.read_text() for path in TESTS.rglob(file)]
    assert files, f"no test file {file}"
    assert any(re.search(rf"^(async )?def {function}\(", text, re.MULTILINE) for text in files), row.test


def test_no_comment_cites_a_list_of_others() -> None:
    """A reason stands in words; a number of a list that a stranger cannot open says nothing."""
    cited = re.compile(r"\bPITFALL" + r"S\b|\bFAULTS? [A-Z]?\d")
    folders = [ROOT / name for name in ("nexusflow_core", "nexusflow_asgi", "tests")]
    code = [path for folder in folders for path in folder.rglob("*.py")]
    assert [str(path.relative_to(ROOT)) for path in code if cited.search(path.read_text())] == []
