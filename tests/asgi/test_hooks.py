"""What a host does before a call and after it: refusals, failures, and exactly one record a call."""

from __future__ import annotations

import functools
import logging
from types import SimpleNamespace
from typing import Any

import anyio
import msgspec
import pytest
import trio

from nexusflow_asgi import LoggingHook, NexusFlow
from nexusflow_asgi.hooks import Hooks
from nexusflow_asgi.transports.offline import OfflineTransport
from nexusflow_core import (
    AuthenticationFailedError,
    Call,
    CallRecord,
    InvalidRequestError,
    NexusFlowError,
    NotFoundError,
    OverloadedError,
    PermissionDeniedError,
    RateLimitedError,
    UpstreamError,
)
from nexusflow_core.errors import (
    InternalError,
    MethodNotAllowedError,
    RequestTimeoutError,
    RequestTooLargeError,
)
from nexusflow_core.record import AttemptRecord
from tests.asgi.asking import BODY, MODEL, Answer, ask, http_scope, offline
from tests.asgi.asking import send as send_scope

STREAM = BODY.replace(b'"model"', b'"stream":true,"model"')
REFUSALS: list[tuple[NexusFlowError, int, str]] = [
    (InvalidRequestError("no"), 400, "invalid_request_error"),
    (AuthenticationFailedError("no"), 401, "authentication_error"),
    (PermissionDeniedError("no"), 403, "permission_error"),
    (NotFoundError("no"), 404, "not_found_error"),
    (MethodNotAllowedError("no"), 405, "invalid_request_error"),
    (RequestTimeoutError("no"), 408, "invalid_request_error"),
    (RequestTooLargeError("no"), 413, "request_too_large"),
    (RateLimitedError("no", headers={"retry-after": "7", "x-should-retry": "false"}), 429, "rate_limit_error"),
    (InternalError("no"), 500, "api_error"),
    (UpstreamError("no"), 502, "api_error"),
    (OverloadedError("no"), 529, "overloaded_error"),
]


class Kept:
    """Keeps calls and records."""

    def __init__(self) -> None:
        self.calls: list[Call] = []
        self.records: list[CallRecord] = []

    def before(self, call: Call) -> None:
        self.calls.append(call)

    def after(self, record: CallRecord) -> None:
        self.records.append(record)


class Deaf(OfflineTransport):
    """An upstream that must not hear of a call."""

    async def send(self, request: object) -> Any:
        raise AssertionError("the upstream was called")


def asked(*hooks: Any, body: bytes = BODY, transport: Any = "offline", path: str = "/v1/messages") -> Answer:
    gateway = NexusFlow(config=offline(), hooks=hooks, transport=transport)
    return anyio.run(lambda: ask(gateway, path, body=body))


# before


@pytest.mark.parametrize("stream", [False, True], ids=["sync", "stream"])
@pytest.mark.parametrize("is_async", [False, True], ids=["plain hook", "async hook"])
@pytest.mark.parametrize(("error", "status", "kind"), REFUSALS, ids=[type(e).__name__ for e, _, _ in REFUSALS])
def test_a_hook_refuses(error: NexusFlowError, status: int, kind: str, is_async: bool, stream: bool) -> None:
    """Its error is the answer, with its headers, before anything is asked of the upstream; one record."""

    class Refusing:
        def before(self, call: Call) -> None:
            raise error

    class RefusingLater:
        async def before(self, call: Call) -> None:
            await anyio.sleep(0)
            raise error

    kept = Kept()
    hook = RefusingLater() if is_async else Refusing()
    answer = asked(kept, hook, transport=Deaf(), body=STREAM if stream else BODY)
    assert (answer.status, answer.error, answer.json["error"]["message"]) == (status, kind, "no")
    assert answer.value(b"content-type") == b"application/json"
    for name, value in error.headers.items():
        assert answer.value(name.encode()) == value.encode()
    [record] = kept.records
    assert (record.ending, record.status, record.error_type) == ("refused", status, kind)
    assert (record.model, record.stream, record.attempts) == (MODEL, stream, ())
    assert answer.json["request_id"] == record.request_id == (answer.value(b"request-id") or b"").decode()


