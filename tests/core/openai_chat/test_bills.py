"""What a translated call cost: by the vendor's own bill, or by its counts, its tier and its kinds of caching.

Every amount is worked out by hand from the vendor's price row, in dollars per million tokens.
"""

import json
from decimal import Decimal
from typing import Any

import msgspec
import pytest

from nexusflow_core import Call, CallRecord, Gateway
from nexusflow_core.config import decode_config
from nexusflow_core.logs import Entry, Pricer, read_line
from nexusflow_core.logs.summary import Summary, Totals
from nexusflow_core.upstream import Credential
from tests.core.translation.driving import NOW, answered, asking, chunks, drive, sse, streamed


def record_of(usage: Any, *, vendor: str, model: str, stream: bool = False, **members: Any) -> CallRecord:
    """The record of a call that a vendor answers with this usage; `members` stand beside it in the answer."""
    told = members.pop("said", {"content": "hi"})
    if stream:
        parts = chunks(told, usage=usage)
        return streamed(sse([{**part, "model": model, **members} for part in parts]), vendor=vendor).record
    choice = {"index": 0, "message": told, "finish_reason": "stop"}
    return answered({"model": model, "choices": [choice], "usage": usage, **members}, vendor=vendor).record


def counts(prompt: int, completion: int, cached: int = 0, **details: Any) -> dict[str, Any]:
    """Chat Completions' usage; `details` are of the prompt."""
    return {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
        "prompt_tokens_details": {"cached_tokens": cached, **details},
    }


def logged(record: CallRecord) -> Totals:
    """What `nexusflow cost` makes of the record's line in the log."""
    entry = read_line(msgspec.json.encode(record))
    assert isinstance(entry, Entry), entry
    summary = Summary()
    summary.add(entry, Pricer().price(entry))
    return summary.total()


BYOK = {"is_byok": True, "cost_details": {"upstream_inference_cost": 0.5}}
PERPLEXITY = {
    "input_tokens_cost": 3e-05,
    "output_tokens_cost": 9e-05,
    "request_cost": 0.005,
    "total_cost": 0.00512,
}
TICKS = {
    "prompt_tokens": 12,
    "completion_tokens": 1,
    "total_tokens": 303,
    "prompt_tokens_details": {"cached_tokens": 11},
    "completion_tokens_details": {"reasoning_tokens": 290},
}


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("vendor", "model", "usage", "cost", "flags"),
    [
        # Its number wins over any table, and needs none.
        ("openrouter", "some/model", {**counts(38, 53), "cost": 3.75e-05}, "0.0000375", ("provider_reported",)),
        ("openrouter", "some/model", {**counts(38, 53), "cost": 2}, "2", ("provider_reported",)),
        ("openrouter", "some/model", {**counts(38, 53), "cost": 0}, "0", ("provider_reported",)),
        (
            "openrouter",
            "some/model",
            {**counts(38, 53), "cost": 0.01, **BYOK},
            "0.01",
            ("provider_reported", "byok_fee_only"),
        ),
        # A sum of floats: to the nearest femto-dollar.
        (
            "openrouter",
            "some/model",
            {**counts(38, 53), "cost": 0.00012524999999999998},
            "0.00012525",
            ("provider_reported", "bill_rounded"),
        ),
        # A fee per request, which no token shows.
        ("perplexity", "sonar", {**counts(27, 93), "cost": PERPLEXITY}, "0.00512", ("provider_reported",)),
        # Ticks of 10^-10: (1 * 1.25 + 11 * 0.2 + 291 * 2.5) / 1e6 = 730.95e-6
        (
            "xai",
            "grok-4.3",
            {**TICKS, "cost_in_usd_ticks": 7309500},
            "0.00073095",
            ("provider_reported", "cache_at_list_price"),
        ),
        (
            "xai",
            "grok-4.3",
            {**TICKS, "cost_in_usd_ticks": 7309501},
            "0.0007309501",
            ("provider_reported", "cache_at_list_price"),
        ),
        # What cannot be a bill is none.
        (
            "openrouter",
            "some/model",
            {**counts(38, 53), "cost": -1},
            None,
            ("impossible_bill", "unknown_price"),
        ),
        ("openrouter", "some/model", {**counts(1, 1), "cost": "1"}, None, ("impossible_bill", "unknown_price")),
        (
            "openrouter",
            "some/model",
            {**counts(1, 1), "cost": True},
            None,
            ("impossible_bill", "unknown_price"),
        ),
        (
            "openrouter",
            "some/model",
            {**counts(1, 1), "cost": 1e300},
            None,
            ("impossible_bill", "unknown_price"),
        ),
        (
            "openrouter",
            "some/model",
            {**counts(1, 1), "cost": {"x": 1}},
            None,
            ("impossible_bill", "unknown_price"),
        ),
        ("perplexity", "sonar", {**counts(1, 1), "cost": 0.5}, None, ("unknown_price",)),
        # Only whose usage is known to hold its bill is asked for it.
        ("together", "some/model", {**counts(38, 53), "cost": 0.5}, None, ("unknown_price",)),
    ],
)
def test_the_vendors_own_bill(
    vendor: str, model: str, usage: Any, cost: str | None, flags: tuple[str, ...], stream: bool
) -> None:
    """It is the cost, exactly as it stands; the log gives the same again."""
    record = record_of(usage, vendor=vendor, model=model, stream=stream)
    assert (record.cost_usd, record.price_row, record.cost_flags) == (cost, None, flags)
    known = logged(record).known_femto_usd
    assert known == (None if cost is None else Decimal(cost) * 10**15)


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("tier", "cost", "row", "shown"),
    [
        (None, "0.006", "openai/gpt-6-sol", None),
        ("default", "0.006", "openai/gpt-6-sol", None),
        ("flex", "0.003", "openai/gpt-6-sol+flex", "flex"),
        ("priority", "0.012", "openai/gpt-6-sol+priority", "priority"),
    ],
)
def test_openais_tier(tier: str | None, cost: str, row: str, shown: str | None, stream: bool) -> None:
    """The one that served, named beside the usage: (500 * 2 + 500 * 10) / 1e6, times 0.5 or 2."""
    record = record_of(counts(500, 500), vendor="openai", model="gpt-6-sol", stream=stream, service_tier=tier)
    assert (record.cost_usd, record.price_row, record.service_tier) == (cost, row, shown)
    assert record.cost_flags == ()
    assert logged(record).femto_usd == Decimal(cost) * 10**15


