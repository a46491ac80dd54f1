"""Exact costs, case by case: the shared vectors where they are present, and cases of our own for every rule.

The shared ones are read from `../shared/vectors`, or `$NEXUSFLOW_VECTORS`; they are never copied into this
repository.
"""

import json
import os
from collections import defaultdict
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import pytest

from nexusflow_core import Cost, InvalidUsageError, UnknownModelError, Usage, cost

TODAY = date(2026, 11, 22)
NONE: Mapping[str, Any] = MappingProxyType({})


class Case(NamedTuple):
    """A usage and its exact cost. `parts` are dollars by bucket, and add up to it; or `error` is raised."""

    id: str
    why: str
    wire: Any
    model: str
    usage: Any
    parts: Mapping[str, str] = NONE
    at: date | datetime = TODAY
    options: Mapping[str, Any] = NONE
    error: type[Exception] | None = None


def check(case: Case, expected: Decimal | None = None) -> None:
    """The cost is what the case says, from bytes and from the decoded object alike."""
    for usage in (json.dumps(case.usage).encode(), case.usage):
        if case.error is not None:
            with pytest.raises(case.error):
                priced(case, usage)
            continue
        found = priced(case, usage)
        parts: dict[str, Decimal] = defaultdict(Decimal)
        for line in found.lines:
            assert line.femto_usd == line.tokens * line.rate, case.why
            parts[line.bucket] += line.usd
        assert dict(parts) == {bucket: Decimal(usd) for bucket, usd in case.parts.items()}, case.why
        total = sum(map(Decimal, case.parts.values())) if expected is None else expected
        assert found.usd == total, case.why
        assert found.femto_usd == sum(line.femto_usd for line in found.lines)


def priced(case: Case, usage: Any) -> Cost:
    return cost(Usage.from_wire(usage, case.wire), model=case.model, at=case.at, **case.options)


def vectors_file() -> Path:
    beside = Path(__file__).resolve().parents[3] / "shared" / "vectors"
    return Path(os.environ.get("NEXUSFLOW_VECTORS") or beside) / "cost.json"


def shared() -> list[dict[str, Any]]:
    return json.loads(vectors_file().read_bytes()) if vectors_file().exists() else []


def vector_test(vector: dict[str, Any]) -> Callable[[], None]:
    """A test of its own for a shared vector: total, every bucket and every expected error are exact."""
    options = vector["options"]
    errors = {"unknown_model": UnknownModelError, "invalid_usage": InvalidUsageError}

    def test() -> None:
        check(
            Case(
                vector["id"],
                vector["why"],
                vector["wire"],
                vector["model"],
                vector["usage"],
                vector["breakdown"],
                date.fromisoformat(options["at"]) if "at" in options else TODAY,
                {name: options[name] for name in ("batch", "stop_reason") if name in options},
                errors[vector["expected_error"]] if "expected_error" in vector else None,
            ),
            None if vector["expected_usd"] is None else Decimal(vector["expected_usd"]),
        )

    test.__doc__ = vector["why"]
    return test


VECTORS = {f"test_vector_{vector['id'].replace('-', '_')}": vector_test(vector) for vector in shared()}
globals().update(VECTORS)


def test_there_are_sixty_shared_vectors() -> None:
    """None is lost on the way here."""
    if not shared():
        pytest.skip(f"no shared vectors: {vectors_file()} is missing (NEXUSFLOW_VECTORS)")
    assert len(VECTORS) == 60


def claude(**usage: Any) -> dict[str, Any]:
    """Anthropic's usage by short names."""
    names = {
        "i": "input_tokens",
        "o": "output_tokens",
        "r": "cache_read_input_tokens",
        "w": "cache_creation_input_tokens",
    }
    wire = {names.get(name, name): value for name, value in usage.items()}
    if "split" in wire:
        short, hour = wire.pop("split")
        wire["cache_creation"] = {"ephemeral_5m_input_tokens": short, "ephemeral_1h_input_tokens": hour}
    return wire


