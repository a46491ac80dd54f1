"""An answer's counts prove that a conversation was continued: then most of its bytes need no comparison."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nexusflow_core import Call, PriceBook, Target, Upstream
from nexusflow_core.caching import CacheSimulator
from nexusflow_core.caching import checkpoints as checkpoints_module
from nexusflow_core.caching.checkpoints import Checkpoints
from nexusflow_core.caching.doctor import CacheDoctor, Verdict, judged
from nexusflow_core.caching.tokens import Counted
from tests.core.caching.asking import after, assistant, request, text, tool, usage, user
from tests.core.caching.oracle import WeightCounter
from tests.core.caching.test_checkpoints import conversation, same, seen, whole
from tests.core.caching.test_doctor import Traffic

BOOK = PriceBook.builtin()
TARGET = Target(Upstream(name="up", dialect="anthropic", base_url="http://up", auth="none"))
LENGTH = 3000
WORDS = ("one", "two", "six")  # equal lengths, so that a change moves no byte
CHANGES = st.sampled_from(["grow", "grow", "grow", "first message", "last message", "system", "tool", "shrink"])


class Vendor:
    """Counts as a cache does that knows the true sizes."""

    def __init__(self) -> None:
        self._cache = CacheSimulator(counter=WeightCounter())

    def counts(self, body: dict[str, Any], at: float) -> dict[str, Any]:
        found = self._cache.step(body, at=after(at))
        return usage(found.read.best, found.write_5m.best, uncached=found.uncached.best)


class Client:
    """A conversation that is continued, or changed somewhere. The last message has the breakpoint."""

    def __init__(self) -> None:
        self.said = ["one", "two", "one"]
        self.system, self.tool = "one", "one"

    def change(self, what: str) -> None:
        match what:
            case "grow":
                self.said += ["one", "two"]
            case "shrink":
                self.said = self.said[:3]
            case "first message":
                self.said[0] = self._next(self.said[0])
            case "last message":
                self.said[-1] = self._next(self.said[-1])
            case "system":
                self.system = self._next(self.system)
            case _:
                self.tool = self._next(self.tool)

    def body(self) -> dict[str, Any]:
        *before, last = self.said
        turns = [(assistant if at % 2 else user)(text(word, LENGTH)) for at, word in enumerate(before)]
        said = [*turns, user(text(last, LENGTH, "5m"))]
        return request(*said, tools=[tool(self.tool)], system=[text(self.system, LENGTH, "5m")])

    def _next(self, word: str) -> str:
        return WORDS[(WORDS.index(word) + 1) % len(WORDS)]


@given(st.lists(st.tuples(CHANGES, st.sampled_from([5.0, 5.0, 5.0, 400.0])), min_size=2, max_size=8))
@settings(max_examples=25, deadline=None)
def test_the_doctor_says_the_same(steps: list[tuple[str, float]]) -> None:
    """A stream states its counts at the start, which may be a proof; a sync answer states them too late."""
    vendor, client, at = Vendor(), Client(), 0.0
    proving, comparing = Traffic(), Traffic()
    for change, pause in [("", 0.0), *steps]:
        if change:
            client.change(change)
        at += pause
        body, counts = client.body(), vendor.counts(client.body(), at)
        one = proving.send(body, counts, at=at, stream=True)
        other = comparing.send(body, counts, at=at, stream=False)
        assert one.record.cache_miss == other.record.cache_miss
        assert one.record.cache_disagreement == other.record.cache_disagreement


BLOCKS = st.sampled_from(
    [
        text("one", LENGTH),
        text("two", LENGTH),
        text("a", 5),
        {"type": "tool_use", "id": "t", "name": "n", "input": {"b": 1.0, "a": "é\n"}},
        {"type": "tool_result", "tool_use_id": "t", "content": "ok / \u2028 ok"},
        {"type": "tool_result", "tool_use_id": "t", "content": [text("six", LENGTH)]},
        {"type": "image", "source": {"type": "url", "url": "http://x"}},
        {"type": "thinking", "thinking": "hm", "signature": "s"},
    ]
)
SAID = (
    st.builds(user, BLOCKS) | st.builds(assistant, BLOCKS, BLOCKS) | st.just({"role": "user", "content": "Hi"})
)
TURN = st.tuples(
    st.sampled_from(["s", "s", "s", "other", None]),
    st.sampled_from([0, 0, 0, 0, 1, 3]),  # messages cut from the end
    st.lists(SAID, min_size=1, max_size=3),
    st.sampled_from(["5m", "5m", "1h", "automatic", "last two", None]),
    st.sampled_from([5.0, 5.0, 5.0, 400.0]),
    st.booleans(),
)


def _marked(messages: list[dict[str, Any]], mark: str | None) -> dict[str, Any]:
    """Messages of which some last ones have a breakpoint, where blocks can have one."""
    if mark == "automatic":
        return request(*messages, system=[text("s", LENGTH)], cache_control={"type": "ephemeral"})
    said = [*messages]
    for at in {None: (), "last two": (-2, -1)}.get(mark, (-1,)):
        if len(said) < -at or isinstance(said[at]["content"], str):
            continue
        *before, last = said[at]["content"]
        if last["type"] != "thinking":
            lifetime = "1h" if mark == "1h" else "5m"
            content = [*before, {**last, "cache_control": {"type": "ephemeral", "ttl": lifetime}}]
            said[at] = {**said[at], "content": content}
    return request(*said, system=[text("s", LENGTH)], tools=[tool("t")])


@given(st.lists(TURN, min_size=2, max_size=10))
@settings(max_examples=150, deadline=None)
def test_the_doctor_says_what_the_simulator_says(turns: list[Any]) -> None:
    """Several conversations, gone on or cut back; of the same bytes, the doctor has read but the ends."""
    vendor, offline, doctor = CacheSimulator(counter=WeightCounter()), CacheSimulator(), CacheDoctor(BOOK)
    said, at = dict[str | None, list[dict[str, Any]]](), 0.0
    for session, cut, more, mark, pause, stream in turns:
        earlier = said.get(session, [])
        said[session] = [*earlier[: len(earlier) - cut], *more]
        body, at = _marked(said[session], mark), at + pause
        true = vendor.step(body, at=after(at), scope="up\0", session=session)
        counts = usage(true.read.best, true.write_5m.best, true.write_1h.best, true.uncached.best)
        step = offline.predict(body, at=after(at), scope="up\0", session=session)
        counted = Counted.of(counts)
        expected = judged(step, counted)
        offline.observe(step, counted)
        headers = [] if session is None else [(b"x-claude-code-session-id", session.encode())]
        call = Call(
            endpoint="messages",
            request_id="r",
            started_at=after(at),
            headers=headers,
            body=json.dumps(body).encode(),
        ).look(10**8)
        early = counts if stream else None
        diagnosis = doctor.look(call, TARGET, at=after(at), answered_at=after(at), usage=early)
        assert diagnosis is not None
        assert diagnosis.verdict(counts, stream=stream) == expected


def test_proved_bytes_are_not_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither those around the messages nor those of earlier turns."""
    vendor, client, traffic = Vendor(), Client(), Traffic()
    for number in range(6):
        counts = vendor.counts(client.body(), number)
        assert traffic.send(client.body(), counts, at=number).record.cache_disagreement is None
        client.change("grow")
        if number == 2:
            monkeypatch.setattr(checkpoints_module, "_around", None)  # a call would fail


