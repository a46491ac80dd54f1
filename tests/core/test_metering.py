"""Online costs: in the record and, on a sync answer, in a header; never a failure, never a made-up 0."""

from datetime import UTC, datetime
from decimal import Decimal

import msgspec
import pytest

from nexusflow_core import Call, CallRecord, Config, Gateway, ModelRoute, PriceBook, Target, Upstream
from nexusflow_core.exchange import Exchange
from nexusflow_core.upstream import Credential, Headers

JSON: Headers = [(b"content-type", b"application/json"), (b"x-nexusflow-cost-usd", b"0")]
SSE: Headers = [(b"content-type", b"text/event-stream")]
AT = datetime(2026, 11, 22, tzinfo=UTC)
WORKED = {"input_tokens": 50, "cache_read_input_tokens": 100_000, "output_tokens": 500}


def exchange(
    model: str = "claude-opus-4-7",
    book: PriceBook | None = None,
    *,
    target: str | None = None,
    vendor: str | None = None,
    prices: str | None = None,
    stream: bool = False,
) -> Exchange:
    upstream = Upstream(name="a", dialect="anthropic", base_url="http://a", vendor=vendor, prices=prices)
    body = msgspec.json.encode({"model": model, "stream": stream})
    call = Call(
        endpoint="messages", request_id="r", started_at=AT, body=body, credential=Credential("bearer", b"k")
    )
    config = Config(
        upstreams={"a": upstream}, routes=(ModelRoute("*", (Target(upstream, target),)),), anonymous=True
    )
    return Gateway(config, book).open(call.look(1000), started=0.0)


def answered(x: Exchange, **message: object) -> CallRecord:
    x.start(0.0)
    x.receive_head(200, JSON, 0.0)
    x.receive_data(msgspec.json.encode(message), 0.0)
    x.receive_eof(0.0)
    return x.record(0.0)


def cost_header(x: Exchange) -> list[bytes]:
    assert x.response_head is not None
    return [value for name, value in x.response_head.headers if name == b"x-nexusflow-cost-usd"]


def test_a_sync_answer_carries_its_cost() -> None:
    """Exact, in the header and in the record, with the row that made it; the upstream's own is not believed."""
    x = exchange()
    record = answered(x, model="claude-opus-4-7", usage=WORKED)
    assert cost_header(x) == [b"0.06275"]
    assert (record.cost_usd, record.price_row, record.cost_flags) == (
        "0.06275",
        "anthropic/claude-opus-4-7",
        (),
    )


def test_a_streams_cost_is_in_the_record() -> None:
    """Its header is gone before its usage is known."""
    x = exchange()
    x.start(0.0)
    x.receive_head(200, SSE, 0.0)
    start = msgspec.json.encode(
        {"type": "message_start", "message": {"model": "claude-opus-4-7", "usage": WORKED}}
    )
    x.receive_data(b"data: " + start + b"\n\n", 0.0)
    x.receive_data(b'data: {"type":"message_stop"}\n\n', 0.0)
    x.receive_eof(0.0)
    assert (cost_header(x), x.record(0.0).cost_usd) == ([], "0.06275")


def test_a_stream_cut_short_is_priced_by_what_it_showed_and_flagged() -> None:
    """What the upstream had counted is billed, so it is priced and flagged."""
    x = exchange()
    x.start(0.0)
    x.receive_head(200, SSE, 0.0)
    start = msgspec.json.encode(
        {"type": "message_start", "message": {"model": "claude-opus-4-7", "usage": WORKED}}
    )
    x.receive_data(b"data: " + start + b"\n\n", 0.0)
    x.client_gone(1.0)
    record = x.record(1.0)
    assert (record.cost_usd, record.cost_flags, record.usage_source) == (
        "0.06275",
        ("partial_usage",),
        "partial",
    )


def test_an_unknown_price_is_no_price() -> None:
    """None and a flag, never 0, and no header: a price of 0 would pass every budget."""
    x = exchange("mystery-1")
    record = answered(x, model="mystery-1", usage=WORKED)
    assert (record.cost_usd, record.price_row, record.cost_flags) == (None, None, ("unknown_price",))
    assert cost_header(x) == []