def chat(prompt: int, completion: int, cached: int = 0, written: int = 0, **more: Any) -> dict[str, Any]:
    """Chat Completions' usage."""
    details = {"cached_tokens": cached, "cache_write_tokens": written}
    return {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "prompt_tokens_details": details,
        **more,
    }


SEARCH = {"server_tool_use": {"web_search_requests": 1}}
G = claude(i=105, r=7123, w=7345, o=6039, **SEARCH)
H = claude(i=150_000, r=60_000, o=1000)
MONDAY, SATURDAY = date(2026, 11, 16), date(2026, 11, 21)


def hour(day: date, hour: int) -> datetime:
    return datetime(day.year, day.month, day.day, hour, tzinfo=UTC)


# The worked examples of the rules, A to L.
WORKED = [
    Case("A", "reads at a tenth", "anthropic", "claude-opus-4-7", claude(i=50, r=100_000, o=500),
         {"input": "0.00025", "cache_read": "0.05", "output": "0.0125"}),
    Case("B", "5m and 1h writes have prices of their own", "anthropic", "claude-sonnet-4-6",
         claude(i=2000, w=40_000, split=(10_000, 30_000), r=50_000, o=1200),
         {"input": "0.006", "cache_write_5m": "0.0375", "cache_write_1h": "0.18", "cache_read": "0.015",
          "output": "0.018"}),
    Case("C", "a batch halves every token", "anthropic", "claude-haiku-4-5",
         claude(i=1000, w=5000, o=300, service_tier="batch"),
         {"input": "0.0005", "cache_write_5m": "0.003125", "output": "0.00075"}),
    Case("D", "fast and US multiply to 2.2", "anthropic", "claude-opus-5",
         claude(i=1000, r=20_000, o=2000, speed="fast", inference_geo="us"),
         {"input": "0.011", "cache_read": "0.022", "output": "0.11"}),
    Case("E1", "exactly the threshold is the lower tier", "anthropic", "claude-haiku-5-5",
         claude(i=10_000, w=5000, r=85_000, o=1000),
         {"input": "0.001", "cache_write_5m": "0.000625", "cache_read": "0.00085", "output": "0.0005"}),
    Case("E2", "one token more moves all of them", "anthropic", "claude-haiku-5-5",
         claude(i=10_001, w=5000, r=85_000, o=1000),
         {"input": "0.0050005", "cache_write_5m": "0.003125", "cache_read": "0.00425", "output": "0.0025"}),
    Case("F1", "the day before a read price fell", "anthropic", "claude-sonnet-5-5",
         claude(i=500, r=200_000, o=800),
         {"input": "0.001", "cache_read": "0.04", "output": "0.008"}, date(2026, 10, 6)),
    Case("F2", "the day it fell", "anthropic", "claude-sonnet-5-5", claude(i=500, r=200_000, o=800),
         {"input": "0.001", "cache_read": "0.02", "output": "0.008"}, date(2026, 10, 7)),
    Case("G1", "a web search is a fee", "anthropic", "claude-opus-4-8", G,
         {"input": "0.000525", "cache_read": "0.0035615", "cache_write_5m": "0.04590625", "output": "0.150975",
          "web_search": "0.01"}),
    Case("G2", "a fee is not halved", "anthropic", "claude-opus-4-8", G,
         {"input": "0.0002625", "cache_read": "0.00178075", "cache_write_5m": "0.022953125",
          "output": "0.0754875", "web_search": "0.01"}, options={"batch": True}),
    Case("H1", "the last day of a tier", "anthropic", "claude-sonnet-4-6", H,
         {"input": "0.9", "cache_read": "0.036", "output": "0.0225"}, date(2026, 3, 12)),
    Case("H2", "the first day without it", "anthropic", "claude-sonnet-4-6", H,
         {"input": "0.45", "cache_read": "0.018", "output": "0.015"}, date(2026, 3, 13)),
    Case("I", "reads at a fortieth", "anthropic", "claude-fable-5-2", claude(i=1000, r=500_000, o=4000),
         {"input": "0.008", "cache_read": "0.1", "output": "0.16"}),
    Case("J", "a compaction is billed on top", "anthropic", "claude-sonnet-5",
         claude(i=23_000, o=1000, iterations=[
             {"type": "compaction", "input_tokens": 180_000, "output_tokens": 3500},
             {"type": "message", "input_tokens": 23_000, "output_tokens": 1000}]),
         {"input": "0.406", "output": "0.045"}),
    Case("K", "a refusal before output is free", "anthropic", "claude-opus-5", claude(i=20, o=0),
         options={"stop_reason": "refusal"}),
    Case("L", "prompt_tokens holds what was cached and written", "openai-chat", "gpt-5.6-sol",
         chat(10_000, 1000, 2000, 2000),
         {"input": "0.024", "cache_read": "0.0008", "cache_write_5m": "0.01", "output": "0.02"}),
]  # fmt: skip

