"""Misses: each reason with its place, as a header and as a sentence."""

from __future__ import annotations

from typing import Any

import pytest

from nexusflow_core.caching import CacheSimulator, Prediction, Reason
from tests.core.caching.asking import after, assistant, request, text, tool, user
from tests.core.caching.oracle import WeightCounter

FIRST = request(
    user(text("m", mark="5m")), tools=[tool("a"), tool("b")], system=[text("s"), text("t", 8)], speed="fast"
)


def grown(**changes: Any) -> dict[str, Any]:
    """The first request with a turn more, and something changed."""
    turns = [user(text("m")), assistant(text("n", 8)), user(text("o", 8, mark="5m"))]
    return {**FIRST, "messages": turns, **changes}


CASES = {
    "tools_changed tools[1]": grown(tools=[tool("a"), tool("c")]),
    "tools_changed tools[2]": grown(tools=[tool("a"), tool("b"), tool("c")]),
    "system_changed system[0]": grown(system=[text("x"), text("t", 8)]),
    "system_changed system[1]": grown(system=[text("s")]),
    "parameters_changed speed": grown(speed=None),
    "parameters_changed tool_choice,effort": grown(
        tool_choice={"type": "any"}, output_config={"effort": "max"}
    ),
    "message_changed messages[0].content[0]": grown(
        messages=[user(text("x")), assistant(text("n", 8)), user(text("o", 8, mark="5m"))]
    ),
    "model_changed": grown(model="claude-opus-5"),
}


@pytest.mark.parametrize(("words", "second"), CASES.items(), ids=CASES.keys())
def test_a_miss_names_what_changed(words: str, second: dict[str, Any]) -> None:
    """The block by its path, a parameter by its name; and never a word of the content."""
    cache = CacheSimulator(counter=WeightCounter())
    assert str(cache.step(FIRST, at=after(0)).miss) == "cold"
    found = cache.step(second, at=after(1))
    assert str(found.miss) == words
    assert found.hit is None
    assert cache.step(grown(), at=after(2)).hit is not None


def test_a_change_that_costs_nothing_is_no_miss() -> None:
    """What follows the last entry may differ: nothing was written for it."""
    cache = CacheSimulator(counter=WeightCounter())
    cache.step(request(user(text("a", 8)), system=[text("s", mark="5m")]), at=after(0))
    found = cache.step(request(user(text("b", 8)), system=[text("s", mark="5m")]), at=after(1))
    assert found.hit is not None
    assert found.miss is None


def test_a_part_that_is_lost_is_a_hit_and_a_miss() -> None:
    """The tools are read, the system prompt is written anew, and the miss says why."""
    cache = CacheSimulator(counter=WeightCounter())
    for number, words in enumerate(("one", "two")):
        asked = request(user(text("q", 8)), tools=[tool("a", "5m")], system=[text(words, mark="5m")])
        found = cache.step(asked, at=after(number))
    assert found.hit is not None
    assert found.hit.path == "tools[0]"
    assert str(found.miss) == "system_changed system[0]"


def test_a_session_finds_its_last_request_whatever_changed() -> None:
    """Even where all of it did; without a session nothing connects the two."""
    for session, words in [("s1", "tools_changed tools[0]"), (None, "cold")]:
        cache = CacheSimulator(counter=WeightCounter())
        for name in "ab":
            asked = request(user(text(name, mark="5m")), tools=[tool(name)], system=[text(name)])
            found = cache.step(asked, at=after(0), session=session)
        assert str(found.miss) == words


def test_a_change_after_the_entries_end_is_an_expiry() -> None:
    """It would have missed without the change too."""
    cache = CacheSimulator(counter=WeightCounter())
    cache.step(FIRST, at=after(0))
    found = cache.step(grown(system=[text("x")]), at=after(420))
    assert found.miss is not None
    assert (found.miss.reason, found.miss.seconds) == (Reason.EXPIRED, 120)


def test_every_reason_has_a_sentence() -> None:
    """For a reader who does not know the words: it ends with a full stop, and has no placeholder left."""
    from nexusflow_core.caching import Miss

    for reason in Reason:
        sentence = Miss(reason, "system[1]", ("effort",), 1234.5, 17, 3).sentence()
        assert sentence.endswith(".")
        assert "None" not in sentence


def test_another_conversation_with_the_same_beginning_is_no_reason() -> None:
    """Two conversations share a system prompt. The shorter one goes on and reads all that it wrote."""
    cache = CacheSimulator(counter=WeightCounter())

    def ask(name: str, turns: int, at: float) -> Prediction:
        said = [text(f"{name}{turn}") for turn in range(turns)]
        said[-1] = text(f"{name}{turns - 1}", mark="5m")
        return cache.step(request(*map(user, said), system=[text("s")]), at=after(at))

    ask("short", 1, 0)
    for turns in range(1, 6):
        ask("long", turns, turns)
    found = ask("short", 2, 11)
    assert found.hit is not None
    assert (found.hit.path, found.miss) == ("messages[0].content[0]", None)
