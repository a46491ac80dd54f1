"""How far an answer has come: its stop reason is not its end, and cost, record and client agree on the end."""

import json
from collections.abc import Callable

import pytest

from nexusflow_core import Exchange
from nexusflow_core.errors import InternalError, OverloadedError, UpstreamProtocolError
from nexusflow_core.exchange import Close, Read, Send
from tests.core.relayed import SSE, config_of, events, sent_through
from tests.core.translation.driving import asking, chunks, sse
from tests.core.translation.driving import exchange_of as translated_exchange

USAGE = {"prompt_tokens": 1000, "completion_tokens": 100, "total_tokens": 1100}
PRICED = "gpt-5.4"
GRACE = 5.0

START = {"type": "message_start", "message": {"type": "message", "model": "claude-opus-4-7", "usage": {}}}
STOPPED = {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 2}}
STOP = {"type": "message_stop"}


def translated() -> Exchange:
    """A translated stream whose head has come."""
    x = translated_exchange(asking(stream=True, model=PRICED))
    x.start(0.0)
    x.receive_head(200, SSE, 0.0)
    return x


def relayed() -> Exchange:
    """A relayed stream whose head has come."""
    x = sent_through(config_of(), json.dumps({"model": "claude-opus-4-7", "stream": True}).encode())
    x.start(0.0)
    x.receive_head(200, SSE, 0.0)
    return x


def finished(finish: str = "stop") -> bytes:
    """Text and its finish reason; the usage is still to come."""
    return sse(chunks({"content": "Hi."}, finish=finish), done=False)


def test_text_and_finish_in_one_read_still_have_a_cost() -> None:
    """The usage that comes a read later is what the call costs."""
    x = translated()
    x.receive_data(finished(), 1.0)
    x.receive_data(sse([{"choices": [], "usage": USAGE}]), 2.0)
    x.receive_eof(3.0)
    record = x.record(3.0)
    assert (record.ending, record.usage_source) == ("complete", "upstream")
    assert (record.cost_usd, record.cost_flags) == ("0.004", ())


def test_a_stream_that_has_begun_keeps_no_request() -> None:
    """A finish reason in the first read is not the end: the request is let go as for any other stream."""
    x = translated_exchange(asking(stream=True))
    x.start(0.0)
    assert isinstance(x.order, Send)
    request = x.order.request
    x.receive_head(200, SSE, 0.0)
    x.receive_data(finished(), 1.0)
    assert request.body == b""


@pytest.mark.parametrize("error", [OverloadedError("closing"), UpstreamProtocolError("broke")])
def test_a_translated_answer_that_has_its_finish_ends_well(error: OverloadedError) -> None:
    """All that matters has come, so a shutdown or a broken connection is no error to anybody."""
    x = translated()
    out = x.receive_data(finished(), 1.0) + x.fail(error, 2.0)
    record = x.record(2.0)
    assert (b"event: error" in out, out.endswith(b'{"type":"message_stop"}\n\n')) == (False, True)
    assert (record.ending, record.error_type, record.stop_reason) == ("complete", None, "end_turn")


def test_a_finish_that_is_an_error_stays_one() -> None:
    """The upstream ended its answer with an error, and then the gateway is closed."""
    x = translated()
    out = x.receive_data(finished("error"), 1.0) + x.fail(OverloadedError("closing"), 2.0)
    assert out.count(b"event: error") == 1
    record = x.record(2.0)
    assert (record.ending, record.error_type) == ("error", "api_error")


def test_a_failure_is_recorded_with_the_type_that_the_client_was_told() -> None:
    """The error event and the record say the same."""
    x = translated()
    out = x.receive_data(finished("insufficient_system_resource"), 1.0) + x.receive_eof(2.0)
    assert b'"type":"overloaded_error"' in out
    assert x.record(2.0).error_type == "overloaded_error"


def test_a_defect_of_ours_is_an_error_even_behind_the_finish() -> None:
    """What has gone wrong inside cannot be asked for a good end."""
    x = translated()
    out = x.receive_data(finished(), 1.0) + x.fail(InternalError("internal error"), 2.0)
    assert out.endswith(b"}\n\n")
    assert b"event: error" in out
    assert x.record(2.0).ending == "error"


