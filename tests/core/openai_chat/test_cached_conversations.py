"""Five turns through each caching vendor's form of usage: writes, then reads, then the saving, in the record.

The forms are ours, after recorded ones and the vendors' references; the prices stand here once more.
"""

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from msgspec import Struct

from nexusflow_core import cost
from nexusflow_core.logs import Entry, Pricer
from nexusflow_core.logs.summary import Summary
from nexusflow_core.usage import Usage
from tests.core.translation.driving import NOW, Driven, answered, chunks, sse, streamed

OUTPUT = 200
PROMPTS = [4000, 4600, 5200, 5800, 6400]
"""Tokens of the prompt at each turn: what was there, the answer to it, and a new question."""


class Turn(Struct):
    """One answer's tokens as the vendor counts them: all of the prompt, and the parts read and written."""

    prompt: int
    read: int
    written: int

    @property
    def plain(self) -> int:
        return self.prompt - self.read - self.written


def turns(*, writes: bool, tail: int) -> list[Turn]:
    """Each turn reads what the one before left in the cache: all but its last `tail` tokens."""
    made: list[Turn] = []
    cached = 0
    for prompt in PROMPTS:
        made.append(Turn(prompt, cached, prompt - tail - cached if writes else 0))
        cached = prompt - tail
    return made


def openai_form(turn: Turn, **details: Any) -> dict[str, Any]:
    return {
        "prompt_tokens": turn.prompt,
        "completion_tokens": OUTPUT,
        "total_tokens": turn.prompt + OUTPUT,
        "prompt_tokens_details": {"cached_tokens": turn.read, **details},
    }


def with_writes(turn: Turn) -> dict[str, Any]:
    return openai_form(turn, audio_tokens=0, cache_write_tokens=turn.written)


def qwen_form(turn: Turn) -> dict[str, Any]:
    split = {"ephemeral_5m_input_tokens": turn.written}
    return openai_form(
        turn, cache_creation_input_tokens=turn.written, cache_creation=split, cache_type="ephemeral"
    )


def openrouter_form(turn: Turn) -> dict[str, Any]:
    bill = (turn.plain * 5 + turn.read * Decimal("0.5") + turn.written * Decimal("6.25") + OUTPUT * 25) / 10**6
    return {**with_writes(turn), "cost": float(bill), "is_byok": False}


def deepseek_form(turn: Turn) -> dict[str, Any]:
    missed = {"prompt_cache_hit_tokens": turn.read, "prompt_cache_miss_tokens": turn.prompt - turn.read}
    return {**openai_form(turn), **missed}


def old_kimi_form(turn: Turn) -> dict[str, Any]:
    kept = openai_form(turn)
    del kept["prompt_tokens_details"]
    return {**kept, "cached_tokens": turn.read}


def old_mistral_form(turn: Turn) -> dict[str, Any]:
    kept = openai_form(turn)
    del kept["prompt_tokens_details"]
    return {**kept, "num_cached_tokens": turn.read}


class Case(Struct):
    """A vendor's model, its form, and its prices: input, read, write, output, in USD for a million."""

    vendor: str
    model: str
    form: Callable[[Turn], dict[str, Any]]
    prices: tuple[str, str, str, str]
    writes: bool = False
    where: str = "last"


CASES = {
    "OpenAI with breakpoints": Case("openai", "gpt-5.6-sol", with_writes, ("4", ".4", "5", "20"), writes=True),
    "OpenAI by itself": Case("openai", "gpt-5.5", openai_form, ("5", ".5", "5", "30")),
    "Qwen with markers": Case("qwen", "qwen3-coder-plus", qwen_form, ("1", ".1", "1.25", "5"), writes=True),
    "Qwen by itself": Case("qwen", "qwen3-max", openai_form, ("1.2", ".24", "1.5", "6")),
    "OpenRouter": Case(
        "openrouter",
        "anthropic/claude-opus-4.7",
        openrouter_form,
        ("5", ".5", "6.25", "25"),
        writes=True,
        where="finish",
    ),
    "DeepSeek": Case(
        "deepseek", "deepseek-v4-flash", deepseek_form, (".15", ".003", ".15", ".6"), where="finish"
    ),
    "Kimi K3": Case("kimi", "kimi-k3", with_writes, ("3", ".3", "3", "15"), writes=True),
    "Kimi K2": Case("kimi", "kimi-k2.6", old_kimi_form, (".95", ".16", ".95", "4"), where="choice"),
    "GLM": Case("glm", "glm-4.6", openai_form, (".6", ".11", ".6", "2.2"), where="finish"),
    "Mistral": Case("mistral", "mistral-large-2512", openai_form, (".5", ".05", ".5", "1.5"), where="finish"),
    "Mistral, older": Case(
        "mistral", "mistral-large-2512", old_mistral_form, (".5", ".05", ".5", "1.5"), where="finish"
    ),
    "Groq": Case("groq", "openai/gpt-oss-120b", openai_form, (".15", ".075", ".15", ".6"), where="x_groq"),
    "xAI": Case("xai", "grok-4.3", openai_form, ("1.25", ".2", "1.25", "2.5"), where="running"),
    "MiniMax": Case("minimax", "MiniMax-M3", openai_form, (".3", ".06", ".3", "1.2"), where="zeros"),
    "Gemini": Case("gemini", "gemini-2.5-flash", openai_form, (".3", ".03", ".3", "2.5")),
}


