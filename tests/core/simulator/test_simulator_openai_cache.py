"""The prompt cache of OpenAI's models from gpt-5.6 on, over both of its protocols."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest

from nexusflow_core.simulator import SimulatedCache, simulate
from nexusflow_core.simulator.cache import BEGINNING

KEY = [(b"authorization", b"Bearer sk-anything")]
EXPLICIT = {"prompt_cache_options": {"mode": "explicit"}}


class Sent:
    """Requests to one simulated upstream, one after the other."""

    def __init__(self, protocol: str) -> None:
        self.protocol = protocol
        self.cache = SimulatedCache()

    def counts(self, seconds: float, *messages: dict[str, Any], **fields: Any) -> tuple[int, int, int]:
        """What was read, what was written, and how much of that for twelve hours."""
        chat = self.protocol == "chat"
        path = "/v1/chat/completions" if chat else "/v1/responses"
        body = {"model": "gpt-5.6-sol", "messages" if chat else "input": messages, **fields}
        at = BEGINNING + timedelta(seconds=seconds)
        answer = simulate(path, KEY, json.dumps(body).encode(), self.cache, at)
        assert answer.status == 200, answer.body
        usage = json.loads(answer.body)["usage"]
        details = usage["prompt_tokens_details" if chat else "input_tokens_details"]
        split = details["cache_write_tokens_details"]
        assert split["ttl_30m_tokens"] + split["ttl_12h_tokens"] == details["cache_write_tokens"]
        assert (
            details["cached_tokens"] + details["cache_write_tokens"]
            <= usage["prompt_tokens" if chat else "input_tokens"]
        )
        return details["cached_tokens"], details["cache_write_tokens"], split["ttl_12h_tokens"]

    def part(self, tokens: int, ttl: str | None = None, *, marked: bool = False) -> dict[str, Any]:
        """A text of so many tokens."""
        kind = "text" if self.protocol == "chat" else "input_text"
        part: dict[str, Any] = {"type": kind, "text": "tok " * tokens}
        if marked or ttl:
            part["prompt_cache_breakpoint"] = {"mode": "explicit", **({"ttl": ttl} if ttl else {})}
        return part


def user(*content: Any) -> dict[str, Any]:
    return {"role": "user", "content": content[0] if isinstance(content[0], str) else list(content)}


ANSWER = {"role": "assistant", "content": "ok"}


@pytest.fixture(params=["chat", "responses"])
def sent(request: pytest.FixtureRequest) -> Sent:
    return Sent(request.param)


def test_a_prompt_is_written_and_then_read_for_half_an_hour(sent: Sent) -> None:
    """Without a word about caching, in steps of 128 tokens; a read begins the half hour again."""
    first = user("tok " * 2_000)
    assert sent.counts(0, first) == (0, 1_920, 0)
    assert sent.counts(1_799, first, ANSWER, user("tok " * 500)) == (1_920, 512, 0)
    assert sent.counts(3_500, first) == (1_920, 0, 0)
    assert sent.counts(3_500 + 1_800, first) == (0, 1_920, 0)


def test_below_1024_tokens_nothing_is_written(sent: Sent) -> None:
    """Neither write nor read, however often it is sent."""
    for _ in range(2):
        assert sent.counts(0, user("tok " * 1_000)) == (0, 0, 0)


def test_only_marked_prefixes_are_written_in_the_explicit_mode(sent: Sent) -> None:
    """What stands behind the breakpoint is plain input."""
    marked, rest = sent.part(2_000, marked=True), sent.part(1_500)
    assert sent.counts(0, user(marked, rest), **EXPLICIT) == (0, 1_920, 0)
    assert sent.counts(1, user(marked, sent.part(1_600)), **EXPLICIT) == (1_920, 0, 0)
    assert sent.counts(2, user(sent.part(2_000), rest), **EXPLICIT) == (0, 0, 0)


def test_a_breakpoint_may_hold_for_twelve_hours(sent: Sent) -> None:
    """It is read after the half hour, and its tokens are counted apart."""
    kept = user(sent.part(2_000, "12h"))
    assert sent.counts(0, kept, **EXPLICIT) == (0, 1_920, 1_920)
    assert sent.counts(40_000, kept, **EXPLICIT) == (1_920, 0, 0)
    options = {"prompt_cache_options": {"mode": "explicit", "ttl": "12h"}}
    assert sent.counts(0, user(sent.part(3_000, marked=True)), **options) == (0, 2_944, 2_944)


def test_a_moved_breakpoint_changes_no_prefix(sent: Sent) -> None:
    """The entry is found again by a request whose marker stands later."""
    first = sent.part(2_000, marked=True)
    assert sent.counts(0, user(first), **EXPLICIT) == (0, 1_920, 0)
    later = user(sent.part(2_000)), ANSWER, user(sent.part(500, marked=True))
    assert sent.counts(1, *later, **EXPLICIT) == (1_920, 512, 0)


@pytest.mark.parametrize(
    "changed", [{"model": "gpt-5.6-terra"}, {"prompt_cache_key": "other"}, {"tools": True}, {"effort": "high"}]
)
def test_what_breaks_the_prefix(sent: Sent, changed: dict[str, Any]) -> None:
    """Another model, key, tool or effort: all is written again."""
    if "tools" in changed:
        function = {"name": "a", "parameters": {"type": "object"}}
        nested = sent.protocol == "chat"
        changed = {"tools": [{"type": "function", **({"function": function} if nested else function)}]}
    elif "effort" in changed:
        chat = sent.protocol == "chat"
        changed = {"reasoning_effort": "high"} if chat else {"reasoning": {"effort": "high"}}
    sent.counts(0, user("tok " * 2_000))
    read, written, _ = sent.counts(1, user("tok " * 2_000), **changed)
    assert read == 0
    assert written >= 1_920


def test_tool_results_are_a_part_of_the_prefix(sent: Sent) -> None:
    """A call and its output are read by the next turn."""
    if sent.protocol == "chat":
        call = {"id": "call_1", "type": "function", "function": {"name": "a", "arguments": "{}"}}
        turn: tuple[dict[str, Any], ...] = (
            {"role": "assistant", "content": None, "tool_calls": [call]},
            {"role": "tool", "tool_call_id": "call_1", "content": "tok " * 2_000},
        )
    else:
        turn = (
            {"type": "function_call", "call_id": "call_1", "name": "a", "arguments": "{}"},
            {"type": "function_call_output", "call_id": "call_1", "output": "tok " * 2_000},
        )
    _, written, _ = sent.counts(0, user("go"), *turn)
    assert written >= 1_920
    read, more, _ = sent.counts(1, user("go"), *turn, ANSWER, user("tok " * 500))
    assert read == written
    assert more == 512


def test_a_failed_request_writes_nothing() -> None:
    """The answer that would have written it never came."""
    sent = Sent("responses")
    body = {"model": "gpt-5.6", "input": "tok " * 2_000 + "simulate error api_error"}
    assert simulate("/v1/responses", KEY, json.dumps(body).encode(), sent.cache, BEGINNING).status == 500
    assert len(sent.cache) == 0


def test_older_models_count_no_writes(sent: Sent) -> None:
    """Their answers have no word for it."""
    path = "/v1/chat/completions" if sent.protocol == "chat" else "/v1/responses"
    field = "messages" if sent.protocol == "chat" else "input"
    body = {"model": "gpt-5.5", field: [user("tok " * 2_000)]}
    usage = json.loads(simulate(path, KEY, json.dumps(body).encode(), sent.cache).body)["usage"]
    details = usage.get("prompt_tokens_details") or usage["input_tokens_details"]
    assert "cache_write_tokens" not in details
    assert len(sent.cache) == 0


@pytest.mark.parametrize("text", [5, None, ["a"], {"a": "b"}])
def test_a_text_that_is_none_has_no_words(sent: Sent, text: Any) -> None:
    """A part of another form is no text of the user, and no defect either."""
    kind = "text" if sent.protocol == "chat" else "input_text"
    assert sent.counts(0, {"role": "user", "content": [{"type": kind, "text": text}]}) == (0, 0, 0)