def test_a_tier_without_a_price() -> None:
    """Standard price, and said so; Mistral names it inside its usage."""
    usage = {**counts(1000, 0), "service_tier": "turbo"}
    record = record_of(usage, vendor="mistral", model="mistral-large-2512")
    assert (record.cost_usd, record.service_tier) == ("0.0005", "turbo")
    assert record.cost_flags == ("unpriced_service_tier:turbo",)


QWEN_WRITE = {"cache_creation_input_tokens": 1000, "cache_creation": {"ephemeral_5m_input_tokens": 1000}}


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("vendor", "model", "usage", "cost", "saved", "extra"),
    [
        # Qwen, by itself: 1000 * 2.5 + 1000 * 0.5; by markers reads are 0.25, writes 3.125
        ("qwen", "qwen3.7-max", counts(2000, 0, 1000), "0.003", "0.002", "0"),
        ("qwen", "qwen3.7-max", counts(2000, 0, 1000, cache_type="ephemeral"), "0.00275", "0.00225", "0"),
        (
            "qwen",
            "qwen3.7-max",
            counts(2000, 0, 0, cache_type="ephemeral", **QWEN_WRITE),
            "0.005625",
            "0",
            "0.000625",
        ),
        # Kimi: 5m writes at the input price of 3, 1h at 6, reads 0.3
        (
            "kimi",
            "kimi-k3",
            counts(
                1000,
                0,
                200,
                cache_write_tokens=500,
                cache_creation={"ephemeral_5m_input_tokens": 300, "ephemeral_1h_input_tokens": 200},
            ),
            "0.00306",
            "0.00054",
            "0.0006",
        ),
        # OpenAI: writes 5, reads 0.4 on 4
        ("openai", "gpt-5.6-sol", counts(3000, 0, 1000, cache_write_tokens=1000), "0.0094", "0.0036", "0.001"),
        # The others write for nothing.
        ("glm", "glm-5", counts(2000, 0, 1000), "0.0012", "0.0008", "0"),
        (
            "deepseek",
            "deepseek-flash",
            {"prompt_cache_hit_tokens": 1000, "prompt_cache_miss_tokens": 1000, "completion_tokens": 0},
            "0.000153",
            "0.000147",
            "0",
        ),
        # A model without a price has no saving either.
        ("glm", "glm-99", counts(2000, 0, 1000), None, None, None),
    ],
)
def test_what_caching_did(
    vendor: str, model: str, usage: Any, cost: str | None, saved: str | None, extra: str | None, stream: bool
) -> None:
    """Reads and writes at the vendor's prices; the record says what they saved, and cost on top."""
    record = record_of(usage, vendor=vendor, model=model, stream=stream)
    assert (record.cost_usd, record.cache_saved_usd, record.cache_write_extra_usd) == (cost, saved, extra)
    if cost is not None:
        assert set(record.cost_flags) <= {"uncertain_price"}  # of the row
        totals = logged(record)
        told = (totals.femto_usd, totals.saved_femto_usd, totals.extra_femto_usd)
        assert told == tuple(Decimal(usd) * 10**15 for usd in (cost, saved or "", extra or ""))