def stream_of(usage: dict[str, Any], where: str, model: str) -> bytes:
    """An answer's stream with its usage where this vendor puts it."""
    made = chunks({"role": "assistant"}, {"content": "Hi"}, usage=usage)
    first, _, finish, last = made
    if where != "last":
        made.pop()
    if where == "finish":
        finish["usage"] = usage
    elif where == "choice":
        finish["choices"][0]["usage"] = usage
    elif where == "x_groq":
        finish["x_groq"] = {"id": "req_1", "usage": usage}
    elif where == "running":
        first["usage"] = {**usage, "completion_tokens": 1}
        made.append(last)
    elif where == "zeros":
        first["usage"] = dict.fromkeys(("prompt_tokens", "completion_tokens", "total_tokens"), 0)
        made.append(last)
    return sse([{**chunk, "model": model} for chunk in made])


def answer(case: Case, turn: Turn, *, stream: bool) -> Driven:
    usage = case.form(turn)
    if stream:
        data = stream_of(usage, case.where, case.model)
        return streamed(data, vendor=case.vendor, model=case.model)
    choice = {"message": {"role": "assistant", "content": "Hi"}, "finish_reason": "stop"}
    return answered(
        {"model": case.model, "choices": [choice], "usage": usage}, vendor=case.vendor, model=case.model
    )


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("name", CASES)
def test_writes_then_reads_then_the_saving(name: str, stream: bool) -> None:
    """Each record has the vendor's tokens in buckets that add up, and the cost at the vendor's own prices."""
    case = CASES[name]
    plain, read, write, output = (Decimal(price) for price in case.prices)
    spent = without_cache = Decimal(0)
    for number, turn in enumerate(turns(writes=case.writes, tail=100)):
        driven = answer(case, turn, stream=stream)
        usage = driven.record.usage
        assert usage is not None
        assert usage["input_tokens"] == turn.plain
        assert usage["cache_read_input_tokens"] == turn.read
        assert usage["cache_creation_input_tokens"] == turn.written
        assert usage["output_tokens"] == OUTPUT
        assert driven.record.usage_source == "upstream"
        assert (turn.read > 0) == (number > 0)
        expected = (turn.plain * plain + turn.read * read + turn.written * write + OUTPUT * output) / 10**6
        assert Decimal(driven.record.cost_usd or "nan") == expected
        spent += expected
        without_cache += (turn.prompt * plain + OUTPUT * output) / 10**6
    assert spent < without_cache * Decimal("0.8")


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("name", CASES)
def test_the_client_sees_the_same_usage(name: str, stream: bool) -> None:
    """In Anthropic's names, in the answer or in message_delta: its own meter is right."""
    case = CASES[name]
    turn = turns(writes=case.writes, tail=100)[2]
    driven = answer(case, turn, stream=stream)
    if stream:
        [line] = [line for line in driven.body.split(b"\n") if b'"message_delta"' in line and b"data:" in line]
        shown = Driven(200, {}, line.removeprefix(b"data: "), driven.record).json["usage"]
    else:
        shown = driven.json["usage"]
    names = ("input_tokens", "cache_read_input_tokens", "cache_creation_input_tokens", "output_tokens")
    assert [shown[name] for name in names] == [turn.plain, turn.read, turn.written, OUTPUT]


def test_the_saving_is_added_up() -> None:
    """What `nexusflow cost` says of such a conversation: what reads saved, what writes cost extra, no waste."""
    case = CASES["OpenAI with breakpoints"]
    summary, pricer = Summary(), Pricer()
    conversation = turns(writes=True, tail=100)
    for turn in conversation:
        record = answer(case, turn, stream=True).record
        usage = Usage.from_wire(record.usage or {}, wire="anthropic")
        entry = Entry(models=(case.model,), at=NOW, usage=usage, session="s1")
        summary.add(entry, pricer.price(entry))
    total = summary.total()
    read, written = sum(turn.read for turn in conversation), sum(turn.written for turn in conversation)
    assert (total.cache_read_tokens, total.cache_write_5m_tokens) == (read, written)
    assert total.saved_femto_usd == read * (4_000_000_000 - 400_000_000)
    assert total.extra_femto_usd == written * (5_000_000_000 - 4_000_000_000)
    assert total.wasted_femto_usd == 0
    assert total.saved_femto_usd > total.extra_femto_usd


def test_counts_that_cannot_be_are_clamped() -> None:
    """More cached or written than the prompt had: no bucket is negative, they add up to it."""
    for read, written in ((900, 0), (300, 900), (900, 900)):
        usage = {
            "prompt_tokens": 500,
            "completion_tokens": 1,
            "prompt_tokens_details": {"cached_tokens": read, "cache_write_tokens": written},
        }
        found = streamed(sse(chunks({"content": "x"}, usage=usage)), vendor="openai").record.usage or {}
        counts = [found[f"{name}input_tokens"] for name in ("", "cache_read_", "cache_creation_")]
        assert sum(counts) == 500
        assert min(counts) >= 0


def test_the_known_example() -> None:
    """Cached tokens are part of the prompt: 2600 = 2000 read + 400 written + 200 plain."""
    details = {"cached_tokens": 2000, "cache_write_tokens": 400}
    usage = {"prompt_tokens": 2600, "completion_tokens": 10, "prompt_tokens_details": details}
    record = streamed(sse(chunks({"content": "x"}, usage=usage)), vendor="openai", model="gpt-5.6-sol").record
    assert record.usage is not None
    assert record.usage["input_tokens"] == 200
    counts = Usage(input_tokens=200, cache_read_tokens=2000, cache_write_5m_tokens=400, output_tokens=10)
    assert record.cost_usd == f"{cost(counts, model='gpt-5.6-sol', at=NOW).usd:f}"