@pytest.mark.parametrize("finish", ["stop", "error"])
def test_a_client_that_leaves_before_the_end_is_told_has_left(finish: str) -> None:
    """The finish has come from the upstream, and not one byte of it has gone to the client."""
    x = translated()
    x.receive_data(finished(finish), 1.0)
    x.client_gone(2.0)
    record = x.record(2.0)
    assert (record.ending, record.attempts[-1].reason) == ("client_gone", "client_gone")


@pytest.mark.parametrize("last", [STOPPED, STOP])
def test_a_client_that_leaves_with_its_whole_answer_has_it(last: object) -> None:
    """On a relayed stream the stop reason has gone out as it came."""
    x = relayed()
    x.receive_data(events([START, STOPPED, last]), 1.0)
    x.client_gone(2.0)
    assert x.record(2.0).ending == "complete"


def test_a_relayed_error_stays_one_when_the_client_leaves() -> None:
    """The client has been given the error event."""
    x = relayed()
    x.receive_data(events([START, {"type": "error", "error": {"type": "overloaded_error"}}]), 1.0)
    x.client_gone(2.0)
    record = x.record(2.0)
    assert (record.ending, record.error_type) == ("error", "overloaded_error")


def test_a_relayed_stream_may_end_with_its_stop_reason() -> None:
    """Some upstreams send no message_stop: the body's clean end is the answer's."""
    x = relayed()
    out = x.receive_data(events([START, STOPPED]), 1.0) + x.receive_eof(2.0)
    assert out == events([START, STOPPED])
    assert x.record(2.0).ending == "complete"


def test_a_relayed_stream_that_breaks_before_message_stop_is_an_error() -> None:
    """The connection broke: what the client got may not be all of it."""
    x = relayed()
    out = x.receive_data(events([START, STOPPED]), 1.0)
    out += x.transport_failed(UpstreamProtocolError("broke"), 2.0)
    assert out.startswith(events([START, STOPPED]) + b"event: error\n")
    assert x.record(2.0).ending == "error"


def _translated_end(x: Exchange) -> None:
    x.receive_data(finished() + sse([{"choices": [], "usage": USAGE}], done=False), 1.0)


def _relayed_stop(x: Exchange) -> None:
    x.receive_data(events([START, STOPPED, STOP]), 1.0)


def _relayed_stop_reason(x: Exchange) -> None:
    x.receive_data(events([START, STOPPED]), 1.0)


@pytest.mark.parametrize(
    ("open_", "end"),
    [(translated, _translated_end), (relayed, _relayed_stop), (relayed, _relayed_stop_reason)],
)
@pytest.mark.parametrize("noise", [b": still here\n\n", b'event: ping\ndata: {"type": "ping"}\n\n'])
def test_the_grace_period_runs_from_the_finish(
    open_: Callable[[], Exchange], end: Callable[[Exchange], None], noise: bytes
) -> None:
    """An upstream that goes on with pings or comments does not keep a finished answer waiting."""
    x = open_()
    end(x)
    for second in (2.0, 3.0, 4.0, 5.0):
        x.receive_data(noise, second)
        x.on_timer(second)
        assert isinstance(x.order, Read)
        assert x.order.until <= 1.0 + GRACE
    x.on_timer(1.0 + GRACE)
    assert x.order == Close()
    assert x.record(6.0).ending == "complete"


def test_text_behind_a_finish_reason_gets_its_time() -> None:
    """A vendor that names a reason too early is not cut off in the middle of its answer."""
    x = translated()
    x.receive_data(finished(), 1.0)
    for second in range(2, 60, 4):
        assert b"more" in x.receive_data(sse(chunks({"content": " more"}, finish=None), done=False), second)
        x.on_timer(second)
        assert isinstance(x.order, Read)


def test_a_slow_client_does_not_shorten_the_grace_period() -> None:
    """While the client takes its time nothing is read, so the grace period begins anew behind it."""
    x = relayed()
    x.receive_data(events([START, STOPPED]), 1.0)
    assert x.client_slow(5.9)
    assert x.on_timer(6.5) == b""
    assert x.receive_data(events([STOP]), 7.0) == events([STOP])
    assert isinstance(x.order, Read)
