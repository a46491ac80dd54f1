"""The book: layers, days, hours, age, and the row that every price names."""

from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest

from nexusflow_core import ConfigError, Price, PriceBook, UnknownModelError, Usage, cost
from nexusflow_core.prices import Terms, read_prices

BUILTIN = PriceBook.builtin()
NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)


def prices(*models: dict[str, Any], vendor: str = "anthropic", **more: Any) -> dict[str, Any]:
    return {"vendor": vendor, "models": list(models), **more}


def flat(id: str, input: str, **more: Any) -> dict[str, Any]:
    """A row with one price."""
    return {"id": id, "periods": [{"tiers": [{"input": input, "output": input}]}], **more}


def test_a_later_layer_goes_first() -> None:
    """Built-in, then the user's file, then what the code says; the rest of the book stays."""
    file = BUILTIN.extended(prices(flat("claude-opus-4-7", "3"), flat("own-model", "7")), "prices.json")
    code = file.extended(prices(flat("claude-opus-4-7", "2")), "code")
    found = [book.price("claude-opus-4-7", NOW, 1) for book in (BUILTIN, file, code)]
    assert [(price.input, price.layer) for price in found] == [
        (5 * 10**9, "builtin"),
        (3 * 10**9, "prices.json"),
        (2 * 10**9, "code"),
    ]
    assert code.price("own-model", NOW, 1).layer == "prices.json"
    assert code.price("claude-opus-5", NOW, 1).layer == "builtin"
    assert code.price("gpt-5.1", NOW, 1).layer == "builtin"
    with pytest.raises(UnknownModelError):
        BUILTIN.find("own-model")


def test_a_row_is_replaced_whole() -> None:
    """Nothing of the old row shines through: no cache price, no variant, no fee, no tier."""
    book = BUILTIN.extended(prices(flat("claude-haiku-5-5", "3")), "mine")
    price = book.price("claude-haiku-5-5", NOW, 900_000, terms=Terms(batch=True))
    assert (price.input, price.cache_read, price.cache_write_1h, price.web_search) == (
        3 * 10**9,
        3 * 10**9,
        3 * 10**9,
        None,
    )
    assert price.flags == ("unpriced_processing:batch",)


@pytest.mark.parametrize("name", ["gpt-4o-mini", "gpt-4o-mini-2024-07-18", "openai/gpt-4o-mini", "GPT-4o-mini"])
def test_a_replaced_row_under_its_other_names(name: str) -> None:
    """OpenAI answers with the dated name; the user's price for the plain one holds for it too."""
    book = BUILTIN.extended(prices(flat("gpt-4o-mini", "1"), vendor="openai"), "mine")
    assert book.price(name, NOW, 1).layer == "mine"


def test_a_new_vendor() -> None:
    """A file may bring one; its models come first, as its layer does."""
    book = BUILTIN.extended(prices(flat("gpt-5.1", "9"), vendor="azure"), "mine")
    assert book.find("gpt-5.1").vendor == "azure"
    assert book.find("gpt-5.1", "openai").layer == "builtin"
    assert len(book.models()) == len(BUILTIN.models()) + 1
    assert book.models()[0].vendor == "azure"


def test_an_error_in_a_layer() -> None:
    """It is raised when the layer is given, not when a price is asked for."""
    with pytest.raises(ConfigError, match=r"models\[0\] \(x\)"):
        BUILTIN.extended(prices({"id": "x", "periods": []}), "mine")
    with pytest.raises(ConfigError, match="JSON is malformed"):
        BUILTIN.extended(b"{x", "mine")


def test_the_book_does_not_change() -> None:
    """Extending makes another book, and what is remembered of one is not seen by the other."""
    first = BUILTIN.price("claude-opus-4-7", NOW, 1)
    BUILTIN.extended(prices(flat("claude-opus-4-7", "99")), "mine").price("claude-opus-4-7", NOW, 1)
    assert BUILTIN.price("claude-opus-4-7", NOW, 1) == first


