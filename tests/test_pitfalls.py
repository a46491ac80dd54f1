"""Each known way in which a gateway goes wrong has a test that bears its number, as `PITFALLS D5`."""

from __future__ import annotations

import re
from pathlib import Path

TESTS = Path(__file__).parent


ROWS = [
    *(f"A{number}" for number in range(1, 18)),
    *(f"B{number}" for number in range(1, 6)),
    *(f"D{number}" for number in range(1, 10)),
    *(f"H{number}" for number in range(1, 9)),
    "J1",
    "J2",
    "J4",
    "J5",
    "J8",
    "J9",
]
"""Streams, time, disconnects and resources, errors and fallback, secrets. J3, J6 and J7 are about keys in a
database, releases and budgets, which are not here yet."""


def test_every_row_has_a_test() -> None:
    """A row without one is a promise that nobody checks."""
    named: set[str] = set()
    for path in TESTS.rglob("*.py"):
        for group in re.findall(r"PITFALLS ((?:[A-K]\d+(?:, )?)+)", path.read_text()):
            named.update(group.rstrip(", ").split(", "))
    assert [row for row in ROWS if row not in named] == []
