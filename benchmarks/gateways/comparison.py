"""Starts the gateways, loads them in interleaved rounds, and puts what they cost beside each other."""

import socket
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.environments import Missing
from benchmarks.gateways.contenders import CONTENDERS, OURS, Contender, Site
from benchmarks.gateways.process import Process, cores
from benchmarks.gateways.scenarios import QUICK, SCENARIOS
from benchmarks.report import Figure, Row, Table, ratios
from benchmarks.samples import MODEL

__all__ = ["free_port", "listens", "run"]

_WARM_UP = 30
_BUDGET_SECONDS = 360
"""No round begins after it, but the first."""


class _Sample(NamedTuple):
    """One cell of one round."""

    cpu_ms: float
    first_byte_ms: float
    peak_mb: float
    stream_kb: float
    """Memory at its peak beyond that before, for each connection."""
    at_once: int


class _Gateway(NamedTuple):
    """A gateway that runs."""

    contender: Contender
    process: Process
    port: int


_Cell = tuple[str, str]
"""The names of a scenario and a gateway."""

_Samples = dict[str, dict[str, list[_Sample]]]
"""By scenario and gateway, a sample a round."""

_FIGURES = {
    **{name: [("CPU ms a call", "cpu_ms")] for name in SCENARIOS},
    "ttfb1": [("first byte, p50 ms", "first_byte_ms")],
    "slow1000": [("CPU ms a call", "cpu_ms"), ("peak MB", "peak_mb")],
    "slow5000": [
        ("CPU ms a call", "cpu_ms"),
        ("peak MB", "peak_mb"),
        ("kB a stream", "stream_kb"),
        ("streams at once", "at_once"),
    ],
}


class _Run:
    """One comparison: what it measured, and notes about what it left out."""

    def __init__(self, rounds: int, only: Sequence[str], quick: bool) -> None:
        self.rounds = rounds
        self.quick = quick
        self.scenarios = QUICK if quick else SCENARIOS
        self.contenders = {name: one for name, one in CONTENDERS.items() if not only or name in only}
        self.samples: _Samples = {name: {} for name in self.scenarios}
        self.versions: dict[str, str] = {}
        self.exact: dict[str, bool] = {}
        self.notes: list[str] = []

    def measure(self) -> None:
        with ExitStack() as stack:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="nexusflow-benchmarks-")))
            core, other = cores()
            port = free_port()
            module = [sys.executable, "-m", "benchmarks.gateways.upstream", str(port)]
            upstream = stack.enter_context(Process(module, other, folder / "upstream.log"))
            module = [sys.executable, "-m", "benchmarks.gateways.load"]
            load = stack.enter_context(Process(module, other, folder / "load.log", asked=True))
            if not listens(upstream, port, 10):
                raise RuntimeError(f"the upstream does not start: {upstream.last_words()}")
            gateways: dict[str, _Gateway] = {}
            for name in self.contenders:
                try:
                    gateways[name] = self._start(name, folder / name.replace(" ", "-"), port, core, stack)
                except Missing as missing:
                    self.notes.append(f"{name}: skipped, {missing}")
            end = time.monotonic() + _BUDGET_SECONDS
            counts = self._warm_up(gateways, port, load)
            for number in range(self.rounds):
                if number and time.monotonic() > end:
                    self.notes.append(f"only {number} of {self.rounds} rounds within {_BUDGET_SECONDS} seconds")
                    self.rounds = number
                    break
                self._round(number, gateways, counts, load)

    def _start(self, name: str, folder: Path, upstream: int, core: int, stack: ExitStack) -> _Gateway:
        folder.mkdir()
        contender, port = self.contenders[name], free_port()
        launch = contender.launch(Site(folder, port, upstream))
        process = stack.enter_context(Process(launch.command, core, folder / "log", launch.environ))
        if not listens(process, port, contender.seconds):
            raise Missing(f"it does not start: {process.last_words()}")
        self.versions[name] = launch.version
        return _Gateway(contender, process, port)

    def _warm_up(self, gateways: dict[str, _Gateway], upstream: int, load: Process) -> dict[_Cell, int]:
        """Returns how much to ask of each gateway in each scenario. One that answers wrongly is left out."""
        counts: dict[_Cell, int] = {}
        for name, scenario in self.scenarios.items():
            if scenario.ours:
                if OURS in gateways:
                    counts[name, OURS] = scenario.answers or 0
                continue
            few = min(scenario.connections + 8, _WARM_UP)
            direct = "" if scenario.translated else self._ask(load, upstream, name, MODEL, {}, few)["body"]
            for gateway, running in gateways.items():
                reply = self._ask_gateway(load, running, name, few)
                if reply is None:
                    continue
                if reply["error"]:
                    self.notes.append(f"{gateway}, {name}: left out, {reply['error']}")
                    continue
                if direct:
                    self.exact[gateway] = self.exact.get(gateway, True) and reply["body"] == direct
                enough = int(few / reply["seconds"] * scenario.seconds)
                counts[name, gateway] = scenario.answers or max(scenario.connections, enough)
        return counts

    def _round(
        self, number: int, gateways: dict[str, _Gateway], counts: dict[_Cell, int], load: Process
    ) -> None:
        for name, scenario in self.scenarios.items():
            if number >= scenario.most_rounds:
                continue
            for gateway in list(gateways) if number % 2 == 0 else reversed(gateways):
                count = counts.get((name, gateway))
                if count is None:
                    continue
                taken = self._sample(load, gateways[gateway], name, count)
                if isinstance(taken, _Sample):
                    self.samples[name].setdefault(gateway, []).append(taken)
                else:
                    del counts[name, gateway]
                    self.samples[name].pop(gateway, None)
                    self.notes.append(f"{gateway}, {name}: left out, {taken}")

    def _sample(self, load: Process, gateway: _Gateway, scenario: str, count: int) -> _Sample | str:
        """Returns what so many answers cost, or why there is no telling."""
        process = gateway.process
        process.reset_peak()
        idle_mb = process.peak_mb()
        before = process.cpu_ns()
        reply = self._ask_gateway(load, gateway, scenario, count)
        assert reply is not None
        if reply["error"]:
            return str(reply["error"])
        cpu_ms, peak_mb = (process.cpu_ns() - before) / 1e6 / count, process.peak_mb()
        stream_kb = (peak_mb - idle_mb) * 1024 / self.scenarios[scenario].connections
        return _Sample(cpu_ms, reply["first_byte_ms"], peak_mb, stream_kb, reply["at_once"])

    def _ask_gateway(
        self, load: Process, gateway: _Gateway, scenario: str, count: int
    ) -> dict[str, Any] | None:
        """Returns the load's answer, or None if the gateway lacks the path."""
        contender = gateway.contender
        model = contender.translated if self.scenarios[scenario].translated else contender.native
        return self._ask(load, gateway.port, scenario, model, contender.headers, count) if model else None

    def _ask(
        self, load: Process, port: int, scenario: str, model: str, headers: Mapping[str, str], count: int
    ) -> dict[str, Any]:
        own = dict(headers)
        return load.ask(port=port, scenario=scenario, model=model, headers=own, count=count, quick=self.quick)