def test_a_hook_sees_the_call() -> None:
    """Endpoint, model, principal and the untouched body; what it does not refuse is served."""
    kept = Kept()
    assert asked(kept).status == 200
    [call], [record] = kept.calls, kept.records
    assert (call.endpoint, call.model, call.stream, call.body) == ("messages", MODEL, False, BODY)
    assert call.request_id == record.request_id
    assert call.started_at.utcoffset() is not None


def test_hooks_run_in_their_order_until_one_refuses() -> None:
    """The later ones hear nothing before the call, but all hear of its record."""
    heard: list[str] = []

    class Named:
        def __init__(self, name: str, *, refuses: bool = False) -> None:
            self.name, self.refuses = name, refuses

        async def before(self, call: Call) -> None:
            heard.append(f"before {self.name}")
            if self.refuses:
                raise PermissionDeniedError("enough")

        async def after(self, record: CallRecord) -> None:
            heard.append(f"after {self.name}")

    assert asked(Named("a"), Named("b", refuses=True), Named("c")).status == 403
    assert heard == ["before a", "before b", "after a", "after b", "after c"]


def test_what_a_plain_hook_returns_is_of_no_matter(caplog: pytest.LogCaptureFixture) -> None:
    """A lambda that returns something else than None or an awaitable is no failure."""
    kept = Kept()
    hook = SimpleNamespace(before=lambda call: True, after=lambda record: kept.records.append(record) or 7)
    assert asked(hook).status == 200
    assert len(kept.records) == 1
    assert caplog.text == ""


def test_a_before_hook_that_fails(caplog: pytest.LogCaptureFixture) -> None:
    """500 without a word of why for the client; the traceback for the host; still one record."""

    class Broken:
        def before(self, call: Call) -> None:
            raise ZeroDivisionError("secret budget of 17")

    kept = Kept()
    answer = asked(Broken(), kept, transport=Deaf())
    assert (answer.status, answer.error) == (500, "api_error")
    assert b"budget" not in answer.body
    assert "secret budget of 17" in caplog.text
    assert [record.ending for record in kept.records] == ["refused"]


# after


def test_an_after_hook_that_fails(caplog: pytest.LogCaptureFixture) -> None:
    """The client has its answer, the host its traceback, and the other hooks their record."""

    class Broken:
        def after(self, record: CallRecord) -> None:
            raise ZeroDivisionError("disk full")

    class BrokenLater:
        async def after(self, record: CallRecord) -> None:
            await anyio.sleep(0)
            raise ZeroDivisionError("database gone")

    kept = Kept()
    answer = asked(Broken(), BrokenLater(), kept)
    assert answer.status == 200
    assert len(kept.records) == 1
    assert "disk full" in caplog.text
    assert "database gone" in caplog.text
    assert kept.records[0].request_id in caplog.text


class Failing:
    def __call__(self, record: CallRecord) -> None:
        raise ZeroDivisionError("disk full")


@pytest.mark.parametrize("after", [functools.partial(Failing()), Failing()], ids=["partial", "callable object"])
def test_an_after_hook_without_a_name_that_fails(after: Any, caplog: pytest.LogCaptureFixture) -> None:
    """A hook's method may be any callable; its failure is logged all the same."""
    kept = Kept()
    assert asked(SimpleNamespace(after=after), kept).status == 200
    assert len(kept.records) == 1
    assert "disk full" in caplog.text


def test_after_hooks_run_when_the_answer_is_over() -> None:
    """The record is made once the last byte has been sent, and its times fit to each other."""
    kept = Kept()
    answer = asked(kept, body=STREAM)
    assert answer.body.endswith(b'event: message_stop\ndata: {"type":"message_stop"}\n\n')
    [record] = kept.records
    assert (record.ending, record.status, record.stream) == ("complete", 200, True)
    assert record.usage_source == "upstream"
    assert record.time_to_first_byte is not None
    assert 0 <= record.time_to_first_byte <= record.duration


