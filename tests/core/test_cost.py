"""cost(): what it says beside the amount, and how the rules of billing meet."""

from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest
from msgspec.structs import replace

from nexusflow_core import (
    Cost,
    CostLine,
    InvalidUsageError,
    Iteration,
    PriceBook,
    UnitPrice,
    UnknownModelError,
    Usage,
    cost,
)

DAY = date(2026, 11, 20)
PEAK = datetime(2026, 10, 1, 2, tzinfo=UTC)  # a Thursday, and National Day in China


def price(usage: Usage, model: str = "claude-opus-5", **options: Any) -> Cost:
    return cost(usage, model=model, at=options.pop("at", DAY), **options)


def steps(*iterations: Iteration, **usage: Any) -> Usage:
    return Usage(iterations=iterations, **usage)


def test_what_a_cost_says() -> None:
    """Total, lines in order, rates, and the row and layer of each."""
    found = price(Usage(1000, 20_000, 3, 4, 500, 2))
    assert [(line.bucket, line.tokens, line.rate, line.femto_usd) for line in found.lines] == [
        ("input", 1000, 5_000_000_000, 5_000_000_000_000),
        ("cache_read", 20_000, 500_000_000, 10_000_000_000_000),
        ("cache_write_5m", 3, 6_250_000_000, 18_750_000_000),
        ("cache_write_1h", 4, 10_000_000_000, 40_000_000_000),
        ("output", 500, 25_000_000_000, 12_500_000_000_000),
        ("web_search", 2, 10_000_000_000_000, 20_000_000_000_000),
    ]
    assert found.femto_usd == sum(line.femto_usd for line in found.lines)
    assert found.usd == sum(line.usd for line in found.lines) == Decimal("0.04755875")
    assert {line.row for line in found.lines} == {"anthropic/claude-opus-5"}
    assert {line.layer for line in found.lines} == {"builtin"}
    assert (found.row, found.flags) == ("anthropic/claude-opus-5", ())


def test_a_bucket_without_tokens_has_no_line() -> None:
    """And nothing at all costs nothing."""
    assert [line.bucket for line in price(Usage(output_tokens=1)).lines] == ["output"]
    assert price(Usage()) == Cost(0)


@pytest.mark.parametrize(
    ("usage", "text"),
    [
        (Usage(1), "0.000005"),
        (Usage(0, 1), "0.0000005"),
        (Usage(output_tokens=4), "0.0001"),
        (Usage(200_000), "1"),
        (Usage(20_000_000), "100"),
        (Usage(), "0"),
        (Usage(2**63 - 1, output_tokens=2**63 - 1), "276701161105643.27421"),
        (Usage(10**40), "5" + "0" * 34),
    ],
)
def test_dollars_as_text(usage: Usage, text: str) -> None:
    """Exact, with no exponent, no zero at the end and no float between."""
    found = price(usage)
    assert f"{found.usd:f}" == text
    assert found.usd.scaleb(15).to_integral_value() == found.femto_usd or len(text) > 20
    assert type(found.femto_usd) is int


@pytest.mark.parametrize("model", ["claude-opus-9", "", "claude-opus-4-70"])
def test_an_unknown_model(model: str) -> None:
    """It is an error, or None where that is asked for, and never 0."""
    with pytest.raises(UnknownModelError, match="no price is known"):
        price(Usage(1), model)
    assert price(Usage(1), model, unknown="none") is None
    assert price(Usage(), model, unknown="none") is None


def test_a_model_before_its_price() -> None:
    """A day on which the row has no price is as unknown as the model."""
    row = {"id": "m", "periods": [{"from": "2026-05-01", "tiers": [{"input": "1"}]}]}
    book = PriceBook.builtin().extended({"vendor": "acme", "models": [row]}, "mine")
    assert price(Usage(1), "m", book=book, at=date(2026, 4, 30), unknown="none") is None
    with pytest.raises(UnknownModelError, match="2026-04-30"):
        price(Usage(1), "m", book=book, at=date(2026, 4, 30))
    assert price(Usage(1), "m", book=book, at=date(2026, 5, 1)).femto_usd == 10**9


