"""An upstream whose money is used up: asked once, the next target at once, closed until the date it names."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from nexusflow_core import Call, Config, Exchange, Gateway, ModelRoute, Target, Upstream
from nexusflow_core.exchange import Read, Send
from nexusflow_core.routing import Retry
from nexusflow_core.spending import is_exhausted, regained_at
from nexusflow_core.upstream import Credential, Secret

NOW = datetime(2026, 11, 28, 12, 0, tzinfo=UTC)
CAP = "You have reached your specified API usage limits. You will regain access on 2026-12-01 at 00:00 UTC."
CREDIT = "Your credit balance is too low to access the Anthropic API. Please go to Plans & Billing to upgrade."
ANSWER = json.dumps(
    {"type": "message", "model": "m", "usage": {"input_tokens": 1, "output_tokens": 1}, "content": []}
).encode()
CHAT = json.dumps({"choices": [{"message": {"content": "Hi"}, "finish_reason": "stop"}]}).encode()
DAYS = (datetime(2026, 12, 1, tzinfo=UTC) - NOW).total_seconds()


def anthropic(kind: str, message: str, code: str | None = None) -> dict[str, Any]:
    details = {"details": {"error_code": code}} if code else {}
    return {"type": "error", "error": {"type": kind, "message": message, **details}}


def chat(message: str, **members: Any) -> dict[str, Any]:
    return {"error": {"message": message, **members}}


SPENT: list[tuple[str, int, dict[str, Any]]] = [
    ("anthropic", 400, anthropic("invalid_request_error", CAP)),
    ("anthropic", 400, anthropic("invalid_request_error", CREDIT)),
    ("anthropic", 429, anthropic("rate_limit_error", "no more", "enforced_spend_limit_reached")),
    ("anthropic", 429, anthropic("rate_limit_error", "no more", "contract_spend_limit_reached")),
    ("anthropic", 402, anthropic("billing_error", "pay", "linked_organization_spend_limit_reached")),
    ("anthropic", 402, anthropic("billing_error", "pay")),
    ("anthropic", 400, anthropic("invalid_request_error", CAP.replace("API", "workspace API"))),
    (
        "anthropic",
        400,
        anthropic("invalid_request_error", "You're out of extra usage. Add more, and don't wait."),
    ),
    (
        "openai-chat",
        429,
        chat("Your project has exceeded its monthly spending cap.", status="RESOURCE_EXHAUSTED"),
    ),
    ("openai-chat", 429, chat("Your prepayment credits are depleted.", status="RESOURCE_EXHAUSTED")),
    ("openai-chat", 429, chat("You exceeded your current quota", type="insufficient_quota")),
    ("openai-chat", 429, chat("You exceeded your current quota", code="insufficient_quota")),
    ("openai-chat", 402, chat("Insufficient Balance", type="unknown_error")),
    ("openai-chat", 402, chat("This request requires more credits, or fewer max_tokens.", code=402)),
    ("openai-chat", 403, chat("Key limit exceeded (total limit).", code=403)),
    ("openai-chat", 429, chat("exceeded", type="exceeded_current_quota_error")),
    ("openai-chat", 400, chat("Access denied", code="Arrearage")),
    ("openai-chat", 400, chat(CREDIT, type="invalid_request_error")),
    ("openai-chat", 200, chat("Insufficient Balance", code=402)),
    ("openai-chat", 200, chat("Insufficient Balance", code="invalid_request_error")),
    ("openai-chat", 200, {"base_resp": {"status_code": 1008, "status_msg": "insufficient balance"}}),
    ("openai-chat", 429, chat("余额不足或无可用资源包,请充值。", code="1113")),
]
OTHERS: list[tuple[str, int, dict[str, Any]]] = [
    ("anthropic", 400, anthropic("invalid_request_error", "max_tokens: too large")),
    ("anthropic", 429, anthropic("rate_limit_error", "This request would exceed your rate limit")),
    ("openai-chat", 429, chat("Rate limit reached", code="rate_limit_exceeded")),
    ("openai-chat", 429, chat("You exceeded your current quota", status="RESOURCE_EXHAUSTED")),
    ("openai-chat", 400, chat("no such tool", type="invalid_request_error")),
    # What the caller wrote, quoted in a refusal of it.
    ("anthropic", 400, anthropic("invalid_request_error", f"speed: '{CREDIT}' is none of 'fast', 'standard'")),
    (
        "openai-chat",
        400,
        chat(f'Invalid value: "{CREDIT}". Supported values are: "low".', code="invalid_value"),
    ),
    ("openai-chat", 400, chat("Invalid 'tools[0].name': `insufficient balance` does not match")),
    ("openai-chat", 403, chat("The model 'out of credits' is not for you")),
]


def gateway_of(dialect: str, *, key: bool = True, targets: int = 2) -> Gateway:
    upstreams = {
        name: Upstream(
            name=name,
            dialect=dialect,
            base_url=f"http://{name}",
            api_key=Secret("sk-up") if key else None,
            auth="x-api-key",
        )
        for name in ("one", "two")[:targets]
    }
    route = ModelRoute("*", tuple(map(Target, upstreams.values())), Retry(attempts=3))
    return Gateway(Config(upstreams=upstreams, routes=(route,), anonymous=True))


def call_of(gateway: Gateway, now: float, **members: Any) -> Exchange:
    body = {"model": "claude-x", "max_tokens": 9, "messages": [{"role": "user", "content": "hi"}], **members}
    call = Call(
        endpoint="messages",
        request_id="req_1",
        started_at=NOW + timedelta(seconds=now),
        body=json.dumps(body).encode(),
        credential=Credential("x-api-key", b"sk-client"),
    ).look(10**8)
    exchange = gateway.open(call, started=now)
    exchange.start(now)
    return exchange


def host(exchange: Exchange) -> str:
    assert isinstance(exchange.order, Send), exchange.order
    return exchange.order.request.url.removeprefix("http://").partition("/")[0]


def answer(exchange: Exchange, status: int, body: Any, now: float) -> bytes:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    exchange.receive_head(status, [(b"content-type", b"application/json")], now)
    out = exchange.receive_data(data, now)
    return out + exchange.receive_eof(now) if isinstance(exchange.order, Read) else out


def served(exchange: Exchange, dialect: str, now: float) -> Any:
    answer(exchange, 200, ANSWER if dialect == "anthropic" else CHAT, now)
    return exchange.record(now)


@pytest.mark.parametrize(("dialect", "status", "body"), SPENT, ids=str)
def test_the_next_target_is_asked_at_once(dialect: str, status: int, body: Any) -> None:
    """Once, without a rest; the record has the reason, and the first target stays closed for an hour."""
    gateway = gateway_of(dialect)
    exchange = call_of(gateway, 0.0)
    assert host(exchange) == "one"
    assert answer(exchange, status, body, 1.0) == b""
    assert host(exchange) == "two"
    record = served(exchange, dialect, 2.0)
    assert [attempt.reason for attempt in record.attempts] == ["exhausted", ""]
    later = 3000.0
    assert host(call_of(gateway, later)) == "two"
    after = (DAYS if "regain" in str(body) else 3601.0) + 2.0
    assert host(call_of(gateway, after)) == "one"


@pytest.mark.parametrize(("dialect", "status", "body"), OTHERS, ids=str)
def test_other_errors_close_nothing(dialect: str, status: int, body: Any) -> None:
    """A rate limit passes, and a caller's mistake is the caller's."""
    gateway = gateway_of(dialect)
    exchange = call_of(gateway, 0.0)
    answer(exchange, status, body, 1.0)
    assert host(call_of(gateway, 2.0)) == "one"


@pytest.mark.parametrize("dialect", ["anthropic", "openai-chat"])
@pytest.mark.parametrize("frame", [b"data: %s\n\n", b"event: error\r\ndata:%s\r\n\r\n", b"\ndata: %s"])
def test_an_error_that_is_framed_as_a_stream(dialect: str, frame: bytes) -> None:
    """Whoever asked for a stream gets its refusal as an event from some servers: it says the same."""
    gateway = gateway_of(dialect)
    exchange = call_of(gateway, 0.0, stream=True)
    body = anthropic("invalid_request_error", CAP) if dialect == "anthropic" else chat(CAP)
    exchange.receive_head(400, [(b"content-type", b"text/event-stream")], 1.0)
    out = exchange.receive_data(frame % json.dumps(body).encode(), 1.0)
    assert out + (exchange.receive_eof(1.0) if isinstance(exchange.order, Read) else b"") == b""
    assert host(exchange) == "two"
    assert [attempt.reason for attempt in served(exchange, dialect, 2.0).attempts] == ["exhausted", ""]


def test_the_words_of_an_error_that_is_framed_as_a_stream() -> None:
    """They reach the client without the frame."""
    exchange = call_of(gateway_of("openai-chat", targets=1), 0.0, stream=True)
    framed = b'data: {"error":{"message":"tools[0] is bad","type":"invalid_request_error"}}\n\n'
    assert json.loads(answer(exchange, 400, framed, 1.0))["error"]["message"] == "tools[0] is bad"


def test_the_target_stays_closed_until_the_named_date() -> None:
    """Not for an hour, and not for longer."""
    gateway = gateway_of("anthropic")
    exchange = call_of(gateway, 0.0)
    answer(exchange, 400, anthropic("invalid_request_error", CAP), 1.0)
    served(exchange, "anthropic", 2.0)
    assert host(call_of(gateway, DAYS - 60)) == "two"
    assert host(call_of(gateway, DAYS + 60)) == "one"


def test_the_money_of_a_callers_own_key_is_nobody_elses() -> None:
    """Its call goes on to the next target; the target stays open for others."""
    gateway = gateway_of("anthropic", key=False)
    exchange = call_of(gateway, 0.0)
    answer(exchange, 400, anthropic("invalid_request_error", CAP), 1.0)
    assert host(exchange) == "two"
    assert host(call_of(gateway, 2.0)) == "one"


@pytest.mark.parametrize(("dialect", "status", "body"), SPENT, ids=str)
def test_without_another_target_the_words_go_out(dialect: str, status: int, body: Any) -> None:
    """Relayed as they came, translated as a billing error; asked once."""
    exchange = call_of(gateway_of(dialect, targets=1), 0.0)
    out = answer(exchange, status, body, 1.0)
    assert exchange.response_head is not None
    if dialect == "anthropic":
        assert (exchange.response_head.status, json.loads(out)) == (status, body)
    else:
        assert (exchange.response_head.status, json.loads(out)["error"]["type"]) == (402, "billing_error")
    assert [attempt.reason for attempt in exchange.record(2.0).attempts] == ["exhausted"]


@pytest.mark.parametrize(
    ("message", "moment"),
    [
        (CAP, datetime(2026, 12, 1, tzinfo=UTC)),
        ("You will regain access on 2026-12-01 at 06:30 UTC.", datetime(2026, 12, 1, 6, 30, tzinfo=UTC)),
        ("You will regain access on 2026-12-01.", datetime(2026, 12, 1, tzinfo=UTC)),
        ("Try again after 2026-12-01T06:30:00Z", datetime(2026, 12, 1, 6, 30, tzinfo=UTC)),
        ("You will regain access on 2026-11-01 at 00:00 UTC.", None),
        ("You will regain access on 2999-01-01 at 00:00 UTC.", None),
        ("You will regain access on 2026-13-41.", None),
        ("model claude-2026-12-01 has no access", None),
        ("", None),
    ],
)
def test_the_date_of_a_message(message: str, moment: datetime | None) -> None:
    """One to come, and within what a cap runs for."""
    assert regained_at(message, NOW) == moment


def test_a_long_message_is_not_searched_to_its_end() -> None:
    """It may repeat what was asked."""
    assert not is_exhausted(400, "", "x" * 1_000_000 + CREDIT)


# Forced tools on a fallback

CHOICE = anthropic("invalid_request_error", 'tool_choice: "any" is not supported by this model')
BUSY = anthropic("overloaded_error", "busy")
FORCED: dict[str, Any] = {"tools": [{"name": "a", "input_schema": {}}], "tool_choice": {"type": "any"}}


def test_a_fallback_that_refuses_a_forced_tool_cannot_carry_the_call() -> None:
    """The failure before it stays the answer, in its own words; nothing is said about the fallback's health."""
    gateway = gateway_of("anthropic")
    exchange = call_of(gateway, 0.0, **FORCED)
    answer(exchange, 402, BUSY, 1.0)
    assert host(exchange) == "two"
    out = answer(exchange, 400, CHOICE, 2.0)
    assert exchange.response_head is not None
    assert (exchange.response_head.status, json.loads(out)) == (402, BUSY)
    record = exchange.record(3.0)
    assert [attempt.upstream for attempt in record.attempts] == ["one", "two"]
    assert (record.ending, record.status) == ("error", 402)


