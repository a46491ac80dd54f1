"""Retry decision, cooldown and breaker: each rule with a clock of our own, and all of them under any course."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from nexusflow_core import Target, Upstream
from nexusflow_core.errors import (
    UpstreamProtocolError,
    UpstreamStatusError,
    UpstreamTimeoutError,
    UpstreamUnreachableError,
)
from nexusflow_core.resilience import CircuitMemory, Failure, Health, Plan, Step, failure_of, stated_wait
from nexusflow_core.routing import Retry
from nexusflow_core.upstream import Headers, Secret

AT = datetime(2026, 11, 22, 12, 0, 0, tzinfo=UTC)
OVERLOADED = Failure("overloaded", True)
FAILED = Failure("failed", True)


def target(name: str = "one", model: str | None = None, *, own_key: bool = True) -> Target:
    key = Secret("sk-planted-upstream") if own_key else None
    return Target(Upstream(name=name, dialect="anthropic", base_url="http://x", api_key=key), model)


def plan(*targets: Target, health: Health | None = None, spent: int = 0, **policy: Any) -> Plan:
    return Plan(targets, Retry(**policy), health, model="claude-x", started=0.0, spent=spent, jitter=1.0)


def names(course: Plan, failure: Failure = FAILED, now: float = 0.0) -> list[str]:
    """The targets that are asked one after the other, each failing in the same way."""
    asked: list[str] = []
    step: Step | None = course.first(now)
    while step is not None:
        asked.append(step.target.upstream.name)
        step = course.after(failure, max(now, step.at))
    return asked


# What went wrong


@pytest.mark.parametrize(
    ("error", "reason", "again"),
    [
        (UpstreamUnreachableError("x"), "unreachable", True),
        (UpstreamTimeoutError("x"), "timeout", False),
        (UpstreamProtocolError("broke"), "failed", True),
        (UpstreamStatusError(408, "timeout_error"), "failed", True),
        (UpstreamStatusError(409, "conflict_error"), "failed", True),
        (UpstreamStatusError(429, "rate_limit_error"), "rate_limited", True),
        (UpstreamStatusError(500, "api_error"), "failed", True),
        (UpstreamStatusError(503, "api_error"), "overloaded", True),
        (UpstreamStatusError(529, "api_error"), "overloaded", True),
        (UpstreamStatusError(200, "overloaded_error"), "overloaded", True),
    ],
)
def test_what_is_tried_again(error: Any, reason: str, again: bool) -> None:
    """No connection, 408, 409, 429, every 5xx and 529, and a stream that begins with an error."""
    failure = failure_of(error, (), AT)
    assert failure is not None
    assert (failure.reason, failure.again) == (reason, again)


@pytest.mark.parametrize("status", [400, 401, 402, 403, 404, 413, 422])
def test_what_is_the_callers_own(status: int) -> None:
    """Another attempt would end the same way, and says nothing about the target."""
    assert failure_of(UpstreamStatusError(status, "invalid_request_error"), (), AT) is None
    assert failure_of(UpstreamStatusError(200, "invalid_request_error"), (), AT) is None


def test_garbage_is_not_asked_for_twice() -> None:
    """A connection that broke before any head may be a stale one; an answer that is none comes again."""
    garbage = failure_of(UpstreamProtocolError("not JSON"), [(b"content-type", b"text/html")], AT)
    assert garbage is not None
    assert not garbage.again


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ([(b"retry-after", b"7")], 7.0),
        ([(b"retry-after", b"0.5")], 0.5),
        ([(b"retry-after-ms", b"1500"), (b"retry-after", b"9")], 1.5),
        ([(b"retry-after", b"Sun, 22 Nov 2026 12:00:30 GMT")], 30.0),
        ([(b"retry-after", b"Sun, 22 Nov 2026 11:00:00 GMT")], 0.0),
        ([(b"retry-after", b"124633")], 124633.0),
        ([(b"retry-after", b"-1")], None),
        ([(b"retry-after", b"nan")], None),
        ([(b"retry-after", b"inf")], None),
        ([(b"retry-after", b"soon")], None),
        ([(b"retry-after", b"\xff\xfe")], None),
        ([(b"retry-after", b"9" * 5000)], None),
        ([(b"retry-after", b"Sun, 99 Nov 99999 12:00:30 GMT")], None),
        ([], None),
    ],
)
def test_what_retry_after_says(headers: Headers, seconds: float | None) -> None:
    """Digits, thousandths, a date; nothing else is believed, and nothing raises."""
    assert stated_wait(headers, AT) == seconds


# One call


def test_one_budget_for_all_targets() -> None:
    """Three attempts, the targets that wait first, the same one again only with what is left."""
    a, b, c, d = map(target, "abcd")
    assert names(plan(a)) == ["a", "a", "a"]
    assert names(plan(a, b)) == ["a", "a", "b"]
    assert names(plan(a, b, c)) == ["a", "b", "c"]
    assert names(plan(a, b, c, d)) == ["a", "b", "c", "d"]
    assert names(plan(a, b, c, d, attempts=2)) == ["a", "b"]
    assert names(plan(a, attempts=1)) == ["a"]


def test_the_clients_own_retries_count() -> None:
    """A client that is at its second retry has spent two attempts; one is always left."""
    a, b = target("a"), target("b")
    assert names(plan(a, b, spent=1)) == ["a", "b"]
    assert names(plan(a, b, spent=2)) == ["a"]
    assert names(plan(a, b, spent=999)) == ["a"]


def test_waits_grow_and_a_stated_one_is_kept() -> None:
    """Without a word of the upstream half a second, then one; else what it says, to the moment."""
    course = plan(target(), attempts=4)
    course.first(0.0)
    steps = [
        course.after(FAILED, 10.0),
        course.after(FAILED, 20.0),
        course.after(Failure("failed", True, 7.0), 30.0),
    ]
    assert [step.at for step in steps if step] == [10.5, 21.0, 37.0]


def test_a_wait_beyond_the_cap_is_not_waited_for() -> None:
    """The target cools down for the stated time, this call and others go elsewhere, or the answer
    goes out; after that time it is asked again."""
    health = Health(CircuitMemory())
    a, b = target("a"), target("b")
    day = Failure("rate_limited", True, 124_633.0)
    assert names(plan(a, health=health), day) == ["a"]
    assert names(plan(a, b, health=health, deadline=1e6), now=124_000.0) == ["b", "b", "b"]
    assert names(plan(a, b, health=health, deadline=1e6), now=124_634.0)[0] == "a"


def test_no_attempt_begins_beyond_the_deadline() -> None:
    """One deadline a call: a rest that would end beyond it is not taken."""
    course = plan(target(), deadline=30.0)
    course.first(0.0)
    assert course.after(Failure("failed", True, 15.0), 20.0) is None
    late = plan(target("a"), target("b"), deadline=30.0)
    late.first(0.0)
    assert late.after(FAILED, 30.0) is None


def test_the_upstream_may_forbid_the_same_again() -> None:
    """`x-should-retry: false` ends it for this target, not for the next."""
    failure = failure_of(UpstreamStatusError(529, "overloaded_error"), [(b"x-should-retry", b"false")], AT)
    assert failure is not None
    assert names(plan(target("a"), target("b")), failure) == ["a", "b"]


# Circuits


def open_circuit(health: Health, failure: Failure, count: int, now: float = 0.0) -> None:
    for _ in range(count):
        course = plan(target("a"), attempts=1, health=health)
        course.first(now)
        course.after(failure, now)


def test_failures_in_a_row_open_it_and_one_probe_closes_it() -> None:
    """Closed, open, half-open: while one call probes the others stay away, and its success lets all back in."""
    health = Health(CircuitMemory())
    open_circuit(health, FAILED, 4)
    assert plan(target("a"), target("b"), health=health).first(0.0).target.upstream.name == "a"
    open_circuit(health, FAILED, 1)
    assert plan(target("a"), target("b"), health=health).first(1.9).target.upstream.name == "b"
    probe = plan(target("a"), target("b"), health=health)
    assert probe.first(2.0).target.upstream.name == "a"
    assert plan(target("a"), target("b"), health=health).first(2.0).target.upstream.name == "b"
    probe.served(3.0)
    assert plan(target("a"), target("b"), health=health).first(3.0).target.upstream.name == "a"


@pytest.mark.parametrize("how", ["fails", "is abandoned", "is forgotten"])
def test_a_probe_that_does_not_succeed(how: str) -> None:
    """It opens the circuit for twice as long; one that told nothing lets the next call probe."""
    health = Health(CircuitMemory())
    open_circuit(health, FAILED, 5)
    probe = plan(target("a"), target("b"), attempts=1, health=health)
    probe.first(2.0)
    if how == "fails":
        probe.after(FAILED, 3.0)
        assert health.reopens("a/claude-x") == 7.0
    elif how == "is abandoned":
        probe.abandoned()
        assert health.reopens("a/claude-x") <= 3.0
    else:
        assert health.reopens("a/claude-x") == 62.0


def test_overload_cools_briefly_however_long_it_lasts() -> None:
    """A spike of 529 never grows into an hour: 15 seconds at most, then a probe."""
    health, now = Health(CircuitMemory()), 0.0
    for _ in range(200):
        open_circuit(health, OVERLOADED, 3, now)
        reopens = health.reopens("a/claude-x")
        assert reopens - now <= 15.0
        now = max(now, reopens)


def test_reasons_and_targets_are_counted_apart() -> None:
    """Two of one reason and two of another open nothing, nor does another model's trouble."""
    health = Health(CircuitMemory())
    open_circuit(health, OVERLOADED, 2)
    open_circuit(health, Failure("timeout", False), 2)
    assert health.reopens("a/claude-x") == 0.0
    open_circuit(health, OVERLOADED, 1)
    assert health.reopens("a/claude-x") == 2.0
    assert plan(target("a", "claude-y"), target("b"), health=health).first(0.0).target.upstream.name == "a"