def test_the_moment() -> None:
    """A day is UTC's; a moment needs its zone, and is the same in every zone."""
    usage = Usage(0, 1000)
    with pytest.raises(ValueError, match="time zone"):
        price(usage, at=datetime(2026, 10, 7))
    with pytest.raises(ValueError, match="time zone"):
        price(Usage(reported_femto_usd=1), at=datetime(2026, 10, 7))
    model = "claude-sonnet-5-5"
    assert (
        price(usage, model, at=date(2026, 10, 6)).femto_usd
        == 2 * price(usage, model, at=date(2026, 10, 7)).femto_usd
    )
    tokyo = datetime(2026, 10, 7, 8, 59, tzinfo=timezone(timedelta(hours=9)))
    assert price(usage, model, at=tokyo) == price(usage, model, at=datetime(2026, 10, 6, tzinfo=UTC))
    assert price(usage, model, at=DAY) == price(usage, model, at=datetime(2026, 11, 20, tzinfo=UTC))


REDEEMED = Usage.from_wire(
    {"input_tokens": 1, "fallback_credit": {"status": {"type": "redeemed"}}}, "anthropic"
)
ASSUMED = Usage.from_wire({"cache_creation_input_tokens": 5}, "anthropic")
REPORT = Usage.from_wire({"uncached_input_tokens": 1}, "anthropic-usage-report")
LOW_REPORT = Usage.from_wire({"uncached_input_tokens": 1, "context_window": "0-200k"}, "anthropic-usage-report")
OLD, LATE = {"at": date(2026, 3, 1)}, {"at": date(2028, 1, 1)}
REFUSED = {"stop_reason": "refusal"}