def test_an_async_hook_runs_although_the_client_is_gone() -> None:
    """A slow after-hook is not cancelled with the call that it is about."""
    written: list[str] = []

    class Slow:
        async def after(self, record: CallRecord) -> None:
            await anyio.sleep(0.01)
            written.append(record.ending)

    async def main() -> None:
        gateway = NexusFlow(config=offline(), hooks=[Slow()], transport="offline")
        async with anyio.create_task_group() as group:

            async def receive() -> dict[str, Any]:
                await anyio.sleep_forever()
                raise AssertionError

            async def never(message: object) -> None:
                raise AssertionError("nothing is to be sent")

            incoming = [{"type": "http.request", "body": BODY[:5], "more_body": True}]

            async def receive_and_cancel() -> dict[str, Any]:
                if incoming:
                    return incoming.pop()
                group.cancel_scope.cancel()
                return {"type": "http.disconnect"}

            group.start_soon(gateway, http_scope(), receive_and_cancel, never)

    anyio.run(main)
    assert written == ["client_gone"]


# Exactly one record


CALLS: dict[str, tuple[dict[str, Any], bytes, int, str]] = {
    "served": ({}, BODY, 200, "complete"),
    "streamed": ({}, STREAM, 200, "complete"),
    "counted": ({"path": "/v1/messages/count_tokens"}, BODY, 200, "complete"),
    "by the alias": ({"path": "/messages"}, BODY, 200, "complete"),
    "not JSON": ({}, b"{", 400, "refused"),
    "empty": ({}, b"", 400, "refused"),
    "unknown model": ({}, b'{"model":"gpt-6"}', 404, "refused"),
    "too large": ({}, b" " * 34_000_000, 413, "refused"),
    "bad query": ({"query": b"a=\xff"}, BODY, 400, "refused"),
    "refused upstream": ({}, b'{"model":"claude-x"}', 400, "error"),
    "an error upstream": ({}, BODY.replace(b"hello", b"simulate error overloaded_error"), 529, "error"),
    "an error in the stream": (
        {},
        STREAM.replace(b"hello", b"simulate stream error api_error"),
        200,
        "error",
    ),
    "a cut stream": ({}, STREAM.replace(b"hello", b"simulate truncation"), 200, "error"),
}


@pytest.mark.parametrize(("request_", "body", "status", "ending"), CALLS.values(), ids=CALLS.keys())
@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_one_record_a_call(
    request_: dict[str, Any], body: bytes, status: int, ending: str, backend: str
) -> None:
    """Whatever becomes of a call, it has one record, and the record says what the client saw."""
    kept = Kept()
    gateway = NexusFlow(config=offline(), hooks=[kept], transport="offline")
    answer = anyio.run(lambda: send_scope(gateway, http_scope(**request_), body), backend=backend)
    [record] = kept.records
    assert (answer.status, record.status, record.ending) == (status, status, ending)
    assert (record.error_type is None) == (ending == "complete")


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/health"),
        ("GET", "/ready"),
        ("GET", "/v1/models"),
        ("GET", "/v1/models/claude-x"),
        ("GET", "/v1/messages"),
        ("POST", "/v1/files"),
        ("POST", "/nowhere"),
    ],
)
def test_what_is_no_call_has_no_record(method: str, path: str) -> None:
    """Pages and unknown paths are not calls: no hook hears of them."""
    kept = Kept()
    gateway = NexusFlow(config=offline(), hooks=[kept], transport="offline")
    anyio.run(lambda: ask(gateway, path, method=method))
    assert (kept.calls, kept.records) == ([], [])


def test_an_object_that_is_no_hook() -> None:
    """Said at once, with the name of its class."""
    with pytest.raises(TypeError, match="SimpleNamespace has neither"):
        Hooks([SimpleNamespace()])


# aclose


def test_closing_closes_the_hooks(caplog: pytest.LogCaptureFixture) -> None:
    """Each that can be closed, even after one that fails."""
    closed: list[str] = []

    class Closing(Kept):
        async def aclose(self) -> None:
            closed.append("closed")

    class Broken(Kept):
        async def aclose(self) -> None:
            raise ZeroDivisionError("no connection")

    async def main() -> None:
        async with NexusFlow(config=offline(), hooks=[Broken(), Closing()], transport="offline"):
            pass

    anyio.run(main)
    assert closed == ["closed"]
    assert "no connection" in caplog.text