OWN = [
    Case("no-split", "a total without its split is all 5m", "anthropic", "claude-haiku-4-5",
         claude(i=3, w=801, o=2),
         {"input": "0.000003", "cache_write_5m": "0.00100125", "output": "0.00001"}),
    Case("short-split", "what the split leaves is 5m: 900 - 100 - 200", "anthropic", "claude-opus-4-8",
         claude(i=1, w=900, split=(100, 200), o=0),
         {"input": "0.000005", "cache_write_5m": "0.004375", "cache_write_1h": "0.002"}),
    Case("split-alone", "a split without its total counts", "anthropic", "claude-sonnet-4-6",
         claude(i=0, split=(40, 60), o=0), {"cache_write_5m": "0.00015", "cache_write_1h": "0.00036"}),
    Case("long-split", "a split over its total cannot be", "anthropic", "claude-sonnet-4-6",
         claude(i=0, w=99, split=(40, 60), o=0), error=InvalidUsageError),
    Case("thinking", "thinking is inside the output", "anthropic", "claude-fable-5",
         claude(i=11, o=900, output_tokens_details={"thinking_tokens": 899}),
         {"input": "0.00011", "output": "0.045"}),
    Case("read-twentieth", "reads of Opus 5.5 at 0.05", "anthropic", "claude-opus-5-5", claude(r=33_333, o=1),
         {"cache_read": "0.0066666", "output": "0.00002"}),
    Case("read-fortieth", "reads of Fable 5.1 at 0.025", "anthropic", "claude-fable-5-1", claude(r=40_001),
         {"cache_read": "0.01000025"}),
    Case("tier-by-reads", "reads count towards the tier", "anthropic", "claude-haiku-5-5",
         claude(i=1, r=100_000, o=10),
         {"input": "0.0000005", "cache_read": "0.005", "output": "0.000025"}),
    Case("tier-history", "Sonnet 4.5 keeps its tier above 200,000", "anthropic", "claude-sonnet-4-5",
         claude(i=1, r=200_000, o=2), {"input": "0.000006", "cache_read": "0.12", "output": "0.000045"}),
    Case("batch-us", "0.5 times 1.1", "anthropic", "claude-sonnet-5",
         claude(i=1000, o=100, service_tier="batch", inference_geo="us"),
         {"input": "0.0011", "output": "0.00055"}),
    Case("batch-search", "tokens are halved, three searches are not", "anthropic", "claude-opus-5",
         claude(o=10, server_tool_use={"web_search_requests": 3}, service_tier="batch"),
         {"output": "0.000125", "web_search": "0.03"}),
    Case("fast", "fast is double on reads too", "anthropic", "claude-opus-4-8",
         claude(r=1003, o=7, speed="fast"), {"cache_read": "0.001003", "output": "0.00035"}),
    Case("fast-history", "Opus 4.6 in fast mode at six times its upper tier", "anthropic", "claude-opus-4-6",
         claude(i=200_001, o=1, speed="fast"), {"input": "12.00006", "output": "0.000225"}, date(2026, 2, 20)),
    Case("searches-beside-iterations", "searches count once, from the top", "anthropic", "claude-sonnet-5",
         claude(i=50, o=5, server_tool_use={"web_search_requests": 2}, iterations=[
             {"type": "compaction", "input_tokens": 1000, "output_tokens": 100},
             {"type": "message", "input_tokens": 50, "output_tokens": 5}]),
         {"input": "0.0021", "output": "0.00105", "web_search": "0.02"}),
    Case("advisor", "an advisor at its own model's price", "anthropic", "claude-haiku-5-5",
         claude(i=100, o=10, iterations=[
             {"type": "message", "input_tokens": 100, "output_tokens": 10},
             {"type": "advisor_message", "model": "claude-opus-5-5", "input_tokens": 200,
              "output_tokens": 20}]),
         {"input": "0.00081", "output": "0.000405"}),
    Case("declined", "an attempt declined before output is free", "anthropic", "claude-opus-5",
         claude(i=10, o=4, iterations=[
             {"type": "message", "model": "claude-fable-5-2", "input_tokens": 999, "output_tokens": 0},
             {"type": "fallback_message", "model": "claude-opus-5", "input_tokens": 10, "output_tokens": 4}]),
         {"input": "0.00005", "output": "0.0001"}),
    Case("tier-each-iteration", "each iteration has a tier of its own", "anthropic", "claude-haiku-5-5",
         claude(i=60_000, o=0, iterations=[{"input_tokens": 60_000}, {"input_tokens": 100_001}]),
         {"input": "0.0560005"}),
    Case("refusal-late", "a refusal after output began is billed", "anthropic", "claude-fable-5-2",
         claude(i=100, o=3), {"input": "0.0008", "output": "0.00012"}, options={"stop_reason": "refusal"}),
    Case("stream-shrinks", "a compaction lets input_tokens shrink", "anthropic-stream", "claude-sonnet-5",
         [claude(i=60_385, o=2), claude(i=612, o=40)], {"input": "0.001224", "output": "0.0004"}),
    Case("stream-zeros", "zeros at the end do not erase the prompt", "anthropic-stream", "claude-opus-5",
         [claude(i=500, o=1), claude(i=0, o=9)], {"input": "0.0025", "output": "0.000225"}),
    Case("stream-writes-grow", "what the split does not hold is 5m", "anthropic-stream", "claude-sonnet-5",
         [claude(i=0, w=100, split=(0, 100), o=1), claude(w=150, o=5)],
         {"cache_write_1h": "0.0004", "cache_write_5m": "0.000125", "output": "0.00005"}),
    Case("report-batch", "a report's row has its own names", "anthropic-usage-report", "claude-haiku-4-5",
         {"uncached_input_tokens": 333, "cache_read_input_tokens": 30, "output_tokens": 40,
          "cache_creation": {"ephemeral_5m_input_tokens": 10, "ephemeral_1h_input_tokens": 20},
          "service_tier": "batch", "context_window": "0-200k", **SEARCH},
         {"input": "0.0001665", "cache_read": "0.0000015", "cache_write_5m": "0.00000625",
          "cache_write_1h": "0.00002", "output": "0.0001", "web_search": "0.01"}),
    Case("report-tier", "a sum's tier is the one named", "anthropic-usage-report", "claude-sonnet-4-5",
         {"uncached_input_tokens": 1000, "output_tokens": 10, "context_window": "200k-1M"},
         {"input": "0.006", "output": "0.000225"}),
    Case("report-sum", "a sum over 200,000 is no long prompt", "anthropic-usage-report", "claude-sonnet-4-5",
         {"uncached_input_tokens": 1_000_000, "output_tokens": 10, "context_window": "0-200k"},
         {"input": "3", "output": "0.00015"}),
    Case("cost-report", "cents", "anthropic-cost-report", "", {"amount": "0.01", "currency": "USD"},
         {"provider_reported": "0.0001"}),
    Case("openai-write", "writes are billed from gpt-5.6 on", "openai-chat", "gpt-6-luna",
         chat(1000, 50, 400, 100),
         {"input": "0.00005", "cache_read": "0.000004", "cache_write_5m": "0.0000125", "output": "0.000025"}),
    Case("openai-tier", "272,001 prompt tokens: twice, and output 1.5 times", "openai-chat", "gpt-6.1-terra",
         chat(272_001, 2), {"input": "0.544002", "output": "0.000015"}),
    Case("openai-flex", "the tier that served decides", "openai-chat", "gpt-6-sol",
         chat(10, 10, service_tier="flex"), {"input": "0.00001", "output": "0.00005"}),
    Case("responses", "input_tokens holds the cached ones here", "openai-responses", "gpt-5.1",
         {"input_tokens": 1000, "input_tokens_details": {"cached_tokens": 600}, "output_tokens": 10},
         {"input": "0.0005", "cache_read": "0.000075", "output": "0.0001"}),
    Case("no-read-price", "without a read price a read is input", "openai-chat", "gpt-4-turbo",
         chat(10, 0, 10), {"cache_read": "0.0001"}),
    Case("xai-reasoning", "reasoning beside the completion, by the total", "openai-chat", "grok-4.7",
         chat(100, 5, total_tokens=125, completion_tokens_details={"reasoning_tokens": 20}),
         {"input": "0.0002", "output": "0.00015"}),
    Case("xai-tier", "200,000 is the upper tier already", "openai-chat", "grok-4.7", chat(200_000, 0),
         {"input": "0.8"}),
    Case("deepseek-peak", "Monday, 02:00 UTC", "deepseek-chat", "deepseek-flash",
         {"prompt_cache_hit_tokens": 1000, "prompt_cache_miss_tokens": 100, "completion_tokens": 10},
         {"input": "0.00003", "cache_read": "0.000006", "output": "0.000012"}, hour(MONDAY, 2)),
    Case("deepseek-weekend", "Saturday, 02:00 UTC", "deepseek-chat", "deepseek-flash",
         {"prompt_cache_hit_tokens": 1000, "prompt_cache_miss_tokens": 100, "completion_tokens": 10},
         {"input": "0.000015", "cache_read": "0.000003", "output": "0.000006"}, hour(SATURDAY, 2)),
    Case("bedrock-regional", "1.1 for an id without global.", "bedrock-converse",
         "anthropic.claude-haiku-4-5-20251001-v1:0",
         {"inputTokens": 100, "outputTokens": 10, "cacheReadInputTokens": 200, "cacheWriteInputTokens": 300,
          "cacheDetails": [{"ttl": "1h", "inputTokens": 100}]},
         {"input": "0.00011", "cache_read": "0.000022", "cache_write_5m": "0.000275",
          "cache_write_1h": "0.00022", "output": "0.000055"}),
    Case("bedrock-global", "1 for global.", "bedrock-converse",
         "global.anthropic.claude-haiku-4-5-20251001-v1:0", {"inputTokens": 100, "outputTokens": 10},
         {"input": "0.0001", "output": "0.00005"}),
    Case("openrouter", "its bill wins", "openrouter", "any/thing", chat(9, 9, cost=3.75e-05),
         {"provider_reported": "0.0000375"}),
    Case("qwen-thinking", "all output of a thinking call is dearer", "openai-chat", "qwen-plus",
         chat(10, 10, completion_tokens_details={"reasoning_tokens": 4}),
         {"input": "0.000004", "output": "0.00004"}),
    Case("qwen-explicit", "a marked hit is cheaper", "openai-chat", "qwen3.7-max", chat(1000, 0, 1000),
         {"cache_read": "0.00025"}, options={"explicit_cache": True}),
    Case("unknown", "no prefix is a match", "anthropic", "claude-opus-4-70", claude(i=1),
    error=UnknownModelError), Case("negative", "a negative count is no credit", "anthropic", "claude-opus-5",
    claude(i=5, o=-1), error=InvalidUsageError), Case("embedding", "output of a model that has none",
    "openai-chat", "text-embedding-3-small", chat(5, 5), error=InvalidUsageError), ]  # fmt: skip


@pytest.mark.parametrize("case", [pytest.param(c, id=f"{c.id}: {c.why}") for c in (*WORKED, *OWN)])
def test_a_case_of_our_own(case: Case) -> None:
    """Every rule of billing, with its arithmetic done by hand."""
    check(case)
