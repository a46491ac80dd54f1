"""From the bytes of a usage object to its exact cost, beside a bare table look-up and the public tools."""

import json
import os
import shutil
import statistics
import subprocess
import sys
import time
import venv
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from importlib import metadata
from pathlib import Path
from typing import NamedTuple

from benchmarks.report import median_ratio, print_table
from nexusflow_core import Usage, cost

__all__ = ["run"]

_MODEL = "claude-opus-4-7"
_TIERED = "claude-haiku-5-5"
_AT = datetime(2026, 11, 20, 12, tzinfo=UTC)
_USAGE = (  # as an agent's calls are: written to the cache for one lifetime
    b'{"input_tokens":2048,"cache_creation_input_tokens":248,"cache_read_input_tokens":1800,'
    b'"cache_creation":{"ephemeral_5m_input_tokens":248,"ephemeral_1h_input_tokens":0},'
    b'"output_tokens":503,"service_tier":"standard","inference_geo":"not_available"}'
)
_BOTH = _USAGE.replace(b'5m_input_tokens":248', b'5m_input_tokens":148').replace(b'tokens":0', b'tokens":100')
_COUNTS = (2048, 1800, 248, 0, 503)
_TABLE = {_MODEL: (5_000_000_000, 500_000_000, 6_250_000_000, 10_000_000_000, 25_000_000_000)}

_LITELLM = "litellm==1.106.2"
_ENVIRONMENT = (
    Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "nexusflow-benchmarks" / "litellm"
)
_CHILD = """
import json, sys, time
from litellm.cost_calculator import cost_per_token
from litellm.llms.anthropic.chat.transformation import AnthropicConfig

config, usage = AnthropicConfig(), sys.argv[2].encode()

def work():
    counts = config.calculate_usage(usage_object=json.loads(usage), reasoning_content=None)
    return sum(cost_per_token(model=sys.argv[1], custom_llm_provider="anthropic", usage_object=counts))

print(work(), flush=True)
for line in sys.stdin:
    before = time.process_time_ns()
    for _ in range(int(line)):
        work()
    print(time.process_time_ns() - before, flush=True)
"""


class _Case(NamedTuple):
    """Something to time. `timed` gives the nanoseconds that so many calls took; `dollars` is what it says."""

    name: str
    timed: Callable[[int], int]
    dollars: str


def run(rounds: int, milliseconds: float, *, others: bool) -> None:
    """Prints one table. `others`: litellm too, in an environment of its own, which is made where it is not."""
    print(f"Money: CPU time, median of {rounds} interleaved rounds; ratio to the bare look-up\n")
    cases, notes = [*_ours(), *_genai_prices()], list[str]()
    with _Litellm() as litellm:
        if others:
            try:
                cases.append(litellm.case())
            except (OSError, ValueError, subprocess.SubprocessError) as error:
                notes.append(f"{_LITELLM}: left out, {type(error).__name__}: {error}")
        else:
            notes.append(f"{_LITELLM}: left out of a quick run")
        samples = _measure(cases, rounds, milliseconds)
    rows = [
        (case.name, f"{statistics.median(times):,.0f}", median_ratio(times, samples[0]), case.dollars)
        for case, times in zip(cases, samples, strict=True)
    ]
    print_table(("usage bytes to cost", "ns/call", "ratio (range)", "USD"), rows)
    print(*notes, sep="\n", end="\n\n" if notes else "")


def _slack() -> list[object]:
    """Free places between held ones, for objects of every size. Without them it is chance whether a call's
    objects are the only ones in a block of memory, which CPython then asks for and gives back at every call;
    without this, one row of some processes took twice its time."""
    made: list[object] = [bytes(size) for size in range(480) for _ in range(50)]
    made += [2**40 + number for number in range(1000)]
    return made[::2]


def _measure(cases: list[_Case], rounds: int, milliseconds: float) -> list[list[float]]:
    slack = _slack()
    counts = [max(1, int(milliseconds * 1e6 / max(case.timed(3) / 3, 1))) for case in cases]
    samples: list[list[float]] = [[] for _ in cases]
    for _ in range(rounds):
        for case, times, count in zip(cases, samples, counts, strict=True):
            times.append(case.timed(count) / count)
    del slack
    return samples