def test_a_hook_may_use_the_event_loop_that_runs() -> None:
    """On trio a hook is awaited in trio."""
    loops: list[str] = []

    class Trio:
        async def before(self, call: Call) -> None:
            await trio.lowlevel.checkpoint()
            loops.append("trio")

    gateway = NexusFlow(config=offline(), hooks=[Trio()], transport="offline")
    answer = anyio.run(lambda: ask(gateway), backend="trio")
    assert (answer.status, loops) == (200, ["trio"])


# LoggingHook


def test_a_log_line_a_call(caplog: pytest.LogCaptureFixture) -> None:
    """Logger `nexusflow`, the level that was asked for, ids and tokens, the record itself as an extra."""
    kept = Kept()
    with caplog.at_level(logging.DEBUG, "nexusflow"):
        asked(LoggingHook(logging.DEBUG), kept)
    [line], [record] = caplog.records, kept.records
    assert (line.name, line.levelno) == ("nexusflow", logging.DEBUG)
    assert line.__dict__["record"] is record
    message = line.getMessage()
    assert message.startswith(f"{record.request_id} ")
    assert f" messages {MODEL} -> sim 200 complete in=" in message
    assert f" ${record.cost_usd} " in message
    if record.upstream_request_id:  # which the client of a relayed call saw
        assert f" upstream-id={record.upstream_request_id} " in message
    assert record.usage is not None
    assert f"in={record.usage['input_tokens']} out={record.usage['output_tokens']}" in message


def test_a_log_line_in_the_hosts_own_logger(caplog: pytest.LogCaptureFixture) -> None:
    """Where the host names one, the line goes there and nowhere else."""
    with caplog.at_level(logging.INFO, "shop.llm"):
        asked(LoggingHook(logger=logging.getLogger("shop.llm")))
    assert [line.name for line in caplog.records] == ["shop.llm"]


def test_a_log_line_of_a_refused_call(caplog: pytest.LogCaptureFixture) -> None:
    """A call without model and usage has its line too."""
    with caplog.at_level(logging.INFO, "nexusflow"):
        asked(LoggingHook(), body=b"{")
    assert " messages - 400 refused in=- out=- " in caplog.text


def test_a_log_line_has_no_body(caplog: pytest.LogCaptureFixture) -> None:
    """Neither the question nor the answer is in it, nor in anything that hangs on it."""
    body = BODY.replace(b"hello", b"the secret question")
    with caplog.at_level(logging.DEBUG):
        answer = asked(LoggingHook(), body=body)
    assert b"secret question" in answer.body, "the simulator echoes"
    for line in caplog.records:
        assert "secret question" not in line.getMessage() + str(vars(line))


def test_a_model_name_cannot_forge_a_log_line(caplog: pytest.LogCaptureFixture) -> None:
    """A line break in what the client calls its model does not begin a line of its own."""
    body = BODY.replace(MODEL.encode(), b"claude-x\\nreq_forged messages claude-y 200 complete")
    with caplog.at_level(logging.INFO, "nexusflow"):
        asked(LoggingHook(), body=body)
    [line] = caplog.records
    assert "\n" not in line.getMessage()


def test_logging_is_the_hosts_to_configure() -> None:
    """Importing us adds no handler, not even one that silences Python's last resort, and sets no level."""
    logger = logging.getLogger("nexusflow")
    assert logger.handlers == []
    assert logger.level == logging.NOTSET


def test_a_log_line_of_a_call_that_failed_over(caplog: pytest.LogCaptureFixture) -> None:
    """Who answered, after how many attempts and why, for whom and at what price."""
    kept = Kept()
    asked(kept)
    first = AttemptRecord(upstream="one", model="m", status=429, reason="rate_limit_error", duration=0.1)
    last = AttemptRecord(upstream="two", model="m", status=200, reason="", duration=0.1)
    told = {"principal": "TEAM", "cost_usd": "0.000026", "upstream_request_id": "req_up"}
    record = msgspec.structs.replace(kept.records[0], attempts=(first, last), **told)
    with caplog.at_level(logging.INFO, "nexusflow"):
        LoggingHook().after(record)
    [line] = [line.getMessage() for line in caplog.records if "req_up" in line.getMessage()]
    assert line.startswith(f"{record.request_id} upstream-id=req_up messages {MODEL} -> two (2 attempts) 200 ")
    assert " $0.000026 key=TEAM reason=rate_limit_error " in line