@pytest.mark.parametrize(
    ("asked", "sent", "answers", "row"),
    [
        ("fast", "claude-haiku-4-5", "claude-haiku-4-5-20251001", "anthropic/claude-haiku-4-5"),
        ("fast", "claude-haiku-4-5", "deployment-7", "anthropic/claude-haiku-4-5"),
        ("fast", "claude-haiku-4-5", None, "anthropic/claude-haiku-4-5"),
        ("claude-haiku-4-5", "claude-opus-4-7", "claude-opus-4-7", "anthropic/claude-opus-4-7"),
    ],
)
def test_the_answers_model_is_priced_and_never_the_alias(
    asked: str, sent: str, answers: str | None, row: str
) -> None:
    """The model of the response; where that has no row, the one that was sent."""
    assert answered(exchange(asked, target=sent), model=answers, usage=WORKED).price_row == row


def test_impossible_usage_is_flagged_and_the_answer_goes_out() -> None:
    """A negative count is no credit, and no reason to fail the call."""
    record = answered(exchange(), model="claude-opus-4-7", usage={"input_tokens": -5})
    assert (record.status, record.cost_usd, record.cost_flags) == (200, None, ("impossible_usage",))


def test_the_record_says_what_its_price_stands_on() -> None:
    """Why it stopped, and whose prices hold: a log is priced again by the same."""
    x = exchange("gpt-4o", prices="vllm")
    record = answered(x, model="gpt-4o", stop_reason="end_turn", usage=WORKED)
    assert (record.stop_reason, record.price_vendor, record.cost_usd) == ("end_turn", "vllm", None)


def test_a_stream_that_corrects_its_writes() -> None:
    """The total alone goes down: which lifetime it was is assumed, and said."""
    x = exchange(stream=True)
    x.start(0.0)
    x.receive_head(200, SSE, 0.0)
    split = {"ephemeral_5m_input_tokens": 0, "ephemeral_1h_input_tokens": 1000}
    usage = {"input_tokens": 1, "cache_creation_input_tokens": 1000, "cache_creation": split}
    for event in (
        {"type": "message_start", "message": {"model": "claude-opus-4-7", "usage": usage}},
        {"type": "message_delta", "usage": {"cache_creation_input_tokens": 600, "output_tokens": 0}},
        {"type": "message_stop"},
    ):
        x.receive_data(b"data: " + msgspec.json.encode(event) + b"\n\n", 0.0)
    x.receive_eof(0.0)
    record = x.record(0.0)
    assert (record.cost_usd, record.cost_flags) == ("0.006005", ("cache_write_split_assumed",))


def test_openrouters_bill_on_its_anthropic_endpoint() -> None:
    """It stands in the usage there too, and wins over the price of the model, by which the saving is seen."""
    usage = {**WORKED, "cost": 0.07, "is_byok": False}
    record = answered(exchange(vendor="openrouter"), model="anthropic/claude-opus-4.7", usage=usage)
    assert (record.cost_usd, record.price_row) == ("0.07", None)
    assert record.cost_flags == ("provider_reported", "cache_at_list_price")
    assert (record.cache_saved_usd, record.cache_write_extra_usd) == ("0.45", "0")
    assert answered(exchange(), model="claude-opus-4-7", usage=usage).cost_usd == "0.06275"


def test_what_caching_did_stands_in_the_record() -> None:
    """Against the input price: 0.45 saved by reads, 0.25 of it paid for writes; unknown with the price."""
    usage = {**WORKED, "cache_creation_input_tokens": 200_000}
    record = answered(exchange(), model="claude-opus-4-7", usage=usage)
    assert (record.cache_saved_usd, record.cache_write_extra_usd) == ("0.45", "0.25")
    record = answered(exchange("mystery-1"), model="mystery-1", usage=usage)
    assert (record.cache_saved_usd, record.cache_write_extra_usd) == (None, None)


def test_a_refusal_before_output_costs_nothing() -> None:
    """Its tokens are shown and not billed."""
    usage = {"input_tokens": 50, "output_tokens": 0}
    record = answered(exchange(), model="claude-opus-5", stop_reason="refusal", usage=usage)
    assert (record.cost_usd, record.cost_flags) == ("0", ("refusal_free",))


def test_prices_of_ones_own_go_first() -> None:
    """A book given in code."""
    rows = {
        "vendor": "ours",
        "models": [{"id": "mystery-1", "periods": [{"tiers": [{"input": "1", "output": "2"}]}]}],
    }
    record = answered(exchange("mystery-1", PriceBook.builtin().extended(rows, "code")), usage=WORKED)
    assert record.cost_usd is not None
    assert Decimal(record.cost_usd) == Decimal("0.10105")