def test_writes_without_their_lifetime() -> None:
    """Where the lifetime decides the price, the 5 minutes are assumed, and said so; a part of them as well."""
    whole = record_of(counts(1000, 0, 0, cache_write_tokens=1000), vendor="kimi", model="kimi-k3")
    assert (whole.cost_usd, whole.cost_flags) == ("0.003", ("cache_write_assumed_5m",))
    split = {"cache_write_tokens": 1000, "cache_creation": {"ephemeral_1h_input_tokens": 400}}
    part = record_of(counts(1000, 0, 0, **split), vendor="kimi", model="kimi-k3")
    assert (part.cost_usd, part.cost_flags) == ("0.0042", ("cache_write_assumed_5m",))
    assert logged(part).flags == {"cache_write_assumed_5m": 1}


@pytest.mark.parametrize("stream", [False, True])
def test_the_client_sees_the_lifetimes(stream: bool) -> None:
    """In Anthropic's names, and nothing of the bill beside them."""
    split = {"ephemeral_5m_input_tokens": 300, "ephemeral_1h_input_tokens": 200}
    usage = {**counts(1000, 9, 200, cache_write_tokens=500, cache_creation=split), "cost": 5}
    record = record_of(usage, vendor="kimi", model="kimi-k3", stream=stream)
    assert record.usage == {
        "input_tokens": 300,
        "cache_creation_input_tokens": 500,
        "cache_read_input_tokens": 200,
        "output_tokens": 9,
        "cache_creation": split,
    }


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("said", "details", "cost"),
    [
        ({"content": "hi"}, {}, "0.0012"),
        ({"content": "hi", "reasoning_content": "hm"}, {}, "0.004"),
        ({"content": "hi"}, {"completion_tokens_details": {"reasoning_tokens": 5}}, "0.004"),
    ],
)
def test_qwens_thinking(said: Any, details: Any, cost: str, stream: bool) -> None:
    """All output of a call that thought is dearer, 4 instead of 1.2: known by the text or by the count."""
    usage = {**counts(0, 1000), **details}
    record = record_of(usage, vendor="qwen", model="qwen-plus", said=said, stream=stream)
    assert record.cost_usd == cost
    assert logged(record).femto_usd == Decimal(cost) * 10**15


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("usage", "output", "cost"),
    [
        ({**counts(10, 5), "total_tokens": 1015}, 1005, "0.0100625"),
        ({**counts(10, 1005), "total_tokens": 1015}, 1005, "0.0100625"),
        ({**counts(10, 5, 4), "total_tokens": 1015}, 1005, "0.010058"),
        ({**counts(10, 5), "total_tokens": None}, 5, "0.0000625"),
        ({**counts(10, 5), "total_tokens": 3}, 5, "0.0000625"),
        ({"completion_tokens": 5, "total_tokens": 15}, 5, "0.0000625"),
    ],
)
def test_geminis_thoughts(usage: Any, output: int, cost: str, stream: bool) -> None:
    """The total has what the completion leaves out: 10 * 1.25, of which read 0.125, and 1005 * 10. Another
    vendor's total may hold other things."""
    record = record_of(usage, vendor="gemini", model="gemini-2.5-pro", stream=stream)
    assert record.usage is not None
    assert (record.usage["output_tokens"], record.cost_usd) == (output, cost)
    other = record_of(usage, vendor="mistral", model="mistral-large-2512", stream=stream)
    assert other.usage is not None
    assert other.usage["output_tokens"] == usage["completion_tokens"]