def test_the_target_after_it_is_asked() -> None:
    """It may be of another family."""
    upstreams = {
        name: Upstream(name=name, dialect="anthropic", base_url=f"http://{name}", api_key=Secret("sk-up"))
        for name in ("one", "two", "three")
    }
    route = ModelRoute("*", tuple(map(Target, upstreams.values())), Retry(attempts=3))
    gateway = Gateway(Config(upstreams=upstreams, routes=(route,), anonymous=True))
    exchange = call_of(gateway, 0.0, **FORCED)
    answer(exchange, 402, BUSY, 1.0)
    answer(exchange, 400, CHOICE, 2.0)
    assert host(exchange) == "three"
    assert served(exchange, "anthropic", 3.0).ending == "complete"


def test_the_first_target_may_refuse_a_forced_tool() -> None:
    """That is the client's own choice of a model: its answer."""
    exchange = call_of(gateway_of("anthropic"), 0.0, **FORCED)
    assert json.loads(answer(exchange, 400, CHOICE, 1.0)) == CHOICE


# Threads

CREATE = {"thread": {"type": "create"}}
CONTINUE = {"thread": {"type": "continue", "previous_message_id": "msg_1"}}


def threaded(*, threads: bool | None, base_url: str = "http://one", dialect: str = "anthropic") -> Gateway:
    upstream = Upstream(
        name="one",
        dialect=dialect,
        base_url=base_url,
        api_key=Secret("sk-up"),
        threads=threads,
        auth="x-api-key",
    )
    other = Upstream(name="two", dialect=dialect, base_url="http://two", api_key=Secret("sk"), threads=threads)
    route = ModelRoute("*", (Target(upstream), Target(other)), Retry(attempts=3))
    return Gateway(Config(upstreams={"one": upstream, "two": other}, routes=(route,), anonymous=True))


