"""Every usage that real services sent, as far as recordings of them are here."""

import json
from collections.abc import Iterator
from datetime import date
from typing import Any

import pytest

from nexusflow_core import InvalidUsageError, Usage, cost
from tests import traffic

pytestmark = pytest.mark.skipif(traffic.why_absent() is not None, reason=str(traffic.why_absent()))

REFUSED: dict[str, str] = {}
"""Recordings, by id, whose usage cannot be, and why."""

OWN_WIRES = {"deepseek": "deepseek-chat", "openrouter": "openrouter"}


def objects(exchange: traffic.Exchange) -> Iterator[dict[str, Any]]:
    """The JSON objects of a body: one, or those of its events."""
    body = exchange.body or ""
    lines = body.replace("\r", "").split("\n") if exchange.body_is_sse else [f"data:{body}"]
    for line in lines:
        if line.startswith("data:"):
            try:
                value = json.loads(line[5:])
            except ValueError:
                continue
            if isinstance(value, dict):
                yield value


def check(failures: list[str], exchange: traffic.Exchange, usage: Any, wire: Any) -> Usage | None:
    try:
        found = Usage.from_wire(usage, wire)
        if not isinstance(usage, bytes):
            assert Usage.from_wire(json.dumps(usage).encode(), wire) == found
    except InvalidUsageError as error:
        if exchange.id not in REFUSED:
            failures.append(f"{exchange.provider} {exchange.id} as {wire}: {error}")
        return None
    return found


def test_anthropics_answers() -> None:
    """Each is read, and its prompt is the sum of what it names."""
    seen, failures = 0, list[str]()
    for exchange in traffic.exchanges("anthropic"):
        for value in () if exchange.body_is_sse else objects(exchange):
            if usage := value.get("usage"):
                seen += 1
                if found := check(failures, exchange, usage, "anthropic"):
                    names = "input_tokens", "cache_creation_input_tokens", "cache_read_input_tokens"
                    assert found.prompt_tokens == sum(usage.get(name) or 0 for name in names)
                    assert found.output_tokens == usage["output_tokens"]
    assert failures == []
    assert seen > 500


def test_anthropics_streams() -> None:
    """From the stream's bytes and from its usage objects comes the same, and the last output count stands."""
    seen, failures = 0, list[str]()
    for exchange in traffic.exchanges("anthropic"):
        values = list(objects(exchange)) if exchange.body_is_sse else []
        usages = [value.get("usage") or (value.get("message") or {}).get("usage") for value in values]
        if parts := [usage for usage in usages if usage]:
            seen += 1
            found = check(failures, exchange, (exchange.body or "").encode(), "anthropic-stream")
            assert found == check(failures, exchange, parts, "anthropic-stream")
            if found is not None:
                assert found.output_tokens == [p["output_tokens"] for p in parts if "output_tokens" in p][-1]
    assert failures == []
    assert seen > 300


def test_chat_completions() -> None:
    """Each vendor's is read as what it is, and no token of the prompt is lost or counted twice."""
    seen, failures = 0, list[str]()
    for exchange in traffic.exchanges("openai-chat"):
        for value in objects(exchange):
            if isinstance(usage := value.get("usage"), dict):
                seen += 1
                for wire in {"openai-chat", OWN_WIRES.get(exchange.provider, "openai-chat")}:
                    if found := check(failures, exchange, usage, wire):
                        assert found.prompt_tokens == (usage.get("prompt_tokens") or 0)
    assert failures == []
    assert seen > 3000


def test_xais_own_bill() -> None:
    """Where xAI says what it charged, in 10^-10 dollars, our cost is exactly that."""
    seen = 0
    for exchange in traffic.exchanges("openai-chat", provider="xai"):
        billed = [value for value in objects(exchange) if (value.get("usage") or {}).get("cost_in_usd_ticks")]
        for value in billed[-1:]:
            seen += 1
            usage = Usage.from_wire(value["usage"], "openai-chat")
            ours = cost(usage, model=value["model"], at=date(2026, 11, 20))
            assert ours.femto_usd == value["usage"]["cost_in_usd_ticks"] * 10**5
    assert seen >= 4