def _ours() -> list[_Case]:
    usage = Usage.from_wire(_USAGE, "anthropic")
    return [
        _case(
            "bare table look-up, decoded counts", lambda: _bare(_MODEL, _COUNTS), _bare(_MODEL, _COUNTS) / 1e15
        ),
        _case(
            "Usage.from_wire, cost, lines",
            lambda: cost(Usage.from_wire(_USAGE, "anthropic"), model=_MODEL, at=_AT).lines,
            _dollars(_MODEL),
        ),
        _case(
            "... written for both lifetimes",
            lambda: cost(Usage.from_wire(_BOTH, "anthropic"), model=_MODEL, at=_AT).lines,
            _dollars(_MODEL, _BOTH),
        ),
        _case(
            "... of a model with tiers",
            lambda: cost(Usage.from_wire(_USAGE, "anthropic"), model=_TIERED, at=_AT).lines,
            _dollars(_TIERED),
        ),
        _case("Usage.from_wire alone", lambda: Usage.from_wire(_USAGE, "anthropic"), ""),
        _case("cost alone", lambda: cost(usage, model=_MODEL, at=_AT).lines, _dollars(_MODEL)),
    ]


def _bare(model: str, counts: tuple[int, int, int, int, int]) -> int:
    """The least that any such thing does: five products of a table's integers."""
    plain, read, short, hour, output = counts
    prices = _TABLE[model]
    return plain * prices[0] + read * prices[1] + short * prices[2] + hour * prices[3] + output * prices[4]


def _dollars(model: str, usage: bytes = _USAGE) -> Decimal:
    return cost(Usage.from_wire(usage, "anthropic"), model=model, at=_AT).usd


def _genai_prices() -> list[_Case]:
    try:
        from genai_prices import extract_usage
    except ImportError:
        return []

    def work() -> object:
        found = extract_usage({"model": _MODEL, "usage": json.loads(_USAGE)}, provider_id="anthropic")
        return found.calc_price(genai_request_timestamp=_AT).total_price

    return [_case(f"genai-prices {metadata.version('genai-prices')}", work, work())]


def _case(name: str, work: Callable[[], object], dollars: object) -> _Case:
    def timed(count: int) -> int:
        before = time.process_time_ns()
        for _ in range(count):
            work()
        return time.process_time_ns() - before

    return _Case(name, timed, str(dollars))


class _Litellm:
    """litellm in a process and an environment of its own: it brings some sixty packages along."""

    def __init__(self) -> None:
        self._child: subprocess.Popen[str] | None = None

    def __enter__(self) -> "_Litellm":
        return self

    def __exit__(self, *exception: object) -> None:
        if self._child is not None:
            self._child.kill()
            self._child.communicate()

    def case(self) -> _Case:
        """Raises OSError, ValueError or SubprocessError where it cannot be had."""
        python = _ENVIRONMENT / "bin" / "python"
        self._child = subprocess.Popen(
            [_made(python), "-c", _CHILD, _MODEL, _USAGE.decode()],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            cwd=_ENVIRONMENT,
            env={**os.environ, "LITELLM_LOCAL_MODEL_COST_MAP": "True"},  # no download when it is imported
        )
        return _Case(_LITELLM.replace("==", " "), self._timed, f"{float(self._line())}")

    def _timed(self, count: int) -> int:
        assert self._child is not None
        assert self._child.stdin is not None
        print(count, file=self._child.stdin, flush=True)
        return int(self._line())

    def _line(self) -> str:
        assert self._child is not None
        assert self._child.stdout is not None
        return self._child.stdout.readline()


def _made(python: Path) -> Path:
    """The environment's interpreter; it is made once, and thrown away again where that does not end well."""
    done = _ENVIRONMENT / "complete"
    if not done.exists():
        print(f"making {_ENVIRONMENT} for {_LITELLM}, once", file=sys.stderr, flush=True)
        try:
            venv.create(_ENVIRONMENT, with_pip=True, clear=True)
            subprocess.run(
                [python, "-m", "pip", "install", "--quiet", _LITELLM],
                check=True,
                capture_output=True,
                timeout=600,
            )
        except BaseException:
            shutil.rmtree(_ENVIRONMENT, ignore_errors=True)
            raise
        done.touch()
    return python
