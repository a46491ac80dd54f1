"""What the whole matrix showed when it was last run, kept in results.json, and the tables made of it.

A result belongs to what it was asked of: `hosts | environment | form | server | Python`, `middlewares | host |
middleware | server | Python`, `clients | client | Python`; under it stands how many checks passed, and each
other one with its outcome, or why it was skipped.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.matrix.cells import SERVERS
from tests.matrix.environments import CLIENTS, HOSTS, NPM
from tests.matrix.environments import SERVERS as SERVER_PINS

FILE = Path(__file__).with_name("results.json")
_SEPARATOR = " | "

HOST_NAMES = {
    "starlette": "Starlette",
    "lowest": "Starlette",
    "fastapi": "FastAPI",
    "litestar": "Litestar",
    "django-5.2": "Django",
    "django-6": "Django",
    "quart": "Quart",
}
CLIENT_NAMES = {
    "anthropic-0": ("anthropic (Python)", "anthropic"),
    "anthropic-2": ("anthropic (Python)", "anthropic"),
    "langchain": ("langchain-anthropic", "langchain-anthropic"),
    "pydantic-ai": ("pydantic-ai", "pydantic-ai-slim[anthropic]"),
    "instructor": ("instructor", "instructor[anthropic]"),
    "litellm": ("litellm, as a client", "litellm"),
    "anthropic-js": ("@anthropic-ai/sdk", "@anthropic-ai/sdk"),
    "ai-sdk": ("Vercel AI SDK with @ai-sdk/anthropic", "@ai-sdk/anthropic"),
}


class Collector:
    """A pytest plugin that keeps the outcome of every test that a result belongs to."""

    def __init__(self) -> None:
        self.results: dict[str, dict[str, str]] = {}

    @pytest.hookimpl(hookwrapper=True)
    def pytest_runtest_makereport(self, item: pytest.Item, call: pytest.CallInfo[None]) -> Any:
        outcome = yield
        report: pytest.TestReport = outcome.get_result()
        parameters = getattr(getattr(item, "callspec", None), "params", {}).values()
        asked = next((value.result for value in parameters if hasattr(value, "result")), None)
        if asked is None or (report.when != "call" and report.passed):
            return
        check = getattr(item, "originalname", item.name).removeprefix("test_")
        model = getattr(item, "callspec").params.get("model")  # noqa: B009 (an Item of pytest has none)
        said = report.outcome
        if report.skipped and isinstance(report.longrepr, tuple):
            said = f"skipped: {report.longrepr[2].removeprefix('Skipped: ')}"
        self.results.setdefault(_SEPARATOR.join(asked), {})[model or check] = said

    def store(self, *, whole: bool) -> None:
        """Writes the file anew, or after a part of the matrix puts its results in their places."""
        kept = {} if whole else json.loads(FILE.read_text())
        for asked, checks in self.results.items():
            others = {check: said for check, said in checks.items() if said != "passed"}
            kept[asked] = {"passed": len(checks) - len(others), **others}
        FILE.write_text(json.dumps(dict(sorted(kept.items())), indent=0) + "\n")


class Checks(NamedTuple):
    """How many passed; the others, with what is said of them."""

    passed: int
    others: dict[str, str]


def stored(kind: str) -> dict[tuple[str, ...], Checks]:
    """The stored results of one kind."""
    split = {tuple(key.split(_SEPARATOR)): checks for key, checks in json.loads(FILE.read_text()).items()}
    return {key[1:]: Checks(checks.pop("passed"), checks) for key, checks in split.items() if key[0] == kind}


def hosts_table() -> str:
    """A row for each form of each host on each Python, a column for each server."""
    results = stored("hosts")
    names = [server.name for server in SERVERS]
    columns = list(dict.fromkeys(server.column for server in SERVERS))
    notes: list[str] = []
    lines = [
        f"| host | form | Python | {' | '.join(columns)} |",
        f"| --- | --- | --- | {' | '.join('---' for _ in columns)} |",
    ]
    for environment, way, python in dict.fromkeys((key[0], key[1], key[3]) for key in _in_order(results)):
        shown = [
            _cell(column, [(name, results.get((environment, way, name, python))) for name in names], notes)
            for column in columns
        ]
        host = "alone" if way == "no host" else f"{HOST_NAMES[environment]} {_host_version(environment)}"
        lines.append(f"| {host} | {'' if way == 'no host' else f'`{way}`'} | {python} | {' | '.join(shown)} |")
    passed = sum(checks.passed for checks in results.values())
    others = [said for checks in results.values() for said in checks.others.values()]
    explained = [f"{number}. {note}" for number, note in enumerate(notes, 1)]
    checks = f"{passed + len(others)} checks: {passed} passed, {len(others)} skipped, as the notes say"
    count = f"{len(results)} cells, {checks}."
    return "\n".join([*lines, "", count, "", *explained])


def clients_table() -> str:
    """A row for each client, with its version and the Pythons that it was run on."""
    results = stored("clients")
    lines = ["| client | version | on | |", "| --- | --- | --- | --- |"]
    for name, (shown, package) in CLIENT_NAMES.items():
        found = {key[1]: checks for key, checks in sorted(results.items()) if key[0] == name}
        good = not any(checks.others for checks in found.values())
        on = "Node 24" if name in NPM else f"Python {', '.join(found)}"
        version = _version([*NPM.get(name, []), *CLIENTS[name]], package)
        lines.append(f"| {shown} | {version} | {on} | {'yes' if good and found else 'FAILED'} |")
    return "\n".join(lines)


def versions() -> str:
    """The servers' versions in a sentence."""
    return ", ".join(f"{name} {_version(pins, name)}" for name, pins in SERVER_PINS.items())


def _in_order(results: Iterable[tuple[str, ...]]) -> list[tuple[str, ...]]:
    order = list(HOST_NAMES)
    return sorted(results, key=lambda key: (key[1] == "no host", key[1] and order.index(key[0])))


def _cell(column: str, asked: list[tuple[str, Checks | None]], notes: list[str]) -> str:
    """What all variants of a server showed together: yes or no, with notes; or the checks that failed."""
    names = {server.name for server in SERVERS if server.column == column}
    found = [checks for name, checks in asked if name in names and checks is not None]
    others = [outcome for checks in found for outcome in checks.others.items()]
    if failed := sorted({check for check, said in others if said == "failed"}):
        return f"FAILED: {', '.join(failed)}"
    why = [said.removeprefix("skipped: ") for _, said in others]
    notes += [note for note in dict.fromkeys(why) if note not in notes]
    numbers = sorted({notes.index(note) + 1 for note in why})
    answer = "" if not found else "yes" if any(checks.passed for checks in found) else "no"
    return answer + "".join(f" ({number})" for number in numbers)


def _host_version(environment: str) -> str:
    name = HOST_NAMES[environment].lower()
    return _version(HOSTS[environment], name)


def _version(pins: Iterable[str], package: str) -> str:
    for pin in pins:
        name, _, version = (
            pin.rpartition("@") if pin.startswith("@") or "==" not in pin else pin.partition("==")
        )
        if name == package:
            return version
    raise LookupError(package)
