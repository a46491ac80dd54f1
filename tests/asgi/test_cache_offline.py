"""Five turns on a real port, against the simulator: what caching saved stands in the records."""

import time
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import anthropic
import pytest

from nexusflow_asgi import calls
from nexusflow_asgi.body import Arriving
from nexusflow_asgi.settings import OFFLINE
from nexusflow_core import CallRecord, PriceBook, decode_config
from tests.servers import RecordingHook, Served
from tests.simulator.offline import odd_client, odd_gateway

KIMI = b"""
[upstreams.kimi]
dialect = "openai-chat"
vendor = "kimi"
base_url = "http://offline/kimi"
api_key = "env:MOONSHOT_API_KEY"

[[routes]]
model = "kimi*"
targets = ["kimi"]

[upstreams.openai-chat]
dialect = "openai-chat"
vendor = "openai"
base_url = "http://offline/openai"
api_key = "env:OPENAI_API_KEY"

[[routes]]
model = "chat/gpt-*"
targets = ["openai-chat/gpt-5.6-sol"]
"""

MODELS = {
    # model -> the oddity that makes the simulator count as its vendor does, and whether writes are counted
    "claude-opus-4-7": ("", True),
    "gpt-5.6-sol": ("simulate quirk cache_writes", True),
    "gpt-5.5": ("", False),
    "qwen3-coder-plus": ("simulate quirk explicit_cache", True),
    "deepseek-v4-flash": ("simulate quirk hit_and_miss", False),
    "kimi-k3": ("simulate quirk cache_writes", True),
    "kimi-k2.6": ("simulate quirk cached_on_top", False),
}
SYSTEM: list[Any] = [
    {"type": "text", "text": "You know this book. " + "word " * 6000, "cache_control": {"type": "ephemeral"}}
]


@pytest.fixture(scope="module")
def hook() -> RecordingHook:
    return RecordingHook()


@pytest.fixture(scope="module")
def client(hook: RecordingHook) -> Iterator[anthropic.Anthropic]:
    gateway = odd_gateway(decode_config(OFFLINE + KIMI), hook)
    with (
        Served(gateway) as served,
        anthropic.Anthropic(api_key="x", base_url=served.url, max_retries=0) as made,
    ):
        yield made


def conversation(client: anthropic.Anthropic, model: str, oddity: str) -> None:
    """Five questions; the last text of each request has the marker, as clients set it."""
    messages: list[Any] = []
    for turn in range(5):
        question = f"Question {turn}. {'more words ' * 100}{oddity}"
        text = {"type": "text", "text": question, "cache_control": {"type": "ephemeral"}}
        asked = [*messages, {"role": "user", "content": [text]}]
        with client.messages.stream(model=model, max_tokens=100, system=SYSTEM, messages=asked) as stream:
            answer = stream.get_final_message()
        messages += [{"role": "user", "content": question}, {"role": "assistant", "content": answer.content}]


def counts(record: CallRecord) -> tuple[int, int, int]:
    usage = record.usage or {}
    return (
        usage["input_tokens"],
        usage["cache_read_input_tokens"],
        usage["cache_creation_input_tokens"],
    )


def price_without_cache(record: CallRecord) -> int:
    price = PriceBook.builtin().price(record.model, record.started_at, 0)
    return sum(counts(record)) * price.input + (record.usage or {})["output_tokens"] * (price.output or 0)


@pytest.mark.parametrize("model", MODELS)
def test_five_turns(client: anthropic.Anthropic, hook: RecordingHook, model: str) -> None:
    """Written at first where the vendor counts writes, read from then on, and cheaper than without."""
    oddity, writes = MODELS[model]
    before = len(hook.records)
    conversation(client, model, oddity)
    records = hook.wait(before + 5)[before:]
    assert [record.ending for record in records] == ["complete"] * 5
    assert not [loss for record in records for loss in record.dropped if "cache" in loss.path]
    read = [counts(record)[1] for record in records]
    written = [counts(record)[2] for record in records]
    assert read[0] == 0
    assert read[1] > 5000
    assert read == sorted(read)
    assert (written[0] > 5000) == writes
    assert any(written[1:]) <= writes
    without_cache = sum(price_without_cache(record) for record in records)
    spent = sum(Decimal(record.cost_usd or "nan") for record in records)
    assert spent < Decimal(without_cache) / 10**15 * Decimal("0.6")