DATED = prices(
    {
        "id": "m",
        "periods": [
            {"from": "2026-01-01", "until": "2026-03-13", "tiers": [{"input": "1"}]},
            {
                "from": "2026-03-13",
                "until": "2026-06-01",
                "tiers": [{"input": "2"}, {"above": 10, "input": "3"}],
            },
        ],
    }
)


@pytest.mark.parametrize(
    ("at", "prompt", "row"),
    [
        (datetime(2026, 1, 1, tzinfo=UTC), 1, "anthropic/m@2026-01-01"),
        (datetime(2026, 3, 12, 23, 59, 59, 999_999, tzinfo=UTC), 1, "anthropic/m@2026-01-01"),
        (datetime(2026, 3, 13, tzinfo=UTC), 10, "anthropic/m@2026-03-13"),
        (datetime(2026, 3, 13, tzinfo=UTC), 11, "anthropic/m@2026-03-13>10"),
        # The day is UTC's, whatever the clock on the wall shows.
        (datetime(2026, 3, 13, 8, 59, tzinfo=timezone(timedelta(hours=9))), 1, "anthropic/m@2026-01-01"),
        (datetime(2026, 3, 13, 9, 0, tzinfo=timezone(timedelta(hours=9))), 1, "anthropic/m@2026-03-13"),
        (datetime(2026, 3, 12, 16, 0, tzinfo=timezone(timedelta(hours=-8))), 1, "anthropic/m@2026-03-13"),
        (datetime(2026, 3, 12, 15, 59, tzinfo=timezone(timedelta(hours=-8))), 1, "anthropic/m@2026-01-01"),
        (datetime(2026, 5, 31, 23, 59, tzinfo=UTC), 1, "anthropic/m@2026-03-13"),
    ],
)
def test_periods_are_half_open(at: datetime, prompt: int, row: str) -> None:
    """The first day belongs to a period, the last does not; the row says its day and tier."""
    assert BUILTIN.extended(DATED, "mine").price("m", at, prompt).row == row


@pytest.mark.parametrize("at", [datetime(2025, 12, 31, 23, 59, tzinfo=UTC), datetime(2026, 6, 1, tzinfo=UTC)])
def test_a_day_without_a_price(at: datetime) -> None:
    """Before the first and after the last, the price is unknown; the model is named, and the day."""
    with pytest.raises(UnknownModelError, match=f"no price of m is known for {at:%Y-%m-%d}"):
        BUILTIN.extended(DATED, "mine").price("m", at, 1)


@pytest.mark.parametrize(
    ("at", "peak"),
    [
        ("2026-11-16T00:59:59.999", False),
        ("2026-11-16T01:00", True),
        ("2026-11-16T03:59:59.999", True),
        ("2026-11-16T04:00", False),
        ("2026-11-16T05:59", False),
        ("2026-11-16T06:00", True),
        ("2026-11-16T10:00", False),
        ("2026-11-20T02:00", True),
        ("2026-11-21T02:00", False),
        ("2026-11-22T02:00", False),
        ("2026-09-10T02:00", True),
        ("2026-09-09T02:00", False),
    ],
)
def test_deepseeks_hours(at: str, peak: bool) -> None:
    """Peak is 01:00 to 04:00 and 06:00 to 10:00 UTC on weekdays, since its first day."""
    moment = datetime.fromisoformat(at).replace(tzinfo=UTC)
    price = BUILTIN.price("deepseek-flash", moment, 1)
    assert price.input == (300_000_000 if peak else 150_000_000)
    elsewhere = moment.astimezone(timezone(timedelta(hours=8)))
    assert BUILTIN.price("deepseek-flash", elsewhere, 1) == price