def test_counts_that_changed_after_the_start_are_judged() -> None:
    """Server tools run the model again: the last usage is a sum, which proves nothing of one run."""
    doctor = CacheDoctor(BOOK)
    vendor, client = Vendor(), Client()
    found = list[Verdict]()
    for number in range(3):
        counts = vendor.counts(client.body(), number)
        call = Call(
            endpoint="messages",
            request_id="r",
            started_at=after(number),
            body=json.dumps(client.body()).encode(),
        ).look(10**8)
        at = {"at": after(number), "answered_at": after(number)}
        diagnosis = doctor.look(call, TARGET, **at, usage=counts)
        assert diagnosis is not None
        again = {name: 2 * count for name, count in counts.items() if isinstance(count, int)}
        final = {**again, "server_tool_use": {"web_search_requests": 1}} if number == 1 else counts
        found.append(diagnosis.verdict(final, stream=True))
        client.change("grow")
    assert [str(verdict.miss) for verdict in found] == ["cold", "None", "None"]
    assert [verdict.disagreement for verdict in found[:2]] == [None, None]


def test_the_prompt_is_the_one_that_a_whole_reading_gives() -> None:
    """Whether the proof is accepted or not; it names how many blocks it has to reach beyond."""
    for accepts in (True, False):
        held, asked = Checkpoints(), list[int]()
        for turns in range(2, 8):
            body = conversation(turns)
            prompt = held.read(
                seen(body),
                model="m",
                scope="",
                session="s",
                proved=lambda prompt, blocks: asked.append(blocks) or accepts,  # noqa: B023 - called at once
            )
            assert same(prompt, whole(body))
        assert asked == sorted(asked)
        assert held.read_on == 5


def test_a_request_of_another_shape_is_not_asked_about() -> None:
    """Bytes more or fewer around the messages, or messages that are cut inside a string."""
    held = Checkpoints()

    def never(*_: Any) -> bool:
        raise AssertionError("asked")

    held.read(seen(conversation(4)), model="m", scope="", session="s")
    longer = conversation(5, system=[text("y" * 20_001, 10, "5m")])
    prompt = held.read(seen(longer), model="m", scope="", session="s", proved=never)
    assert same(prompt, whole(longer))