def test_a_developer_sees_why_it_missed(client: anthropic.Anthropic, hook: RecordingHook) -> None:
    """A header says it, and the record what it cost: a write, a read, and a clock in the system prompt."""

    def ask(clock: str) -> tuple[str, CallRecord]:
        before = len(hook.records)
        system: list[Any] = [*SYSTEM[:1], {"type": "text", "text": f"It is {clock}."}]
        system[0] = {"type": "text", "text": "Why it missed. " + "word " * 6000}
        raw = client.messages.with_raw_response.create(
            model="claude-opus-4-7",
            max_tokens=9,
            system=system,
            messages=[{"role": "user", "content": "Hello"}],
            extra_body={"cache_control": {"type": "ephemeral"}},
        )
        return raw.headers["x-nexusflow-cache"], hook.wait(before + 1)[before]

    said, first = ask("noon")
    assert (said, first.cache_miss) == ("miss cold", "cold")
    assert Decimal(first.cache_write_extra_usd or "0") > 0
    said, second = ask("noon")
    assert said == f"hit {counts(first)[2]}"
    assert (second.cache_miss, second.cache_disagreement, counts(second)[1]) == (None, None, counts(first)[2])
    assert Decimal(second.cost_usd or "nan") < Decimal(first.cost_usd or "nan") / 5
    said, third = ask("one o'clock")
    assert (said, third.cache_miss) == ("miss system_changed system[1]", "system_changed system[1]")
    assert counts(third)[1] == 0


@pytest.mark.parametrize("model", ["gpt-5.6-sol", "chat/gpt-5.6-sol"])
@pytest.mark.parametrize("marked", [True, False])
def test_a_developer_sees_why_openai_missed(model: str, marked: bool) -> None:
    """From gpt-5.6 on, over Responses and Chat Completions: a write with its price, a read, a reason."""
    hook = RecordingHook()
    with odd_client(decode_config(OFFLINE + KIMI), hook) as client:
        _three_calls_to_openai(client, hook, model, marked=marked)


def _three_calls_to_openai(
    client: anthropic.Anthropic, hook: RecordingHook, model: str, *, marked: bool
) -> None:
    mark = {"cache_control": {"type": "ephemeral"}} if marked else {}

    def ask(clock: str, *turns: Any) -> tuple[str, CallRecord]:
        before = len(hook.records)
        manual = {"type": "text", "text": f"For {model}, {marked}. " + "word " * 6000}
        system: list[Any] = [manual, {"type": "text", "text": f"It is {clock}.", **mark}]
        messages: list[Any] = [{"role": "user", "content": "Hello"}, *turns]
        raw = client.messages.with_raw_response.create(
            model=model, max_tokens=99, system=system, messages=messages
        )
        return raw.headers["x-nexusflow-cache"], hook.wait(before + 1)[before]

    header, first = ask("noon")
    written = counts(first)[2]
    assert (header, first.cache_miss) == ("miss cold", "cold")
    assert written > 7000
    price = PriceBook.builtin().price("gpt-5.6-sol", first.started_at, 0)
    assert price.cache_write_5m * 4 == price.input * 5
    assert first.cache_write_extra_usd is not None
    assert Decimal(first.cache_write_extra_usd) == Decimal(written * price.input) / 4 / 10**15
    header, second = ask("noon", {"role": "assistant", "content": "Hi"}, {"role": "user", "content": "More"})
    assert (header, second.cache_miss) == (f"hit {written}", None)
    assert (counts(second)[1], second.cache_disagreement) == (written, None)
    header, third = ask("one o'clock")
    assert (header, third.cache_miss) == ("miss system_changed system[1]", "system_changed system[1]")
    assert counts(third)[1:] == (0, written)


def test_below_the_minimum_is_said_to_the_token(client: anthropic.Anthropic) -> None:
    """By the counts of the answer, and not by an estimate of ours."""
    raw = client.messages.with_raw_response.create(
        model="claude-opus-4-7",
        max_tokens=9,
        messages=[{"role": "user", "content": "tok " * 1000}],
        extra_body={"cache_control": {"type": "ephemeral"}},
    )
    assert raw.parse().usage.input_tokens == 1004
    assert raw.headers["x-nexusflow-cache"] == f"miss below_minimum {2048 - 1004} tokens"


def test_a_slow_start_of_a_call_does_not_shift_its_times(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first call of a process takes long before it is read. The next one still finds its entry readable."""
    hook, waits = RecordingHook(), [0.3]

    def slow(*given: Any, **named: Any) -> Arriving:
        time.sleep(waits.pop() if waits else 0)
        return Arriving(*given, **named)

    monkeypatch.setattr(calls, "Arriving", slow)
    with (
        Served(odd_gateway(decode_config(OFFLINE), hook)) as served,
        anthropic.Anthropic(api_key="x", base_url=served.url, max_retries=0) as client,
    ):
        for _ in range(2):
            hello: Any = [{"role": "user", "content": "Hello"}]
            client.messages.create(model="claude-sonnet-5", max_tokens=9, system=SYSTEM, messages=hello)
    first, second = hook.records
    assert (first.cache_miss, second.cache_miss, second.cache_disagreement) == ("cold", None, None)
