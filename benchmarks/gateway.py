"""Whole gateways side by side: CPU time of each proxy's own process, beside a pinned bare aiohttp proxy."""

import statistics
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

from benchmarks.processes import Process
from benchmarks.report import median_ratio, print_table
from benchmarks.samples import ANSWER, EVENTS, FEW_WRITES, SMALL_REQUEST

__all__ = ["FULL", "QUICK", "Plan", "run"]


class Plan(NamedTuple):
    """How much of each in a round. `pause` is what lies between two writes of a stream, in milliseconds."""

    rounds: int
    connections: int
    pause: int
    counts: dict[str, int]


FULL = Plan(rounds=7, connections=32, pause=10, counts={"sync": 1200, "events": 32, "pieces": 256})
QUICK = Plan(rounds=1, connections=4, pause=2, counts={"sync": 100, "events": 4, "pieces": 20})

_VARIANTS = {
    "bare aiohttp proxy (pinned)": ("bare", False),
    "NexusFlow, aiohttp": ("aiohttp", False),
    "NexusFlow, aiohttp, call log": ("aiohttp", True),
    "NexusFlow, httpx": ("httpx", False),
}

_KINDS = {
    "sync": f"sync: {len(SMALL_REQUEST):,} bytes there, {len(ANSWER):,} back",
    "events": f"events: {len(EVENTS)} a stream, one a write",
    "pieces": f"pieces: {len(EVENTS)} events in {FEW_WRITES} writes",
}


class _Sample(NamedTuple):
    cpu_us: float
    answers: int
    chunks: int


def run(plan: Plan) -> None:
    """Starts everything, loads one variant at a time, prints a table a kind of load."""
    load_a_round = ", ".join(f"{count} {kind}" for kind, count in plan.counts.items())
    print(
        f"Gateways: CPU time of the proxy's process (user and system), {plan.connections} keep-alive"
        f" connections, uvicorn with uvloop and httptools, all on loopback.\n"
        f"{plan.rounds} interleaved rounds of {load_a_round}; a stream's writes are {plan.pause} ms apart\n"
        f"Medians over the rounds, and of each round's own ratio to the bare proxy\n"
    )
    with ExitStack() as stack:
        directory = stack.enter_context(tempfile.TemporaryDirectory())
        log = str(Path(directory) / "calls.jsonl")
        upstream = stack.enter_context(Process("benchmarks.upstream", str(plan.pause)))
        load = stack.enter_context(Process("benchmarks.load"))
        proxies = {
            name: stack.enter_context(
                Process("benchmarks.served", variant, str(upstream.port), *([log] if with_log else []))
            )
            for name, (variant, with_log) in _VARIANTS.items()
        }
        for kind, title in _KINDS.items():
            _print(kind, title, _measure(kind, proxies, load, plan))


def _measure(kind: str, proxies: dict[str, Process], load: Process, plan: Plan) -> dict[str, list[_Sample]]:
    count = plan.counts[kind]
    samples: dict[str, list[_Sample]] = {name: [] for name in proxies}
    for proxy in proxies.values():  # opens the connections, warms caches
        load.ask(port=proxy.port, kind=kind, count=plan.connections, connections=plan.connections)
    for _ in range(plan.rounds):
        for name, proxy in proxies.items():
            before = proxy.cpu_ns()
            answer = load.ask(port=proxy.port, kind=kind, count=count, connections=plan.connections)
            samples[name].append(_Sample((proxy.cpu_ns() - before) / 1000, count, answer["chunks"]))
    return samples


def _print(kind: str, title: str, samples: dict[str, list[_Sample]]) -> None:
    reference = next(iter(samples.values()))
    rows: list[tuple[str, ...]] = []
    for name, taken in samples.items():
        an_answer = statistics.median(sample.cpu_us / sample.answers for sample in taken)
        ratio = median_ratio([sample.cpu_us for sample in taken], [sample.cpu_us for sample in reference])
        if kind == "sync":
            rows.append((name, f"{an_answer:,.0f}", ratio))
        else:
            chunks = sum(sample.chunks for sample in taken) / sum(sample.answers for sample in taken)
            figures = (f"{an_answer / len(EVENTS):.1f}", f"{an_answer / 1000:.2f}", f"{chunks:.1f}")
            rows.append((name, *figures, ratio))
    if kind == "sync":
        print_table((title, "us/request", "ratio (range)"), rows)
    else:
        print_table((title, "us/event", "ms/stream", "chunks/stream", "ratio (range)"), rows)