@pytest.mark.parametrize("asked", [CREATE, CONTINUE], ids=["create", "continue"])
@pytest.mark.parametrize(
    ("base_url", "threads", "kept"),
    [
        ("https://api.anthropic.com", None, True),
        ("https://api.anthropic.com", False, False),
        ("http://one", None, False),
        ("http://one", True, True),
    ],
)
def test_a_thread_goes_only_where_threads_are_kept(
    base_url: str, threads: bool | None, kept: bool, asked: Any
) -> None:
    """Elsewhere it is a 400 upon which the client sends everything: the model would see one turn."""
    gateway = threaded(threads=threads, base_url=base_url)
    exchange = call_of(gateway, 0.0, **asked)
    if kept:
        assert isinstance(exchange.order, Send)
        assert json.loads(exchange.order.request.body)["thread"] == asked["thread"]
        return
    refused = call_of(gateway, 0.0, **asked)
    assert refused.response_head is not None
    assert refused.response_head.status == 400
    record = refused.record(1.0)
    assert (record.ending, record.error_type) == ("refused", "invalid_request_error")


@pytest.mark.parametrize("dialect", ["anthropic", "openai-chat"])
def test_the_refusal_names_its_code(dialect: str) -> None:
    """The SDK and Claude Code go by it."""
    body = json.dumps({"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": "a"}], **CREATE})
    call = Call(endpoint="messages", request_id="r", started_at=NOW, body=body.encode(), credential=None).look(
        10**8
    )
    error = json.loads(threaded(threads=False, dialect=dialect).open(call, started=0.0).start(0.0))["error"]
    assert error["type"] == "invalid_request_error"
    assert error["details"]["error_code"] == "thread_unsupported_request"


@pytest.mark.parametrize("zero", [None, {}, "", [], False])
def test_no_thread_is_none(zero: Any) -> None:
    """A member that is written without a value asks for nothing."""
    assert isinstance(call_of(threaded(threads=False), 0.0, thread=zero).order, Send)


def test_a_continued_thread_never_falls_back() -> None:
    """Its history lies at the first target; one that begins may go elsewhere."""
    gateway = threaded(threads=True)
    exchange = call_of(gateway, 0.0, **CONTINUE)
    out = answer(exchange, 402, BUSY, 1.0)
    assert json.loads(out) == BUSY
    assert [attempt.upstream for attempt in exchange.record(2.0).attempts] == ["one"]
    exchange = call_of(threaded(threads=True), 0.0, **CREATE)
    answer(exchange, 402, BUSY, 1.0)
    assert host(exchange) == "two"
