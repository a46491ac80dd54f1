"""`python -m benchmarks.features`: every feature at every gateway that installs."""

import argparse
import json
import sys
import tempfile
from contextlib import ExitStack
from datetime import date
from pathlib import Path
from typing import Any

from benchmarks.environments import Missing
from benchmarks.features.rows import FEATURES
from benchmarks.features.trial import tried
from benchmarks.features.upstream import Upstream
from benchmarks.gateways.comparison import free_port, listens
from benchmarks.gateways.contenders import CONTENDERS, Site
from benchmarks.gateways.process import Process, cores

__all__: list[str] = []

_RESULTS = Path(__file__).with_name("results.json")
_NO_GATEWAYS = {"nginx", "bare sockets", "bare aiohttp"}


def _main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.features", description=__doc__)
    parser.add_argument("--only", action="append", choices=sorted(set(CONTENDERS) - _NO_GATEWAYS))
    parser.add_argument("--write", action="store_true", help="store the results, which docs/features.md shows")
    arguments = parser.parse_args()
    results: dict[str, Any] = {"date": str(date.today()), "versions": {}, "cells": {}, "skipped": {}}
    for name in CONTENDERS:
        if name in _NO_GATEWAYS or (arguments.only and name not in arguments.only):
            continue
        print(f"{name} ...", file=sys.stderr, flush=True)
        try:
            results["versions"][name], results["cells"][name] = _cells(name)
        except Missing as missing:
            results["skipped"][name] = str(missing)
    text = json.dumps(results, indent=1, ensure_ascii=False)
    print(text)
    if arguments.write:
        _RESULTS.write_text(text + "\n")


def _cells(name: str) -> tuple[str, dict[str, str]]:
    """Returns a gateway's version, and what became of each feature. Raises Missing if it does not start."""
    contender = CONTENDERS[name]
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="nexusflow-features-")))
        upstream = stack.enter_context(Upstream())
        port = free_port()
        launch = contender.launch(Site(folder, port, upstream.port))
        process = stack.enter_context(Process(launch.command, cores()[0], folder / "log", launch.environ))
        if not listens(process, port, contender.seconds):
            raise Missing(f"it does not start: {process.last_words()}")
        return launch.version, {one.name: tried(contender, port, upstream, one) for one in FEATURES}


if __name__ == "__main__":
    _main()
