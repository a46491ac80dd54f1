"""The states of a call: each can be reached and left; there is one way past the head and past the record."""

import pytest

from nexusflow_core.errors import InternalError, UpstreamProtocolError
from nexusflow_core.exchange import Close, Read, Send
from nexusflow_core.exchange.states import TRANSITIONS, UNSEEN, Event, State
from tests.core.test_exchange import ANSWER, JSON_HEAD, SSE_HEAD, START, exchange_of


def after(event: Event) -> set[State]:
    """The states in which an event may come."""
    return {state for state, told in TRANSITIONS if told is event}


def test_every_state_can_be_reached() -> None:
    """From a new call, in whatever way."""
    reached = {State.NEW}
    while more := {to for (state, _), to in TRANSITIONS.items() if state in reached} - reached:
        reached |= more
    assert reached == set(State)


def test_the_head_goes_out_once() -> None:
    """And only while the client has nothing; no attempt begins after it."""
    assert after(Event.PUBLISH) == UNSEEN
    assert after(Event.ASK) | after(Event.HEAR) | after(Event.REST) <= UNSEEN


def test_a_call_can_end_wherever_it_stands() -> None:
    """The client may leave at any time, and a gateway may be closed."""
    assert after(Event.END) == {State.ANSWERING, *UNSEEN}
    assert {to for (_, event), to in TRANSITIONS.items() if event is Event.END} == {State.OVER}


def test_a_call_that_is_not_over_has_no_record() -> None:
    """Neither before its head nor behind it; and it goes on as if nobody had asked."""
    x = exchange_of()
    x.start(0.0)
    x.receive_head(200, SSE_HEAD, 1.0)
    with pytest.raises(InternalError):
        x.record(1.0)
    x.receive_data(START, 2.0)
    with pytest.raises(InternalError):
        x.record(2.0)
    assert x.receive_data(START, 3.0) == START
    x.client_gone(4.0)
    assert x.record(4.0).ending == "client_gone"


def test_an_upstream_that_answers_twice_is_a_defect() -> None:
    """A head without a request before it is refused, and changes nothing."""
    x = exchange_of()
    x.start(0.0)
    x.receive_head(200, JSON_HEAD, 1.0)
    with pytest.raises(InternalError, match="HEAR while HEARING"):
        x.receive_head(500, JSON_HEAD, 1.0)
    x.receive_data(ANSWER, 2.0)
    assert x.receive_eof(2.0) == ANSWER


def test_the_order_follows_the_state() -> None:
    """As a call goes from its first attempt over a second one to its end."""
    x = exchange_of(upstreams=("one", "two"))
    assert x.order == Close()
    x.start(0.0)
    assert isinstance(x.order, Send)
    x.transport_failed(UpstreamProtocolError("broke"), 1.0)
    assert isinstance(x.order, Send)
    x.receive_head(200, SSE_HEAD, 2.0)
    assert isinstance(x.order, Read)
    x.receive_data(START, 3.0)
    assert isinstance(x.order, Read)
    x.client_gone(4.0)
    assert x.order == Close()
