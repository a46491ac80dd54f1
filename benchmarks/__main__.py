"""`python -m benchmarks`: what NexusFlow costs beside others. No time fails.

python -m benchmarks                                 all of it, in about twenty minutes
python -m benchmarks --only gateways --rounds 3      one part
python -m benchmarks --only budgets                  caps and the ledger, in every store of this machine
python -m benchmarks --write --instructions          all of it, into benchmarks/RESULTS.md
"""

import argparse
import json
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path

from benchmarks import budgets, imports, in_process, instructions, money, sse, translation
from benchmarks.doctor import doctors
from benchmarks.environments import Missing
from benchmarks.measure import Effort
from benchmarks.report import Report, Table, machine, versions

__all__: list[str] = []

_RESULTS = Path(__file__).with_name("RESULTS.md")
_FULL, _QUICK = Effort(15, 15), Effort(2, 1)
_GATEWAY_ROUNDS = 3
_Section = tuple[str, list[Table]]


def _main() -> None:
    parser = _parser()
    arguments = parser.parse_args()
    if arguments.rounds is not None and arguments.rounds < 1:
        parser.error("--rounds: at least 1")
    if arguments.write and (arguments.quick or arguments.only):
        parser.error("--write: needs a whole run, without --quick and --only")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that every process of the run is ended
    began, load = time.monotonic(), os.getloadavg()[0]
    sections: dict[str, _Section] = {}
    for title, part in _parts(arguments):
        print(f"{title} ...", file=sys.stderr, flush=True)
        try:
            sections[title] = part()
        except Missing as missing:
            sections[title] = (f"Skipped: {missing}.", [])
    conditions = [
        f"{date.today()}, {machine()}",
        versions(),
        f"the run took {time.monotonic() - began:.0f} seconds; load average {load:.1f} before it,"
        f" {os.getloadavg()[0]:.1f} after it",
    ]
    if load > 1:
        conditions.append("other programs ran on the same cores: trust no figure, and ratios only roughly")
    report = Report(conditions, sections)
    print(json.dumps(report.plain(), indent=1) if arguments.json else report.text())
    if arguments.write:
        _RESULTS.write_text(report.markdown())


def _parts(arguments: argparse.Namespace) -> Iterator[tuple[str, Callable[[], _Section]]]:
    """The parts that are asked for, each with its title."""
    quick = arguments.quick
    effort = (_QUICK if quick else _FULL)._replace(**({"rounds": arguments.rounds} if arguments.rounds else {}))
    rounds = arguments.rounds or (1 if quick else _GATEWAY_ROUNDS)
    parts: dict[str, tuple[str, Callable[[], _Section]]] = {
        "gateways": ("Whole gateways", lambda: _gateways(rounds, quick)),
        "sse": ("Server-sent events", lambda: sse.run(effort, others=not quick)),
        "in-process": ("Relaying, in process", lambda: in_process.run(effort)),
        "doctor": ("The cache doctor", lambda: _doctor(effort, 3 * rounds)),
        "translation": ("Translation, in process", lambda: translation.run(effort)),
        "budgets": ("Caps and the ledger", lambda: budgets.run(quick)),
        "money": ("From usage to money", lambda: money.run(effort, others=not quick)),
        "import": ("Imports", lambda: imports.run(effort)),
    }
    yield from (part for name, part in parts.items() if arguments.only in (None, name))
    if arguments.instructions:
        yield "Instructions", instructions.run


def _gateways(rounds: int, quick: bool) -> _Section:
    """In a quick run only those that need no environment of their own."""
    if sys.platform != "linux":
        raise Missing("it reads /proc, and that is Linux")
    from benchmarks import gateways

    return gateways.run(rounds, gateways.SMALL if quick else (), quick)


def _doctor(effort: Effort, rounds: int) -> _Section:
    """In one process, and on Linux in whole workers."""
    method = f"CPU time, medians (least-most) of {effort.rounds} interleaved rounds, of {rounds} with workers."
    tables = [doctors(effort)]
    if sys.platform == "linux":
        from benchmarks.gateways.doctor import workers

        tables += workers(rounds)
    return method, tables


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="a few seconds, to see that everything runs")
    parts = ("gateways", "sse", "in-process", "doctor", "translation", "budgets", "money", "import")
    parser.add_argument("--only", choices=parts, help="one part alone")
    parser.add_argument("--rounds", type=int, help="interleaved rounds of each part")
    parser.add_argument("--instructions", action="store_true", help="count instructions too, with valgrind")
    parser.add_argument("--json", action="store_true", help="print JSON: each figure with its least and most")
    parser.add_argument("--write", action="store_true", help="write benchmarks/RESULTS.md too")
    return parser


if __name__ == "__main__":
    _main()
