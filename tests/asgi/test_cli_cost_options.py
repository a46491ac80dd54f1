"""`nexusflow cost`: its options about time, its live view, and its progress bar."""

import contextlib
import json
import os
import pty
import select
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from nexusflow_asgi.cli.cost.counting import Counting, Progress
from nexusflow_asgi.cli.cost.follow import Followed, changed
from nexusflow_asgi.cli.cost.period import Period
from nexusflow_asgi.cli.log_files import LogFile, Reading, log_files
from nexusflow_core import PriceBook
from nexusflow_core.logs.summary import Summary
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


class Following:
    """`nexusflow cost --follow`, looked at in lock step: each look reads what has changed."""

    def __init__(self, *paths: Path) -> None:
        self._files = [Followed(file) for file in log_files([str(path) for path in paths])]
        self._reading = Reading()
        self._counting = Counting(PriceBook.builtin(), Summary, Period())
        self.read = list[int]()
        reading: Any = self._reading
        whole, appended = reading.entries, reading.appended

        def counted_whole(file: LogFile, *arguments: Any) -> Any:
            self.read.append(Path(file.name).stat().st_size)
            return whole(file, *arguments)

        def counted(number: int, block: bytes, *arguments: Any) -> Any:
            self.read.append(len(block))
            return appended(number, block, *arguments)

        reading.entries, reading.appended = counted_whole, counted

    def close(self) -> None:
        for one in self._files:
            if one.tail is not None:
                one.tail.close()

    def look(self) -> tuple[int, list[int]]:
        """Returns the calls so far, and how many bytes each reading took."""
        self.read.clear()
        for one in self._files:
            changed(one, self._reading, self._counting)
        return sum(one.summary.total().calls for one in self._files if one.summary), list(self.read)


@pytest.fixture
def followed() -> Iterator[Callable[..., Following]]:
    """Makes a Following, and closes its files after the test."""
    with contextlib.ExitStack() as stack:
        yield lambda *paths: stack.enter_context(contextlib.closing(Following(*paths)))


def test_only_what_was_appended_is_read(followed: Callable[..., Following], tmp_path: Path) -> None:
    """A line that is still being written waits for its end. What has not changed is not read."""
    log, text = tmp_path / "log.jsonl", lines(*(line("2026-11-01", id=str(number)) for number in range(50)))
    log.write_text(text)
    following = followed(log)
    assert following.look() == (50, [len(text)])
    assert following.look() == (50, [])
    new = lines(line("2026-11-02", id="new"))
    with log.open("a") as file:
        file.write(new[:20])
        file.flush()
        assert following.look() == (50, [])
        file.write(new[20:] + lines(line("2026-11-02", id="7")))
    calls, [size] = following.look()
    assert (calls, size) == (51, log.stat().st_size - len(text))


@pytest.mark.parametrize("rotate", ["renamed", "truncated"])
def test_a_rotated_log_goes_on(rotate: str, followed: Callable[..., Following], tmp_path: Path) -> None:
    """Its last lines count, and those of the new file; what was counted stays."""
    log = tmp_path / "log.jsonl"
    log.write_text(lines(*(line("2026-11-01", id=f"{number}") for number in range(9))))
    following = followed(log)
    assert following.look()[0] == 9
    if rotate == "renamed":
        with log.open("a") as file:
            file.write(lines(line("2026-11-01", id="late")))
        log.rename(tmp_path / "log.jsonl.1")
        assert following.look()[0] == 10
        log.write_text(lines(line("2026-11-02", id="first")))
        assert following.look()[0] == 11
    else:
        log.write_text(lines(line("2026-11-02", id="first")))
        assert following.look()[0] == 10
    with log.open("a") as file:
        file.write(lines(line("2026-11-02", id="second")))
    calls, sizes = following.look()
    assert calls == (12 if rotate == "renamed" else 11)
    assert sum(sizes) < log.stat().st_size


def test_files_that_are_no_logs_of_lines_are_read_again(
    followed: Callable[..., Following], tmp_path: Path
) -> None:
    """A later line of a transcript changes an earlier call, and a JSON array is one value."""
    transcript, array = tmp_path / "s1.jsonl", tmp_path / "rows.json"
    usage = {"input_tokens": 5, "output_tokens": 1}
    message = {"id": "msg_1", "model": "claude-opus-4-7", "usage": usage}
    answer = {"type": "assistant", "uuid": "a", "sessionId": "s1", "timestamp": "2026-11-01T10:00:00Z"}
    transcript.write_text(lines({**answer, "message": message}))
    array.write_text(json.dumps([line("2026-11-01", id="x")]))
    following = followed(transcript, array)
    assert following.look() == (2, [transcript.stat().st_size, array.stat().st_size])
    with transcript.open("a") as file:
        file.write(lines({**answer, "message": {**message, "usage": {**usage, "output_tokens": 700}}}))
    array.write_text(json.dumps([line("2026-11-01", id="x"), line("2026-11-01", id="y")]))
    assert following.look() == (3, [transcript.stat().st_size, array.stat().st_size])


def test_a_log_that_turns_into_a_transcript(followed: Callable[..., Following], tmp_path: Path) -> None:
    """It is read again as a whole, so that no call counts with its first usage."""
    log = tmp_path / "log.jsonl"
    log.write_text(lines(line("2026-11-01", id="x")))
    following = followed(log)
    assert following.look()[0] == 1
    message = {"id": "msg_1", "model": "claude-opus-4-7", "usage": {"input_tokens": 5, "output_tokens": 1}}
    answer = {"type": "assistant", "uuid": "a", "sessionId": "s1", "timestamp": "2026-11-01T10:00:00Z"}
    with log.open("a") as file:
        file.write(lines({**answer, "message": message}))
    following.look()
    assert following.look() == (2, [log.stat().st_size])


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
