"""Prompt caching on a relayed call: the usage of the answer in the record, priced bucket by bucket."""

import gzip
import json
from collections import defaultdict
from datetime import UTC
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest

from tests import traffic
from tests.core.cost_oracle import Impossible, bill
from tests.core.relayed import config_of, relayed
from tests.core.translation.driving import NOW

CLAUDE = config_of(vendor="anthropic")
RECORDED = traffic.folder().parent / "cache-sequences.jsonl.gz"

FIVE_TURNS = [
    # plain, read, written for five minutes, written for an hour
    (20, 0, 2000, 10_000),
    (25, 12_000, 600, 0),
    (18, 12_600, 600, 0),
    (30, 13_200, 600, 0),
    (22, 13_800, 600, 0),
]


def usage_of(plain: int, read: int, short: int, hour: int) -> dict[str, Any]:
    return {
        "input_tokens": plain,
        "cache_creation_input_tokens": short + hour,
        "cache_read_input_tokens": read,
        "cache_creation": {"ephemeral_5m_input_tokens": short, "ephemeral_1h_input_tokens": hour},
        "output_tokens": 200,
        "service_tier": "standard",
    }


def message(usage: dict[str, Any], model: str, **members: Any) -> dict[str, Any]:
    text = [{"type": "text", "text": "Hi"}]
    return {
        "type": "message",
        "model": model,
        "content": text,
        "stop_reason": "end_turn",
        "usage": usage,
        **members,
    }


def streamed(usage: dict[str, Any], model: str) -> list[Any]:
    """message_start has all but the output; message_delta repeats what counts, without the split."""
    first = message({**usage, "output_tokens": 1}, model, content=[], stop_reason=None)
    last = {name: count for name, count in usage.items() if name not in ("cache_creation", "service_tier")}
    return [
        {"type": "message_start", "message": first},
        {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": last},
        {"type": "message_stop"},
    ]


@pytest.mark.parametrize("stream", [False, True])
def test_writes_then_reads_then_the_saving(stream: bool) -> None:
    """Five turns of Claude: an hour's write at 2x, five minutes' at 1.25x, reads at 0.1x, exact."""
    spent = without_cache = Decimal(0)
    for plain, read, short, hour in FIVE_TURNS:
        usage = usage_of(plain, read, short, hour)
        answer = streamed(usage, "claude-opus-4-7") if stream else message(usage, "claude-opus-4-7")
        record = relayed(CLAUDE, answer).record
        assert record.usage == usage
        cost = (plain * 5 + read * Decimal("0.5") + short * Decimal("6.25") + hour * 10 + 200 * 25) / Decimal(
            10**6
        )
        assert Decimal(record.cost_usd or "nan") == cost
        spent += cost
        without_cache += (Decimal(plain + read + short + hour) * 5 + 200 * 25) / 10**6
    assert spent < without_cache * Decimal("0.8")


@pytest.mark.recorded
@pytest.mark.skipif(not RECORDED.exists(), reason=f"no recorded traffic: {RECORDED} is missing")
@pytest.mark.parametrize("stream", [False, True])
def test_recorded_sequences(stream: bool) -> None:
    """Every usage that Anthropic reported for requests with cache markers: whole in the record, and priced to
    the last digit as the oracle has it. Where an entry was read again, a scenario's reads are its saving."""
    at = NOW.astimezone(UTC)
    seen = priced = wrote = read = 0
    saved: dict[str, Fraction] = defaultdict(Fraction)
    with gzip.open(RECORDED, "rt") as lines:
        for line in lines:
            recorded = json.loads(line)
            usage, model = recorded["usage"], recorded["model"]
            answer = streamed(usage, model) if stream else message(usage, model)
            record = relayed(CLAUDE, answer, model=model).record
            seen += 1
            assert record.usage == usage
            try:
                parts = bill(usage, "anthropic", model, at)
            except Impossible:
                assert record.cost_usd is None
                continue
            priced += 1
            wrote += usage["cache_creation_input_tokens"] > 0
            read += usage["cache_read_input_tokens"] > 0
            assert Fraction(record.cost_usd or "-1") == sum(parts.values())
            tokens = usage["cache_read_input_tokens"]
            plain = bill({"input_tokens": tokens}, "anthropic", model, at).get("input", Fraction(0))
            saved[recorded["source"]] += plain - parts.get("cache_read", 0)
    assert (seen, read) == (297, 107)
    assert priced > 280
    assert wrote > 80
    assert all(saving >= 0 for saving in saved.values())
    assert sum(saving > 0 for saving in saved.values()) > 50


@pytest.mark.parametrize("vendor", ["deepseek", "kimi", "glm", "qwen", "vllm", "ollama"])
def test_a_claude_name_at_somebody_else(vendor: str) -> None:
    """Some vendors answer to Anthropic's names with models of their own: zeros at the end erase nothing, and no
    price of Claude's is taken for theirs."""
    start = {"input_tokens": 40, "cache_read_input_tokens": 900, "cache_creation_input_tokens": 0}
    parts = streamed({**start, "output_tokens": 7}, "claude-opus-4-7")
    parts[1]["usage"] = {**dict.fromkeys(start, 0), "output_tokens": 7}
    record = relayed(config_of(vendor=vendor), parts).record
    assert record.usage == {**start, "output_tokens": 7}
    assert (record.cost_usd, record.price_row, record.cost_flags) == (None, None, ("unknown_price",))


def test_anthropic_may_shrink_a_prompt() -> None:
    """A compaction does: what it says last stands, where it is Anthropic that speaks."""
    parts = streamed({"input_tokens": 60_385, "output_tokens": 7}, "claude-sonnet-5")
    parts[1]["usage"] = {"input_tokens": 612, "output_tokens": 7}
    for config, stands in ((CLAUDE, 612), (config_of(), 612), (config_of(vendor="minimax"), 60_385)):
        assert (relayed(config, parts, model="claude-sonnet-5").record.usage or {})["input_tokens"] == stands
