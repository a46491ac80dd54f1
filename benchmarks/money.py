"""From the bytes of a usage object to its exact cost, beside a bare table look-up and the public tools."""

import json
import os
import subprocess
from datetime import UTC, datetime
from decimal import Decimal
from importlib import metadata

from benchmarks import commands, rows
from benchmarks.environments import LITELLM, Missing, python_environment
from benchmarks.measure import Case, Effort, case, table
from benchmarks.report import Table
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


def run(effort: Effort, *, others: bool) -> tuple[str, list[Table]]:
    """Returns the method and its tables. `others`: LiteLLM too, in its environment, which is made if absent."""
    method = (
        f"CPU time, medians (least-most) of {effort.rounds} interleaved rounds; ratios to a bare look-up of the"
        " prices. The last column is what each says that the call cost."
    )
    cases, notes = [*_ours(), *_genai_prices()], list[str]()
    with _Litellm() as litellm:
        if others:
            try:
                cases.append(litellm.case())
            except (Missing, OSError, ValueError) as error:
                notes.append(f"{LITELLM[0]}: skipped, {error}")
        else:
            notes.append(f"{LITELLM[0]}: skipped in a quick run")
        one = table("usage bytes to cost", "call", cases, effort, result="USD", notes=notes)
        lines = rows.usage_lines(50_000 if others else 1_000)
        many = rows.tables(effort, others=others)
        return method, [one, *many, *commands.tables(effort, lines, others=others)]


def _ours() -> list[Case]:
    usage = Usage.from_wire(_USAGE, "anthropic")
    return [
        case(
            "bare table look-up, decoded counts",
            lambda: _bare(_MODEL, _COUNTS),
            result=_bare(_MODEL, _COUNTS) / 1e15,
        ),
        case(
            "Usage.from_wire, cost, lines",
            lambda: cost(Usage.from_wire(_USAGE, "anthropic"), model=_MODEL, at=_AT).lines,
            result=_dollars(_MODEL),
        ),
        case(
            "... written for both lifetimes",
            lambda: cost(Usage.from_wire(_BOTH, "anthropic"), model=_MODEL, at=_AT).lines,
            result=_dollars(_MODEL, _BOTH),
        ),
        case(
            "... of a model with tiers",
            lambda: cost(Usage.from_wire(_USAGE, "anthropic"), model=_TIERED, at=_AT).lines,
            result=_dollars(_TIERED),
        ),
        case("Usage.from_wire alone", lambda: Usage.from_wire(_USAGE, "anthropic")),
        case("cost alone", lambda: cost(usage, model=_MODEL, at=_AT).lines, result=_dollars(_MODEL)),
    ]


def _bare(model: str, counts: tuple[int, int, int, int, int]) -> int:
    """The least that any such thing does: five products of a table's integers."""
    plain, read, short, hour, output = counts
    prices = _TABLE[model]
    return plain * prices[0] + read * prices[1] + short * prices[2] + hour * prices[3] + output * prices[4]


def _dollars(model: str, usage: bytes = _USAGE) -> Decimal:
    return cost(Usage.from_wire(usage, "anthropic"), model=model, at=_AT).usd


def _genai_prices() -> list[Case]:
    try:
        from genai_prices import extract_usage
    except ImportError:
        return []

    def work() -> object:
        found = extract_usage({"model": _MODEL, "usage": json.loads(_USAGE)}, provider_id="anthropic")
        return found.calc_price(genai_request_timestamp=_AT).total_price

    return [case(f"genai-prices {metadata.version('genai-prices')}", work, result=work())]


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

    def case(self) -> Case:
        """Returns its case. Raises Missing, OSError or ValueError if it does not start."""
        bin = python_environment("litellm", LITELLM)
        self._child = subprocess.Popen(
            [bin / "python", "-c", _CHILD, _MODEL, _USAGE.decode()],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            cwd=bin,
            env={**os.environ, "LITELLM_LOCAL_MODEL_COST_MAP": "True"},  # no download when it is imported
        )
        return Case(LITELLM[0].replace("==", " "), 1, self._timed, f"{float(self._line())}")

    def _timed(self, count: int) -> int:
        assert self._child is not None
        assert self._child.stdin is not None
        print(count, file=self._child.stdin, flush=True)
        return int(self._line())

    def _line(self) -> str:
        assert self._child is not None
        assert self._child.stdout is not None
        return self._child.stdout.readline()