def run(rounds: int, only: Sequence[str] = (), quick: bool = False) -> tuple[str, list[Table]]:
    """Returns the method and the tables. `only` names gateways; with NexusFlow, there are ratios to it."""
    whole = _Run(rounds, only, quick)
    whole.measure()
    return _method(whole), list(_tables(whole))


def _method(whole: _Run) -> str:
    core, other = cores()
    return (
        f"One worker of each gateway on core {core}; upstream and load on core {other}; loopback, no TLS. Each"
        " event is a `send` of its own. CPU is user and system time of the gateway's whole process tree, as"
        f" /proc lists it. Medians (least-most) of {whole.rounds} interleaved rounds. A ratio is taken inside"
        " each round: above 1, that gateway costs more than NexusFlow. Trust the ratios before the figures."
    )


def _tables(whole: _Run) -> Iterator[Table]:
    names = [name for name in whole.contenders if name in whole.versions]
    columns = ["", *names]
    if OURS in names:
        yield Table(
            f"what each costs, {OURS} = 1", columns, list(_rows(whole, names, relative=True)), whole.notes
        )
    rows = [*_rows(whole, names, relative=False)]
    rows.append(Row("bodies as the upstream's", ["yes" if whole.exact.get(name) else "no" for name in names]))
    notes = [f"{name}: {version}" for name, version in whole.versions.items()]
    yield Table("the same in milliseconds and MB", columns, rows, notes)


def _rows(whole: _Run, names: Sequence[str], *, relative: bool) -> Iterator[Row]:
    for name, scenario in whole.scenarios.items():
        for what, member in _FIGURES[name]:
            taken = {
                gateway: [getattr(sample, member) for sample in samples]
                for gateway, samples in whole.samples[name].items()
            }
            cells: list[Figure | None] = []
            for gateway in names:
                if gateway not in taken or (relative and OURS not in taken):
                    cells.append(None)
                else:
                    cells.append(ratios(taken[gateway], taken[OURS]) if relative else Figure.of(taken[gateway]))
            yield Row(f"{name}: {scenario.title}; {what}", cells)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


def listens(process: Process, port: int, seconds: float) -> bool:
    """Waits until a process accepts connections."""
    end = time.monotonic() + seconds
    while time.monotonic() < end and not process.ended:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return True
        except OSError:
            time.sleep(0.05)
    return False