def test_a_limit_of_the_callers_own_key_is_nobody_elses() -> None:
    """Where the client's credential goes through, a 429 says nothing about the next client."""
    health = Health(CircuitMemory())
    mine = target("a", own_key=False)
    for _ in range(9):
        course = plan(mine, attempts=1, health=health)
        course.first(0.0)
        course.after(Failure("rate_limited", True, 3600.0), 0.0)
    assert health.reopens("a/claude-x") == 0.0


def test_where_all_cool_down_the_first_to_be_ready_is_asked_once() -> None:
    """A call is never refused for what others met: the upstream's own answer, with its header, says more."""
    health = Health(CircuitMemory())
    open_circuit(health, Failure("rate_limited", True, 100.0), 1)
    course = plan(target("a"), health=health)
    assert course.first(50.0).target.upstream.name == "a"
    assert course.after(FAILED, 50.0) is None


def test_a_success_of_before_does_not_open_the_door() -> None:
    """A stream that began before the circuit opened may well end: the stated time still counts."""
    health = Health(CircuitMemory())
    course = plan(target("a"), health=health)
    course.first(0.0)
    open_circuit(health, Failure("rate_limited", True, 100.0), 1)
    course.served(10.0)
    assert health.reopens("a/claude-x") == 100.0


def test_the_memory_is_bounded() -> None:
    """A pattern route takes any name of a model; ten thousand of them are remembered, no more."""
    memory = CircuitMemory(most=3)
    health = Health(memory)
    for number in range(10):
        health.failed(f"t{number}", FAILED, 0.0, stated=False)
    assert [bool(memory.get(f"t{number}")) for number in range(10)] == [False] * 7 + [True] * 3


