"""Policies: where breakpoints would stand, and what the same requests would have cost."""

from __future__ import annotations

import copy

import pytest

from nexusflow_core.caching import CacheSimulator, Policy, RecordedCounter, Sent, marked, read_prompt, replay
from nexusflow_core.caching.rules import ANTHROPIC
from tests.core.caching.asking import after, assistant, request, text, tool, usage, user
from tests.core.caching.asking import marked as with_mark
from tests.core.caching.oracle import WeightCounter

SENT = request(
    user({"type": "tool_result", "tool_use_id": "t", "content": [text("r", 8, "1h")]}, text("m", 8, "5m")),
    tools=[tool("a"), tool("b", "1h")],
    system="you are a helper",
)

PLACES = {
    Policy.AS_SENT: [("tools[1]", "1h"), ("messages[0].content[0]", "1h"), ("messages[0].content[1]", "5m")],
    Policy.NONE: [],
    Policy.LAST_BLOCK: [("messages[0].content[1]", "5m")],
    Policy.TOOLS_SYSTEM_LAST: [("tools[1]", "5m"), ("system[0]", "5m"), ("messages[0].content[1]", "5m")],
    Policy.ALL_5M: [("tools[1]", "5m"), ("messages[0].content[0]", "5m"), ("messages[0].content[1]", "5m")],
    Policy.ALL_1H: [("tools[1]", "1h"), ("messages[0].content[0]", "1h"), ("messages[0].content[1]", "1h")],
    Policy.AUTOMATIC: [("tools[1]", "1h"), ("messages[0].content[0]", "1h"), ("messages[0].content[1]", "5m")],
}


@pytest.mark.parametrize("policy", Policy)
def test_where_breakpoints_stand(policy: Policy) -> None:
    """Also those inside of tool results; the request itself stays as it is, and nothing but marks differs."""
    before = copy.deepcopy(SENT)
    prompt = read_prompt(marked(SENT, policy), ANTHROPIC)
    assert before == SENT
    assert [(prompt.path(mark.index), mark.lifetime) for mark in prompt.marks] == PLACES[policy]
    assert prompt.prefixes == read_prompt(SENT, ANTHROPIC).prefixes


def test_automatic_leaves_four_breakpoints_alone() -> None:
    """A fifth would be refused."""
    full = request(user(*(text(name, 8, "5m") for name in "abcd"), text("e", 8)))
    assert marked(full, Policy.AUTOMATIC) == full


def conversation() -> list[Sent]:
    """Four turns, two minutes apart, without any breakpoint."""
    turns, sent = [user(text("q0"))], []
    for number in range(4):
        sent.append(Sent(request(*turns, system=[text("s")]), after(120 * number)))
        turns += [assistant(text(f"a{number}", 50)), user(text(f"q{number + 1}", 50))]
    return sent


def test_a_replay_costs_what_the_simulator_says() -> None:
    """Without a cache all is input; with the last block marked only what is new is written."""
    none, last = (
        replay(conversation(), it, counter=WeightCounter()) for it in (Policy.NONE, Policy.LAST_BLOCK)
    )
    assert (none.requests, none.read, none.write_5m) == (4, 0, 0)
    assert last.read + last.write_5m + last.uncached == none.uncached
    assert last.read > 3 * 4000
    assert none.femto_usd is not None
    assert last.femto_usd is not None
    assert last.femto_usd < none.femto_usd / 2
    assert none.estimated == last.estimated == 0


def test_sizes_come_from_recorded_usage() -> None:
    """A counter that has seen the true counts replays them exactly; one that has not says that it estimates."""
    sent = [
        Sent(request(user(with_mark(text("a"), "5m"))), after(0)),
        Sent(request(user(with_mark(text("a"), "5m"))), after(60)),
    ]
    counter = RecordedCounter()
    simulator = CacheSimulator(counter=counter)
    simulator.step(sent[0].request, at=after(0), usage=usage(short=1777))
    known, unknown = replay(sent, Policy.AS_SENT, counter=counter), replay(sent, Policy.AS_SENT)
    assert (known.read, known.write_5m, known.estimated) == (1777, 1777, 0)
    assert unknown.estimated == 2


def test_a_model_without_a_price_has_no_cost() -> None:
    """Its tokens are counted all the same; a cost of 0 would be a lie."""
    sent = [Sent({**request(user(text("a", mark="5m"))), "model": "nobody-knows"}, after(0))]
    found = replay(sent, Policy.AS_SENT, counter=WeightCounter())
    assert found.femto_usd is None
    assert found.write_5m > 0
