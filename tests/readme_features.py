"""What docs/features.md shows of `python -m benchmarks.features`."""

import json
from pathlib import Path
from typing import Any

from benchmarks.features.rows import FEATURES


def features_table(root: Path) -> str:
    """Returns the last results: a line for each feature, a column for each gateway, ours first."""
    results: dict[str, Any] = json.loads((root / "benchmarks" / "features" / "results.json").read_text())
    names = sorted(results["cells"], key=lambda name: name != "NexusFlow")
    lines = [f"| feature | {' | '.join(names)} |", f"| --- |{' --- |' * len(names)}"]
    for feature in FEATURES:
        cells = [results["cells"][name][feature.name] for name in names]
        lines.append(f"| {feature.name} | {' | '.join(cells)} |")
    versions = [f"- {name}: {results['versions'][name]}" for name in names]
    skipped = [f"- {name}: not tried, {why}" for name, why in results["skipped"].items()]
    return "\n".join([*lines, "", f"Tried on {results['date']}:", "", *versions, *skipped])


def comparison_table(root: Path) -> str:
    """Returns the README's comparison: what passes, and what each costs beside ours, from the last runs."""
    results: dict[str, Any] = json.loads((root / "benchmarks" / "features" / "results.json").read_text())
    names = sorted(results["cells"], key=lambda name: name != "NexusFlow")
    cells = results["cells"]
    passed = [str(sum(cell == "yes" for cell in cells[name].values())) for name in names]
    exact = [cells[name]["every byte of request and answer"] for name in names]
    rows = [
        ("mounts inside your app", ["yes" if name == "NexusFlow" else "no" for name in names]),
        (f"[features of Claude](docs/features.md) that pass, of {len(FEATURES)}", passed),
        ("request and answer pass byte for byte", ["yes" if cell == "yes" else "no" for cell in exact]),
        *((about, _costs(root, scenario, names)) for scenario, about in _SCENARIOS.items()),
    ]
    lines = [f"|  | {' | '.join(names)} |", f"| --- |{' --- |' * len(names)}"]
    return "\n".join([*lines, *(f"| {about} | {' | '.join(found)} |" for about, found in rows)])


_SCENARIOS = {
    "sync16": "CPU of a small call, ours is 1",
    "b2b16": "CPU of a dense stream, ours is 1",
    "t-b2b16": "CPU of a translated stream, ours is 1",
}
"""Rows of the first table in benchmarks/RESULTS.md."""


def _costs(root: Path, scenario: str, names: list[str]) -> list[str]:
    table = (
        (root / "benchmarks" / "RESULTS.md").read_text().split("**what each costs")[1].split("**the same")[0]
    )
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines() if "|" in line]
    found = next((row for row in rows if row[0].startswith(f"{scenario}:")), None)
    return ["-" if found is None or name not in rows[0] else found[rows[0].index(name)] for name in names]
