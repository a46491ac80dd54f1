"""Sizes: a module answers one question, and a folder can be read in one sitting. The limits are lines."""

from pathlib import Path

ROOT = Path(__file__).parent.parent

LONGEST = 400
"""A longer module becomes a folder of the same name."""

SMALL, MOST_SMALL = 60, 9
"""Modules below SMALL lines belong to a neighbour. A few may stand alone, where a reader looks for them."""

SIMULATOR = 1_835
"""The simulator serves `--offline`. What only tests ask of it stands in tests/simulator."""


def lines(*folders: str) -> dict[str, int]:
    """Returns the lines of each module, without packages' `__init__` and Django's migrations."""
    paths = [path for folder in folders for path in (ROOT / folder).rglob("*.py")]
    return {
        str(path.relative_to(ROOT)): path.read_text().count("\n")
        for path in paths
        if path.name != "__init__.py" and path.parent.name != "migrations"
    }


def test_no_module_is_long() -> None:
    """In the product."""
    found = lines("nexusflow_core", "nexusflow_asgi")
    assert len(found) > 200
    assert {name: count for name, count in found.items() if count > LONGEST} == {}


def test_few_modules_are_small() -> None:
    """A fragment of its own costs its reader a search."""
    found = lines("nexusflow_core", "nexusflow_asgi")
    small = sorted((count, name) for name, count in found.items() if count < SMALL)
    assert len(small) <= MOST_SMALL, small


def test_the_simulator_is_no_second_product() -> None:
    """Its folder, packages' `__init__` included."""
    paths = list((ROOT / "nexusflow_core" / "simulator").rglob("*.py"))
    assert sum(path.read_text().count("\n") for path in paths) <= SIMULATOR