@pytest.mark.parametrize(
    ("usage", "model", "options", "flags"),
    [
        (Usage(1), "claude-opus-5", {}, ()),
        (Usage(1, service_tier="standard", speed="standard", inference_geo="global"), "claude-opus-5", {}, ()),
        (Usage(1, inference_geo="not_available"), "claude-opus-5", {}, ()),
        (Usage(1, service_tier="batch", inference_geo="us"), "claude-opus-5", {}, ()),
        (Usage(1, service_tier="batch", speed="fast"), "claude-opus-5", {}, ("terms_combined",)),
        (Usage(1, service_tier="flex"), "gpt-5", {"batch": True}, ("terms_combined",)),
        (Usage(1), "deepseek-flash", {"at": PEAK}, ("holidays_unknown",)),
        (Usage(1), "deepseek-flash", {"at": PEAK.replace(hour=12)}, ()),
        (Usage(120_000, web_searches=1), "claude-haiku-5-5", {}, ("tier_unknown",)),
        (Usage(90_000, web_searches=1), "claude-haiku-5-5", {}, ()),
        (steps(Iteration("message", None, 60_000), Iteration("message", None, 60_000), input_tokens=120_000),
         "claude-haiku-5-5", {}, ("tier_unknown",)),
        (steps(Iteration("message", None, 9), input_tokens=10), "claude-opus-5", {}, ("iterations_differ",)),
        (steps(Iteration("compaction", None, 9), input_tokens=10), "claude-opus-5", {}, ("iterations_differ",)),
        (steps(Iteration("message", None, 0, 0, 9, assumed_5m_tokens=9), cache_write_5m_tokens=9),
         "claude-opus-5", {}, ("cache_write_assumed_5m",)),
        (Usage(1), "claude-opus-5", {"partial": True}, ("partial_usage",)),
        (ASSUMED, "claude-opus-5", {}, ("cache_write_assumed_5m",)),
        (ASSUMED, "claude-opus-5", {"partial": True}, ("cache_write_assumed_5m", "partial_usage")),
        (REDEEMED, "claude-opus-5", {}, ("fallback_credit",)),
        (REPORT, "claude-opus-5", {}, ("many_requests", "tier_unknown")),
        (LOW_REPORT, "claude-opus-5", {}, ("many_requests",)),
        (LOW_REPORT, "claude-sonnet-4-5", {}, ("many_requests",)),
        # Haiku 5.5's threshold lies inside the report's lower window.
        (LOW_REPORT, "claude-haiku-5-5", {}, ("many_requests", "tier_unknown")),
        (Usage(1), "claude-opus-5", LATE, ("stale_book",)),
        (Usage(1, service_tier="priority"), "claude-opus-5", {}, ("unpriced_service_tier:priority",)),
        (Usage(1, speed="warp"), "claude-opus-5", {}, ("unpriced_speed:warp",)),
        (Usage(1, inference_geo="us"), "claude-haiku-4-5", {}, ("unpriced_inference_geo:us",)),
        (Usage(1, service_tier="x" * 99), "claude-opus-5", {}, ("unpriced_service_tier:" + "x" * 40,)),
        (Usage(1), "gpt-5.3-codex", {"batch": True}, ("unpriced_processing:batch",)),
        (Usage(1), "claude-opus-4-1", {"endpoint": "regional"}, ()),
        (Usage(1, speed="fast"), "claude-opus-4-6", OLD, ()),
        (Usage(1, speed="fast"), "claude-opus-4-6", {}, ("outside_listing",)),
        (Usage(1, speed="fast"), "claude-opus-4-6", LATE, ("stale_book", "outside_listing")),
        (Usage(1), "qwen4-max", {}, ("uncertain_price",)),
        (Usage(1), "claude-fable-5-2", {}, ()),
        (Usage(1, web_searches=1), "gpt-5.1", {}, ()),
        (Usage(1, web_searches=1), "o1", {}, ("unpriced_web_search",)),
        (Usage(1), "claude-opus-5", REFUSED, ("refusal_free",)),
        (Usage(1), "claude-opus-5", REFUSED | {"partial": True}, ("partial_usage", "refusal_free")),
    ],
)  # fmt: skip
def test_flags(usage: Usage, model: str, options: dict[str, Any], flags: tuple[str, ...]) -> None:
    """What makes a cost less than certain is named, and nothing is named that does not."""
    assert price(usage, model, **options).flags == flags


@pytest.mark.parametrize(
    ("model", "flags"),
    [
        ("claude-opus-5", ("cache_write_assumed_5m",)),
        ("gpt-5.6-sol", ()),
        ("kimi-k3", ("cache_write_assumed_5m",)),
    ],
)
def test_an_assumed_lifetime(model: str, flags: tuple[str, ...]) -> None:
    """Named only where another one would have cost something else."""
    usage = Usage(1, cache_write_5m_tokens=5, assumed_5m_tokens=5)
    assert price(usage, model).flags == flags


def test_what_the_usage_says_of_its_terms() -> None:
    """Thinking and markers, as from the caller; qwen-plus: 1.2 or 4 out, 0.08 or 0.04 read."""
    assert price(Usage(output_tokens=10), "qwen-plus").usd == Decimal("0.000012")
    assert price(Usage(output_tokens=10, thinking=True), "qwen-plus").usd == Decimal("0.00004")
    marked = price(Usage(0, 100, explicit_cache=True), "qwen-plus")
    assert marked.usd == price(Usage(0, 100), "qwen-plus", explicit_cache=True).usd == Decimal("0.000004")


def test_what_caching_did() -> None:
    """Against the price of input, line by line; nothing is known of a vendor's own bill."""
    found = price(Usage(7, 1000, 100, 10, 5))
    assert found.cache_saved_femto_usd == 1000 * 4_500_000_000
    assert found.cache_write_extra_femto_usd == 100 * 1_250_000_000 + 10 * 5_000_000_000
    billed = price(Usage(7, 1000, 100, reported_femto_usd=5))
    assert (billed.cache_saved_femto_usd, billed.cache_write_extra_femto_usd) == (0, 0)


