"""What an import costs: CPU time of fresh processes whose bytecode is compiled already."""

import os
import subprocess
import sys
import tempfile

from benchmarks.environments import Missing
from benchmarks.measure import Effort
from benchmarks.report import Figure, Row, Table

__all__ = ["run"]

_PROGRAMS = {
    "import msgspec": "import msgspec",
    "import nexusflow_core": "import nexusflow_core",
    "from nexusflow_core import cost": "from nexusflow_core import cost",
    "... and a first cost": (
        "from nexusflow_core import Usage, cost;"
        " cost(Usage(input_tokens=1), model='claude-opus-4-7', at='2026-11-20')"
    ),
    "from nexusflow_core import Gateway": "from nexusflow_core import Gateway",
    "import nexusflow_asgi": "import nexusflow_asgi",
    "import asyncio": "import asyncio",
    "from nexusflow_asgi import NexusFlow": "from nexusflow_asgi import NexusFlow",
    "nexusflow --version": (
        "from nexusflow_asgi.cli import main\ntry: main(['--version'])\nexcept SystemExit: pass"
    ),
}
"""Rows and what they run. Others' modules, which ours need, stand before those that load them."""

_TIMED = """import sys, time
before = time.process_time_ns()
{}
print("\\n", time.process_time_ns() - before, sum(name.startswith("nexusflow_") for name in sys.modules))"""


def run(effort: Effort) -> tuple[str, list[Table]]:
    """Returns the method and one table: milliseconds, and how many modules of ours were loaded."""
    method = (
        "CPU time of fresh processes, without the interpreter's own start; medians (least-most) of"
        f" {effort.rounds} interleaved rounds. Bytecode was compiled before: a first run, and each run with"
        " PYTHONDONTWRITEBYTECODE, takes two to three times as long."
    )
    with tempfile.TemporaryDirectory() as folder:
        environment = {**os.environ, "PYTHONPYCACHEPREFIX": folder}
        environment.pop("PYTHONDONTWRITEBYTECODE", None)
        for code in _PROGRAMS.values():
            _measured(code, environment)  # compiles
        samples: dict[str, list[float]] = {name: [] for name in _PROGRAMS}
        modules: dict[str, int] = {}
        for _ in range(effort.rounds):
            for name, code in _PROGRAMS.items():
                nanoseconds, modules[name] = _measured(code, environment)
                samples[name].append(nanoseconds)
    rows = [Row(name, [Figure.of(times, 1e-6), str(modules[name])]) for name, times in samples.items()]
    return method, [Table("import", ["", "CPU ms", "modules of ours"], rows)]


def _measured(code: str, environment: dict[str, str]) -> tuple[int, int]:
    """Returns the nanoseconds of a program, and how many modules of ours it loads."""
    command = [sys.executable, "-c", _TIMED.format(code)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    if done.returncode:
        raise Missing(f"{code.splitlines()[0]!r} failed: {done.stderr.strip().splitlines()[-1]}")
    nanoseconds, modules = done.stdout.split()[-2:]
    return int(nanoseconds), int(modules)
