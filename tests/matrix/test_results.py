"""The stored results are those of the matrix as it stands here, so that docs/hosts.md promises what was run."""

from __future__ import annotations

from tests.clients.test_clients import CLIENTS
from tests.matrix.cells import CELLS
from tests.matrix.results import FILE, stored
from tests.matrix.test_middlewares import CASES


def test_everything_was_run() -> None:
    """Each cell, middleware and client has results, and nothing else has."""
    for kind, asked in (("hosts", CELLS), ("middlewares", CASES), ("clients", CLIENTS)):
        assert set(stored(kind)) == {one.result[1:] for one in asked}


def test_nothing_failed() -> None:
    """Every check passed, or says why it cannot be made."""
    every = [checks for kind in ("hosts", "middlewares", "clients") for checks in stored(kind).values()]
    said = [said for checks in every for said in checks.others.values()]
    assert sum(checks.passed for checks in every) > len(said)
    assert [outcome for outcome in said if not outcome.startswith("skipped: ")] == []


def test_nothing_of_a_machine_is_in_them() -> None:
    """No path, no port, no time."""
    assert "/" not in FILE.read_text().replace("@ai-sdk/anthropic", "")