# Any course of events

REASONS = st.sampled_from(["unreachable", "timeout", "overloaded", "rate_limited", "failed"])
FAILURES = st.builds(Failure, REASONS, st.booleans(), st.none() | st.floats(0, 200))


class AnyCourse(RuleBasedStateMachine):
    """Calls over two targets that share their health, in any order and at any time."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.memory = CircuitMemory()
        self.health = Health(self.memory)
        self.calls: list[tuple[Plan, Step, int]] = []  # plan, its last step, attempts made
        self.stated = 0.0  # the longest time until which an upstream wants to be left alone

    @rule(seconds=st.floats(0.01, 30))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds

    @rule(spent=st.integers(0, 3))
    def a_call_begins(self, spent: int) -> None:
        course = Plan(
            [target("a"), target("b")], Retry(), self.health, model="m", started=self.now, spent=spent
        )
        cooling = {name: self.health.reopens(f"{name}/m") > self.now for name in ("a", "b")}
        step = course.first(self.now)
        assert step.at <= self.now, "a first attempt is never put off"
        assert cooling["a"] == cooling["b"] or not cooling[step.target.upstream.name]
        self.calls.append((course, step, 1 + spent))

    @precondition(lambda self: self.calls)
    @rule(failure=FAILURES, which=st.integers(0, 99))
    def one_fails(self, failure: Failure, which: int) -> None:
        course, last, made = self.calls.pop(which % len(self.calls))
        self.now = max(self.now, last.at)
        if failure.wait is not None:
            self.stated = max(self.stated, self.now + failure.wait)
        step = course.after(failure, self.now)
        if step is None:
            return
        assert made < 3, "the budget is one"
        assert self.now <= step.at <= self.now + 20, "nobody waits beyond the cap"
        assert step.target is last.target or step.at == self.now, "another target is asked at once"
        assert failure.again or step.target is not last.target
        self.calls.append((course, step, made + 1))

    @precondition(lambda self: self.calls)
    @rule(which=st.integers(0, 99), served=st.booleans())
    def one_ends(self, which: int, served: bool) -> None:
        course, last, _ = self.calls.pop(which % len(self.calls))
        self.now = max(self.now, last.at)
        if served:
            course.served(self.now)
        else:
            course.abandoned()

    @invariant()
    def nobody_cools_for_longer_than_stated_or_capped(self) -> None:
        for name in ("a", "b"):
            assert self.health.reopens(f"{name}/m") <= max(self.now + 80.0, self.stated)

    @invariant()
    def one_probe_at_most(self) -> None:
        for name in ("a", "b"):
            for it in self.memory.get(f"{name}/m").values():
                assert it.probing == 0 or it.until > 0, "only what was open is probed"


TestAnyCourse = AnyCourse.TestCase
TestAnyCourse.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