@pytest.mark.parametrize(
    "usage",
    [
        counts(10, 5, 161),
        counts(10, 5, 8, cache_write_tokens=3),
        {**counts(10, 5), "prompt_tokens": -3},
        {**counts(10, 5), "completion_tokens": 1.5},
        counts(10, 5, 0, cache_write_tokens=5, cache_creation={"ephemeral_5m_input_tokens": 9}),
    ],
)
def test_counts_that_cannot_be(usage: Any) -> None:
    """The answer goes out all the same: what cannot be is clamped, priced, and the record flagged."""
    record = record_of(usage, vendor="openai", model="gpt-5.6-sol")
    assert record.status == 200
    assert "clamped_usage" in record.cost_flags
    assert record.cost_usd is not None
    assert Decimal(record.cost_usd) >= 0


def test_a_bill_that_differs_from_the_list() -> None:
    """It stands, and the record says so where the vendor has rows of its own."""
    config = decode_config(  # from which the vendor of the row comes
        b'[upstreams.x]\ndialect="openai-chat"\nvendor="xai"\nbase_url="http://x/v1"\nauth="none"\n'
        b'[[routes]]\nmodel="*"\ntargets=["x"]\n[auth]\nanonymous=true\n'
    )
    for ticks, differs in ((7309500, False), (7309501, True)):
        call = Call(
            endpoint="messages",
            request_id="r",
            started_at=NOW,
            body=asking(stream=False),
            credential=Credential("bearer", b"k"),
        ).look(10**8)
        answer = {
            "model": "grok-4.3",
            "choices": [{"index": 0, "message": {"content": "hi"}, "finish_reason": "stop"}],
            "usage": {**TICKS, "cost_in_usd_ticks": ticks},
        }
        exchange = Gateway(config).open(call, started=0.0)
        record = drive(exchange, [json.dumps(answer).encode()], status=200, headers=[]).record
        assert ("list_price_differs" in record.cost_flags) is differs


CACHING = {
    "openai": ("gpt-5.6-sol", "cache_write_tokens", "0.4", "5", "4"),
    "qwen": ("qwen3.8-max", "cache_creation_input_tokens", "0.25", "2.5", "2"),
    "kimi": ("kimi-k3", "cache_write_tokens", "0.3", "3", "3"),
    "openrouter": ("anthropic/claude-sonnet-4.6", "cache_write_tokens", "0.3", "3.75", "3"),
}
"""Vendors that bill writes: a model, the member, and its read, write and input price."""


@pytest.mark.parametrize("vendor", CACHING)
def test_a_conversation_of_five_turns(vendor: str) -> None:
    """Each turn reads what the one before wrote: the records show writes, then reads, then the saving."""
    model, member, read, write, price = CACHING[vendor]
    turns = [(0, 2000), (2000, 300), (2300, 300), (2600, 300), (2900, 300)]
    net = Decimal(0)
    for number, (cached, written) in enumerate(turns):
        usage = counts(cached + written + 10, 20, cached, **{member: written})
        record = record_of(usage, vendor=vendor, model=model, stream=True)
        assert record.usage is not None
        shown = record.usage["cache_read_input_tokens"], record.usage["cache_creation_input_tokens"]
        assert shown == (cached, written)
        assert record.cache_saved_usd is not None
        assert record.cache_write_extra_usd is not None
        assert Decimal(record.cache_saved_usd) == cached * (Decimal(price) - Decimal(read)) / 10**6
        assert Decimal(record.cache_write_extra_usd) == written * (Decimal(write) - Decimal(price)) / 10**6
        net += Decimal(record.cache_saved_usd) - Decimal(record.cache_write_extra_usd)
        assert (net > 0) == (number > 0)