def test_hours_that_changed() -> None:
    """Of two windows of the same hours, the one that began later holds from its day on."""

    def window(start: str, input: str) -> dict[str, Any]:
        tiers = [{"input": input}]
        return {"from": start, "utc": ["01:00", "24:00"], "weekdays": ["mon", "tue"], "tiers": tiers}

    row = flat("m", "1") | {"windows": [window("2026-01-01", "2"), window("2026-11-17", "3")]}
    book = BUILTIN.extended(prices(row), "mine")
    monday, tuesday = (datetime(2026, 11, day, 23, 59, tzinfo=UTC) for day in (16, 17))
    found = [book.price("m", at, 1) for at in (monday, tuesday)]
    assert [price.input // 10**9 for price in found] == [2, 3]
    assert found[1].row == "anthropic/m@2026-11-17T01:00"


@pytest.mark.parametrize(
    ("at", "stale"),
    [
        (datetime(2026, 11, 22, tzinfo=UTC), False),
        (datetime(2027, 2, 20, tzinfo=UTC), False),
        (datetime(2027, 2, 20, 0, 0, 1, tzinfo=UTC), True),
        (datetime(2030, 1, 1, tzinfo=UTC), True),
        (datetime(2020, 1, 1, tzinfo=UTC), False),
    ],
)
def test_the_age_of_the_book(at: datetime, stale: bool) -> None:
    """A cost more than 90 days after the rows were checked says so; an old request does not."""
    assert ("stale_book" in cost(Usage(1), model="claude-opus-5", at=at).flags) is stale


def test_when_a_book_was_checked() -> None:
    """The oldest of its files decides; one that does not say never grows stale."""
    assert BUILTIN.as_of == date(2026, 11, 22)
    assert BUILTIN.extended(prices(flat("m", "1"), as_of="2026-01-05"), "mine").as_of == date(2026, 1, 5)
    undated = BUILTIN.extended(prices(flat("m", "1")), "mine")
    assert undated.as_of == date(2026, 11, 22)
    assert cost(Usage(1), model="m", at=date(2099, 1, 1), book=undated).flags == ()


def test_the_terms_of_a_price() -> None:
    """The row names every variant that is in it, and the factors multiply."""
    terms = Terms(service_tier="batch", inference_geo="us", endpoint="regional")
    price = BUILTIN.price("claude-opus-4-8", NOW, 1, terms=terms)
    assert price.row == "anthropic/claude-opus-4-8+batch+us+regional"
    assert price.input == 5 * 10**9 * 5 * 11 * 11 // 1000


def test_a_factor_that_leaves_a_fraction() -> None:
    """It is an error of the file that names the row, and is never rounded."""
    batch = {"when": {"processing": "batch"}, "multiplier": "0.3"}
    with pytest.raises(ConfigError, match=r"models\[0\] \(m\)\.variants: a price times 0\.3 is not a whole"):
        BUILTIN.extended(prices(flat("m", "0.000000001", variants=[batch])), "mine")
    fast = {"when": {"speed": "fast"}, "multiplier": "0.5"}
    BUILTIN.extended(prices(flat("m", "0.00000001", variants=[batch])), "mine")
    BUILTIN.extended(prices(flat("m", "0.000000002", variants=[fast])), "mine")
    with pytest.raises(ConfigError, match=r"times 0\.3 and 0\.5 "):  # each alone is whole
        BUILTIN.extended(prices(flat("m", "0.00000001", variants=[batch, fast])), "mine")


def test_what_is_remembered_is_bounded() -> None:
    """Names and tiers come from outside; thousands of them leave the book small and right."""
    book = BUILTIN.extended(prices(flat("m", "1")), "mine")
    for number in range(5000):
        usage = Usage(1, service_tier=f"tier-{number}")
        assert cost(usage, model="m", at=NOW, book=book).flags == (f"unpriced_service_tier:tier-{number}",)
    assert len(book.served) <= 4096
    assert cost(Usage(1), model="m", at=NOW, book=book).femto_usd == 10**9


@pytest.mark.parametrize(
    "rates", [(0, 0, 0, 0, 0), (7, 3, 11, 5, None), (5 * 10**9, 5 * 10**8, 625 * 10**7, 10**10, 0)]
)
def test_rates_in_units_are_the_rates(rates: tuple[int, int, int, int, int | None]) -> None:
    """Times their unit they are the price's own, to the femto-dollar: free, without a common factor, usual."""
    plain, read, short, hour, output = rates
    price = Price(
        input=plain, cache_read=read, cache_write_5m=short, cache_write_1h=hour, output=output, row="", layer=""
    )
    made = price.rates
    buckets = [made.input, made.cache_read, made.cache_write_5m, made.cache_write_1h, made.output]
    assert [rate and rate.femto_usd for rate in buckets] == list(rates)
    assert [rate and rate.units * made.unit for rate in buckets] == list(rates)


@pytest.mark.parametrize(
    ("model", "at", "dollars"),
    [
        ("deepseek-v4-pro", "2026-08-16T15:59:59Z", "1.305"),
        ("deepseek-v4-pro", "2026-08-16T16:00:00Z", "2.64"),
        ("deepseek-v4-flash", "2026-08-16T15:59:59Z", "0.42"),
        ("deepseek-v4-flash", "2026-08-16T16:00:00Z", "0.88"),
        ("deepseek-v4-flash", "2026-08-24T02:00:00Z", "1.76"),
        ("deepseek-v4-flash", "2026-08-22T02:00:00Z", "0.88"),
        ("deepseek-v4-flash", "2026-09-10T03:59:59Z", "1.76"),
        ("deepseek-v4-flash", "2026-09-10T04:00:00Z", "0.75"),
        ("deepseek-v4-flash", "2026-09-10T06:00:00Z", "1.5"),
        ("deepseek-chat", "2026-04-23", "0.7"),
        ("deepseek-chat", "2026-04-24", "0.42"),
        ("deepseek-reasoner", "2026-07-01", "0.42"),
        ("deepseek-v3.2", "2026-07-01", "0.7"),
        ("deepseek-v4-flash-vision-exp", "2026-11-01", "0.75"),
        ("gemini-4-hydrogen", "2026-11-28", "9"),
    ],
)
def test_a_change_inside_a_day(model: str, at: str, dollars: str) -> None:
    """A million tokens in and a million out, to the minute of DeepSeek's changes."""
    assert cost(Usage(10**6, output_tokens=10**6), model=model, at=at, many_requests=False).usd == Decimal(
        dollars
    )


@pytest.mark.parametrize("clock", ["25:00", "24:00", "4", "", "04:00:00"])
def test_an_hour_that_is_none(clock: str) -> None:
    """It is refused with its place."""
    row = {"id": "m", "periods": [{"from": "2026-01-01", "from_time": clock, "tiers": [{"input": "1"}]}]}
    with pytest.raises(ConfigError, match=r"periods\[0\].*is not a time such as"):
        read_prices({"vendor": "v", "models": [row]})


def test_hours_that_leave_a_gap() -> None:
    """A period begins at the hour at which the one before it ends."""
    tiers = [{"input": "1"}]
    periods = [
        {"until": "2026-01-01", "until_time": "16:00", "tiers": tiers},
        {"from": "2026-01-01", "tiers": tiers},
    ]
    with pytest.raises(ConfigError, match="must begin when the period before it ends"):
        read_prices({"vendor": "v", "models": [{"id": "m", "periods": periods}]})
    whole = [periods[0], {**periods[1], "from_time": "16:00"}]
    book = BUILTIN.extended({"vendor": "v", "models": [{"id": "m", "periods": whole}]}, "mine")
    found = cost(Usage(1), model="m", at="2026-01-01T16:00:00Z", book=book)
    assert found.row == "v/m@2026-01-01T16:00"