@pytest.mark.parametrize("tier", [None, "standard"])
@pytest.mark.parametrize("geo", [None, "global", "not_available"])
def test_plain_words_are_the_plain_price(tier: str | None, geo: str | None) -> None:
    """Whether an answer names its terms or not, its price is the same one."""
    for model in ("claude-opus-5", "us.anthropic.claude-opus-5-v1:0", "claude-haiku-5-5", "gpt-6-sol"):
        usage = Usage(1000, service_tier=tier, inference_geo=geo)
        assert price(usage, model) == price(Usage(1000), model)


@pytest.mark.parametrize(
    ("usage", "model", "options", "expected"),
    [
        (Usage(1000, service_tier="batch"), "claude-opus-5", {}, 0.5),
        (Usage(1000), "claude-opus-5", {"batch": True}, 0.5),
        (Usage(1000, service_tier="batch"), "claude-opus-5", {"batch": True}, 0.5),
        (Usage(1000, speed="fast"), "claude-opus-5", {}, 2),
        (Usage(1000, inference_geo="us"), "claude-opus-5", {}, 1.1),
        (Usage(1000, inference_geo="us", speed="fast"), "claude-opus-5", {}, 2.2),
        (Usage(1000, inference_geo="us", speed="fast", service_tier="batch"), "claude-opus-5", {}, 1.1),
        (Usage(1000), "claude-opus-5", {"endpoint": "regional"}, 1.1),
        (Usage(1000), "us.anthropic.claude-opus-5-v1:0", {}, 1.1),
        (Usage(1000), "anthropic.claude-opus-5-v1:0", {"endpoint": "global"}, 1),
        (Usage(1000), "global.anthropic.claude-opus-5-v1:0", {}, 1),
        (Usage(1000), "global.anthropic.claude-opus-5-v1:0", {"endpoint": "regional"}, 1.1),
        (Usage(1000), "claude-opus-5@20991231", {}, 1),
        (Usage(1000), "claude-opus-5@20991231", {"endpoint": "regional"}, 1.1),
        (Usage(1000, service_tier="batch"), "anthropic.claude-opus-5-v1:0", {}, 0.55),
        (Usage(1000), "anthropic.claude-opus-4-1-20250805-v1:0", {}, 3),
    ],
)
def test_factors_multiply(usage: Usage, model: str, options: dict[str, Any], expected: float) -> None:
    """In parts of the price of 1,000 tokens of Opus 5. Opus 4.1 costs three times that, on any endpoint."""
    assert price(usage, model, **options).femto_usd == round(5_000_000_000_000 * expected)


def test_searches_stand_outside_the_factors() -> None:
    """Fee by fee, whatever happens to the tokens."""
    usage = Usage(1000, web_searches=3, service_tier="batch", inference_geo="us")
    by_bucket = {line.bucket: line.usd for line in price(usage).lines}
    assert by_bucket == {"input": Decimal("0.00275"), "web_search": Decimal("0.03")}


def test_the_vendors_own_bill() -> None:
    """It wins over any table, needs no model and no day with a price, and names no row."""
    usage = Usage(5, 6, output_tokens=7, reported_femto_usd=123, flags=("provider_reported",))
    found = price(usage, "no-such-model", stop_reason="refusal", partial=True)
    assert found == Cost(123, [CostLine(1, UnitPrice("provider_reported", 123))], ("provider_reported",))
    assert (found.row, found.lines[0].row, found.lines[0].usd) == ("", "", Decimal("1.23E-13"))


