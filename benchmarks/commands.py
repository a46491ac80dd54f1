"""Whole commands on the same files: `nexusflow cost` beside ccusage, and a million usage lines."""

import json
import os
import random
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.environments import CCUSAGE, Missing, npm_environment
from benchmarks.measure import Effort
from benchmarks.report import Figure, Row, Table

__all__ = ["tables"]

_MODELS = ("claude-opus-4-7", "claude-haiku-4-5-20251001", "claude-sonnet-4-5-20250929")
_BEGUN = datetime(2026, 10, 5, 8, tzinfo=UTC)
_ANSWERS_A_SESSION = 500
_SECONDS = 600

_MEASURED = """
import json, os, sys, time

began = time.monotonic()
_, status, used = os.wait4(os.posix_spawn(sys.argv[1], sys.argv[1:], os.environ), 0)
seconds = used.ru_utime + used.ru_stime, time.monotonic() - began
print(json.dumps([os.waitstatus_to_exitcode(status), *seconds, used.ru_maxrss / 1024]), file=sys.stderr)
"""
"""Runs a command. A process of its own, since a child's peak of memory begins with that of its parent."""


class _Command(NamedTuple):
    """A program, what it reads, and how its total is found in what it prints."""

    name: str
    words: Sequence[str | Path]
    lines: int
    total: Callable[[Any], object]
    environ: Mapping[str, str] = {}


class _Ran(NamedTuple):
    cpu: float
    wall: float
    megabytes: float
    total: str


def tables(effort: Effort, usage_lines: Sequence[bytes], *, others: bool) -> list[Table]:
    """Returns one table. `usage_lines` are repeated up to a million. `others`: with ccusage."""
    answers, usages = (100_000, 1_000_000) if others else (1_000, 5_000)
    rounds, notes = min(effort.rounds, 3), list[str]()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        lines = _write_transcripts(folder / "projects" / "shop", answers)
        _write_usages(folder / "usage.jsonl", usage_lines, usages)
        commands = [
            _ours("nexusflow cost, transcripts", folder / "projects", lines),
            _ours("nexusflow cost, usage lines", folder / "usage.jsonl", usages),
        ]
        try:
            if not others:
                raise Missing("this is a quick run")
            commands.insert(1, _ccusage(folder, lines))
        except Missing as missing:
            notes.append(f"{CCUSAGE}: skipped, {missing}")
        samples: list[list[_Ran]] = [[] for _ in commands]
        for _ in range(rounds):
            for command, ran in zip(commands, samples, strict=True):
                ran.append(_run(command, folder))
    rows = [_row(command, ran) for command, ran in zip(commands, samples, strict=True)]
    notes.append("a process each, its start too; transcripts have lines of questions and answers")
    columns = ["", "lines", "CPU s", "s", "peak MB", "CPU us/line", "USD"]
    return [Table("whole commands on files", columns, rows, notes)]


def _row(command: _Command, ran: Sequence[_Ran]) -> Row:
    cpu = [it.cpu for it in ran]
    figures = [Figure.of(cpu), Figure.of([it.wall for it in ran]), Figure.of([it.megabytes for it in ran])]
    each = Figure.of(cpu, 1e6 / command.lines)
    return Row(command.name, [f"{command.lines:,}", *figures, each, ran[-1].total])


def _ours(name: str, path: Path, lines: int) -> _Command:
    words = [sys.executable, "-m", "nexusflow_asgi.cli", "cost", path, "--format", "json"]
    return _Command(name, words, lines, lambda found: found["total"]["cost_usd"])


def _ccusage(folder: Path, lines: int) -> _Command:
    """Its native program. Raises Missing if npm cannot install it, or it does not run on this machine."""
    modules = npm_environment("ccusage", CCUSAGE)
    programs = sorted(modules.glob("@ccusage/ccusage-*/bin/ccusage*"))
    if not programs:
        raise Missing("its package has no native program for this machine")
    programs[0].chmod(0o755)  # npm unpacks it without, and its script adds that
    words = [programs[0], *"claude daily --json --offline --timezone UTC".split()]
    environ = {"CLAUDE_CONFIG_DIR": str(folder)}
    name = CCUSAGE.replace("@", " ") + ", native, transcripts"
    command = _Command(name, words, lines, lambda found: found["totals"]["totalCost"], environ)
    _run(command, folder)  # or it cannot run here
    return command


def _run(command: _Command, folder: Path) -> _Ran:
    """Runs a command to its end. Raises Missing if it fails."""
    out = folder / "out.json"
    with out.open("wb") as file:
        done = subprocess.run(
            [sys.executable, "-c", _MEASURED, *command.words],
            stdout=file,
            stderr=subprocess.PIPE,
            env={**os.environ, **command.environ},
            timeout=_SECONDS,
        )
    status, cpu, wall, megabytes = json.loads(done.stderr.splitlines()[-1])
    if status:
        raise Missing(f"{command.name} ended with status {status}")
    return _Ran(cpu, wall, megabytes, str(command.total(json.loads(out.read_bytes()))))


def _write_usages(path: Path, lines: Sequence[bytes], count: int) -> None:
    with path.open("wb") as file:
        for begin in range(0, count, len(lines)):
            file.write(b"\n".join(lines[: count - begin]) + b"\n")


def _write_transcripts(folder: Path, answers: int) -> int:
    """Writes sessions of Claude Code. Returns the number of their lines."""
    folder.mkdir(parents=True)
    dice, count = random.Random(18), 0
    for number in range(answers // _ANSWERS_A_SESSION):
        lines = list(_session(f"s{number}", _BEGUN + timedelta(hours=number), dice))
        text = "".join(json.dumps(line, separators=(",", ":")) + "\n" for line in lines)
        (folder / f"s{number}.jsonl").write_text(text)
        count += len(lines)
    return count


def _session(name: str, at: datetime, dice: random.Random) -> Iterator[dict[str, Any]]:
    """Yields a question and an answer for each turn."""
    facts = {"sessionId": name, "isSidechain": False, "version": "2.1.0", "cwd": "/somewhere"}
    parent = None
    for turn in range(_ANSWERS_A_SESSION):
        at += timedelta(seconds=20)
        stamp = at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
        line = {"parentUuid": parent, "timestamp": stamp, **facts}
        asked = {"role": "user", "content": "Please look at the next test."}
        yield {"type": "user", "uuid": f"{name}-{turn}", "message": asked, **line}
        short, long = dice.choice([(0, 0), (500, 0), (0, 2000), (100, 300)])
        usage = {
            "input_tokens": dice.randint(1, 40),
            "cache_creation_input_tokens": short + long,
            "cache_read_input_tokens": dice.randint(0, 60_000),
            "cache_creation": {"ephemeral_5m_input_tokens": short, "ephemeral_1h_input_tokens": long},
            "output_tokens": dice.randint(10, 900),
            "service_tier": "standard",
        }
        parent = f"{name}-{turn}a"
        message = {
            "id": f"msg_{name}_{turn}",
            "type": "message",
            "role": "assistant",
            "model": dice.choice(_MODELS),
            "content": [{"type": "text", "text": "The next test fails, because its sample has no usage."}],
            "usage": usage,
        }
        begun = {**line, "parentUuid": f"{name}-{turn}", "requestId": f"req_{name}_{turn}"}
        yield {"type": "assistant", "uuid": parent, "message": message, **begun}
