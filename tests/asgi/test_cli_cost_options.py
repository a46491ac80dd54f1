"""`nexusflow cost`: its options about time, its live view, and its progress bar."""

import json
import os
import pty
import select
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from nexusflow_asgi.cli.cost.counting import Progress
from nexusflow_asgi.cli.log_files import LogFile
from tests.asgi.serving import COMMAND, LIMIT, environment
from tests.asgi.test_cli_cost import cost, lines

__all__ = ["cost"]

TIMES = ("2026-10-31T23:30:00Z", "2026-11-01T00:30:00Z", "2026-11-02T12:00:00Z")


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "log.jsonl"
    path.write_text(lines(*(line(at) for at in TIMES)))
    return path


def line(at: str, **changes: Any) -> dict[str, Any]:
    return {"usage": {"input_tokens": 1_000_000}, "model": "claude-haiku-4-5", "at": at, **changes}


@pytest.mark.parametrize(
    ("arguments", "calls"),
    [
        (["--since", "2026-11-01"], 2),
        (["--until", "2026-11-01"], 2),
        (["--since", "2026-11-01", "--until", "2026-11-01"], 1),
        (["--since", "2026-11-01T00:30:00Z"], 2),
        (["--until", "2026-11-01T00:30:00Z"], 1),
        (["--since", "2026-11-01", "--tz", "America/New_York"], 1),
        (["--until", "2026-10-31", "--tz", "America/New_York"], 2),
        (["--since", "2026-11-01T01:30", "--tz", "Europe/Paris"], 2),
        (["--since", "2027-01-01"], 0),
    ],
)
def test_a_period(cost: Any, log: Path, arguments: list[str], calls: int) -> None:
    """A day means all of it, in the zone; a time is exact. What is outside is no complaint."""
    told = cost(log, *arguments, "--format", "json")
    assert (told.status, told.err, told.json["total"]["calls"]) == (0, "", calls)


def test_days_of_a_zone(cost: Any, log: Path) -> None:
    """UTC, if none is given."""
    for arguments, days in (
        ([], ["2026-10-31", "2026-11-01", "2026-11-02"]),
        (["--tz", "Europe/Paris"], ["2026-11-01", "2026-11-02"]),
        (["--tz", "utc"], ["2026-10-31", "2026-11-01", "2026-11-02"]),
    ):
        told = cost(log, "--by", "day", "--format", "json", *arguments)
        assert [group["day"] for group in told.json["groups"]] == days


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--since", "soon"], "--since: 'soon' is not an ISO 8601 time or day"),
        (["--until", "2026-13-01"], "--until: '2026-13-01'"),
        (["--tz", "Mars/Olympus"], "'Mars/Olympus' is no time zone"),
        (["--tz", "../../etc"], "is no time zone"),
    ],
)
def test_arguments_that_cannot_be(cost: Any, log: Path, arguments: list[str], says: str) -> None:
    """Named; exit status 2, and nothing is read."""
    told = cost(log, *arguments)
    assert (told.status, told.out) == (2, "")
    assert says in told.err


def test_standard_input_cannot_be_followed(cost: Any) -> None:
    """It cannot be read again."""
    told = cost("--follow")
    assert (told.status, told.out) == (2, "")
    assert "--follow reads files" in told.err


def test_a_live_view(log: Path, tmp_path: Path) -> None:
    """It shows the sums again when a file has grown, counts nothing twice, and ends with status 0."""
    other = tmp_path / "other.jsonl"
    other.write_text("")
    process = subprocess.Popen(
        [COMMAND, "cost", "--follow", "--format", "json", log, other],
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    try:
        assert _next(process.stdout)["total"]["calls"] == 3
        with log.open("a") as file:
            file.write(lines(line("2026-11-03", id="a")))
        assert _next(process.stdout)["total"]["calls"] == 4
        other.write_text(lines(line("2026-11-03", id="a"), line("2026-11-03", id="b")))
        assert _next(process.stdout)["total"]["calls"] == 5
    finally:
        process.send_signal(signal.SIGINT)
        assert process.wait(LIMIT) == 0
        process.stdout.close()
        assert process.stderr is not None
        process.stderr.close()


def _next(output: Any) -> Any:
    """The next whole JSON of the output."""
    text = ""
    while not text.endswith("\n}\n"):
        text += output.readline()
    return json.loads(text)


def test_a_progress_bar_is_shown_on_a_terminal(log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a second, and it is removed at the end. Without a terminal there is none."""
    ours, theirs = pty.openpty()
    with os.fdopen(theirs, "w") as terminal:
        monkeypatch.setattr("sys.stderr", terminal)
        now = 100.0
        monkeypatch.setattr(time, "monotonic", lambda: now)
        progress = Progress([LogFile(str(log)), LogFile(str(log.parent / "none"))])
        progress.begin(LogFile(str(log)))
        progress.at(log.stat().st_size // 2)
        now += 2
        progress.at(log.stat().st_size // 2)
        progress.clear()
        shown = ""
        while not shown.endswith("\x1b[K") and select.select([ours], [], [], LIMIT)[0]:
            shown += os.read(ours, 1000).decode()
        assert "50%" in shown or "49%" in shown
        assert shown.count("\r") == 2
        assert shown.endswith("\x1b[K")
    os.close(ours)


def test_no_progress_bar_without_a_terminal(cost: Any, log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing on stderr, however long it takes."""
    monkeypatch.setattr("nexusflow_asgi.cli.cost.counting._AFTER", -1.0)
    monkeypatch.setattr("nexusflow_asgi.cli.log_files._EVERY", 1)
    assert cost(log).err == ""