@pytest.mark.parametrize(
    ("model", "usage", "free"),
    [
        ("claude-opus-5", Usage(20), True),
        ("claude-opus-5", Usage(20, 30, 40, 50, web_searches=1), True),
        ("claude-opus-5", Usage(20, output_tokens=1), False),
        ("us.anthropic.claude-opus-5-v1:0", Usage(20), True),
        ("gpt-5.1", Usage(20), False),
        ("glm-5", Usage(20), False),
    ],
)
def test_refusals(model: str, usage: Usage, free: bool) -> None:
    """Free only for Claude, and only before any output; a vendor's own refusal is billed."""
    found = price(usage, model, stop_reason="refusal")
    assert (found.femto_usd == 0) is free
    assert ("refusal_free" in found.flags) is free
    if not free:
        assert found == price(usage, model)


def test_a_refusal_by_an_unknown_model() -> None:
    """What is unknown is not free."""
    assert price(Usage(1), "claude-opus-9", stop_reason="refusal", unknown="none") is None


def test_iterations_replace_the_top() -> None:
    """They are the bill, the counts above them are not; searches still are."""
    found = price(
        steps(
            Iteration("compaction", None, 1000), Iteration("message", None, 10), input_tokens=10, web_searches=1
        )
    )
    assert [(line.bucket, line.tokens) for line in found.lines] == [
        ("input", 1000),
        ("input", 10),
        ("web_search", 1),
    ]
    assert found.femto_usd == sum(line.femto_usd for line in found.lines)
    assert found.flags == ()


def test_iterations_of_other_models() -> None:
    """Each at its own row; both rows are named, each once."""
    found = price(
        steps(
            Iteration("message", None, 100, output_tokens=1),
            Iteration("advisor_message", "claude-opus-5-5", 100, 7, 5, 3, 1),
            Iteration("message", "claude-haiku-5-5", 100, output_tokens=1),
        ),
        "claude-haiku-5-5",
    )
    assert found.row == "anthropic/claude-haiku-5-5 anthropic/claude-opus-5-5"
    advisor = [line for line in found.lines if line.row == "anthropic/claude-opus-5-5"]
    assert [line.usd for line in advisor] == [
        Decimal(usd) for usd in ("0.0004", "0.0000014", "0.000025", "0.000024", "0.00002")
    ]


@pytest.mark.parametrize(
    "own", ["claude-opus-4-7", "claude-opus-4-7-20260416", "CLAUDE-OPUS-4-7", "claude-opus-4.7", None]
)
def test_an_iteration_under_another_name_of_its_own(own: str | None) -> None:
    """It is the message's own model: its factors hold, and without output it is no declined attempt."""
    usage = steps(Iteration("message", own, 1000), service_tier="batch", input_tokens=1000)
    found = price(usage, "claude-opus-4-7")
    assert (found.femto_usd, found.flags) == (2_500_000_000_000, ())


def test_the_factors_of_another_models_part() -> None:
    """Nothing says that a batch or the like holds for an advisor: plain terms, and a flag."""
    advised = [
        Iteration("message", None, 1000),
        Iteration("advisor_message", "claude-fable-5", 100, output_tokens=1),
    ]
    plain = price(steps(*advised, input_tokens=1000))
    fast = price(steps(*advised, input_tokens=1000, speed="fast"))
    assert fast.femto_usd - plain.femto_usd == 5_000_000_000_000
    assert (plain.flags, fast.flags) == ((), ("other_model_at_plain_terms",))


@pytest.mark.parametrize("declined", ["claude-fable-5", "claude-fable-99"])
def test_a_declined_attempt(declined: str) -> None:
    """Another model that said nothing is free, and need not be in the book."""
    usage = steps(
        Iteration("message", declined, 535),
        Iteration("fallback_message", "claude-opus-5", 412, output_tokens=264),
        input_tokens=412,
        output_tokens=264,
    )
    found = price(usage)
    assert (found.usd, found.flags) == (Decimal("0.00866"), ("declined_attempt_free",))


def test_a_fallback_that_was_refused_everywhere() -> None:
    """All of the attempts declined: all of them free. After output has begun none is."""
    tried = [Iteration("message", "claude-fable-5", 535), Iteration("fallback_message", "claude-opus-5", 412)]
    assert price(steps(*tried), stop_reason="refusal").femto_usd == 0
    late = steps(
        Iteration("message", None, 10, output_tokens=2), Iteration("message", None, 20), output_tokens=2
    )
    assert price(late, stop_reason="refusal") == price(late)


def test_an_iteration_of_an_unknown_model() -> None:
    """One part without a price leaves the whole without one."""
    usage = steps(
        Iteration("message", None, 10), Iteration("advisor_message", "claude-opus-9", 5, output_tokens=1)
    )
    with pytest.raises(UnknownModelError, match="claude-opus-9"):
        price(usage)
    assert price(usage, unknown="none") is None


def test_an_iteration_of_an_uncertain_row() -> None:
    """The flag of any part is a flag of the whole, once."""
    part = Iteration("advisor_message", "claude-mythos-preview", 5, output_tokens=1)
    assert price(steps(part, part)).flags == ("uncertain_price",)


def test_iterations_in_the_vendors_own_layer() -> None:
    """With a vendor named, its advisor is looked for with that vendor too."""
    row = {"id": "claude-opus-5", "periods": [{"tiers": [{"input": "1", "output": "1"}]}]}
    book = PriceBook.builtin().extended({"vendor": "reseller", "models": [row]}, "mine")
    usage = steps(
        Iteration("message", None, 1), Iteration("advisor_message", "claude-opus-5", 1, output_tokens=1)
    )
    found = price(usage, "claude-haiku-4-5", vendor="anthropic", book=book)
    assert found.row == "anthropic/claude-haiku-4-5 anthropic/claude-opus-5"


def test_output_of_a_model_that_has_none() -> None:
    """An embedding has no output; a usage that says so cannot be."""
    with pytest.raises(InvalidUsageError, match="openai/text-embedding-3-small has no output"):
        price(Usage(5, output_tokens=1), "text-embedding-3-small")
    assert price(Usage(5), "text-embedding-3-small").femto_usd == 100_000_000


def test_each_line_names_its_layer_and_variants() -> None:
    """Which row made it: vendor, id, first day, tier, variants; and in which layer it stands."""
    row = {
        "id": "m",
        "periods": [{"from": "2026-01-01", "tiers": [{"input": "1"}, {"above": 10, "input": "2"}]}],
        "variants": [{"when": {"processing": "batch"}, "multiplier": "0.5"}],
    }
    book = PriceBook.builtin().extended({"vendor": "acme", "models": [row]}, "prices.json")
    (line,) = price(Usage(11), "m", book=book, batch=True).lines
    assert (line.row, line.layer) == ("acme/m@2026-01-01>10+batch", "prices.json")


def test_a_cost_is_a_value() -> None:
    """Equal, hashable, and not to be changed."""
    assert price(Usage(5)) == price(Usage(5))
    assert len({price(Usage(5)), price(Usage(5)), price(Usage(6))}) == 2
    with pytest.raises(AttributeError):
        price(Usage(5)).femto_usd = 0  # type: ignore[misc]


@pytest.mark.parametrize(
    "counts", [Usage(9, 8, 7, 6, 5), Usage(300_000, output_tokens=1), Usage(2, thinking=True)]
)
def test_naming_the_vendor_changes_nothing(counts: Usage) -> None:
    """Of every model there is: the short way to a plain price ends where the rules end."""
    at = datetime(2026, 11, 20, 2, tzinfo=UTC)
    for model in PriceBook.builtin().models():
        usage = counts if model.row.periods[-1].tiers[0].output else replace(counts, output_tokens=0)
        found = price(usage, model.row.id, at=at)
        assert found == price(usage, model.row.id, at=at, vendor=model.vendor)
        assert found.lines
