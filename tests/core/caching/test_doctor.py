"""The doctor of live calls, from the request to the record, against an upstream that counts as scripted."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest

from nexusflow_core import Call, CallRecord, Gateway, Principal, decode_config
from nexusflow_core.caching import CacheSimulator
from nexusflow_core.caching.checkpoints import Checkpoints
from nexusflow_core.errors import CombinedConfigError
from nexusflow_core.upstream import Credential
from tests.core.caching.asking import MODEL, assistant, request, text, tool, usage, user
from tests.core.caching.oracle import WeightCounter
from tests.core.relayed import JSON, SSE, config_of, events
from tests.core.translation.driving import NOW, Driven, drive

DOCTOR = "[cache]\ndoctor = true\nheader = true\n"
CHAT = """
    [upstreams.up]
    dialect = "openai-chat"
    base_url = "http://up"
    [[routes]]
    model = "*"
    targets = ["up"]
    [auth]
    anonymous = true
"""


class Traffic:
    """Calls through one gateway. The upstream counts what it is told to count."""

    def __init__(self, config: str = config_of() + DOCTOR) -> None:
        self.gateway = Gateway(decode_config(config.encode()))

    def send(
        self,
        body: dict[str, Any],
        counts: dict[str, Any],
        *,
        at: float = 0,
        stream: bool = True,
        waits: float = 0.0,
        session: str | None = "s",
        caller: str | None = None,
        status: int = 200,
        diagnostics: Any = None,
    ) -> Driven:
        names = [] if session is None else [(b"x-claude-code-session-id", session.encode())]
        call = Call(
            endpoint="messages",
            request_id="req_1",
            started_at=NOW + timedelta(seconds=at),
            headers=names,
            body=json.dumps({**body, "stream": stream, "max_tokens": 9}).encode(),
            credential=Credential("x-api-key", b"sk-client"),
            principal=Principal(caller) if caller else None,
        ).look(10**8)
        answer = {"type": "message", "model": MODEL, "stop_reason": "end_turn", "usage": counts}
        answer["diagnostics"] = diagnostics
        if status != 200:
            data = json.dumps({"type": "error", "error": {"type": "api_error", "message": "no"}}).encode()
        elif stream:
            delta = {
                "type": "message_delta",
                "delta": {"stop_reason": "end_turn"},
                "usage": {"output_tokens": 7},
            }
            data = events([{"type": "message_start", "message": answer}, delta, {"type": "message_stop"}])
        else:
            data = json.dumps(answer).encode()
        exchange = self.gateway.open(call, started=0.0)
        driven = drive(exchange, [data], status=status, headers=SSE if stream and status == 200 else JSON)
        assert driven.body == data  # nothing of it was touched
        return driven


FIRST = request(
    user(text("m", mark="5m")), tools=[tool("a"), tool("b")], system=[text("s"), text("t", 8)], speed="fast"
)
WRITES = usage(short=9000)


def grown(**changes: Any) -> dict[str, Any]:
    """The first request with a turn more, and something changed."""
    turns = [user(text("m")), assistant(text("n", 8)), user(text("o", 8, mark="5m"))]
    return {**FIRST, "messages": turns, **changes}


CHANGES = {
    "tools_changed tools[1]": grown(tools=[tool("a"), tool("c")]),
    "system_changed system[1]": grown(system=[text("s"), text("u", 8)]),
    "parameters_changed tool_choice": grown(tool_choice={"type": "any"}),
    "message_changed messages[0].content[0]": grown(messages=[user(text("x", mark="5m"))]),
    "model_changed": grown(model="claude-opus-5"),
}


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize(("words", "second"), CHANGES.items(), ids=CHANGES)
def test_what_changed_is_in_the_record(words: str, second: dict[str, Any], stream: bool) -> None:
    """The place of the change, in the record and in the header, beside the upstream's own word."""
    traffic = Traffic()
    first = traffic.send(FIRST, WRITES, stream=stream)
    assert (first.record.cache_miss, first.headers["x-nexusflow-cache"]) == ("cold", "miss cold")
    own = {"cache_miss_reason": {"type": "tools_changed", "cache_missed_input_tokens": 9}}
    found = traffic.send(second, usage(short=9100), at=9, stream=stream, diagnostics=own)
    assert (found.record.cache_miss, found.headers["x-nexusflow-cache"]) == (words, f"miss {words}")
    assert (found.record.upstream_cache_miss, found.record.cache_disagreement) == ("tools_changed", None)


def test_a_hit_is_no_miss() -> None:
    """And the size of the prefix is known from the first answer's counts."""
    traffic = Traffic()
    traffic.send(FIRST, WRITES)
    found = traffic.send(grown(), usage(read=9000, short=40), at=200)
    assert found.headers["x-nexusflow-cache"] == "hit 9000"
    assert (found.record.cache_miss, found.record.cache_disagreement) == (None, None)


def test_a_lifetime_that_ended() -> None:
    """By how many seconds the request came too late; a read had begun the lifetime again."""
    traffic = Traffic()
    traffic.send(FIRST, WRITES)
    traffic.send(grown(), usage(read=9000, short=40), at=200)
    late = traffic.send(grown(), usage(short=9040), at=620)
    assert late.record.cache_miss == "expired 120s"


def test_below_the_minimum() -> None:
    """How many tokens are missing; such a call is not called cold."""
    small = request(user(text("m", 300, mark="5m")))
    assert str(Traffic().send(small, usage(uncached=310)).record.cache_miss).startswith("below_minimum 7")


def test_beyond_the_lookback() -> None:
    """The last entry lies more blocks back than a read looks."""
    traffic = Traffic()
    turns = [user(text("m", mark="5m"))]
    traffic.send(request(*turns), usage(short=2000))
    turns = [user(text("m")), *[assistant(text(f"n{n}", 8)) for n in range(25)], user(text("o", 8, "5m"))]
    found = traffic.send(request(*turns), usage(short=2300), at=9)
    assert found.record.cache_miss == "lookback 7 positions"


def test_an_answer_that_had_not_begun() -> None:
    """Two calls at once: the entry of the first can be read only from the start of its answer."""
    traffic = Traffic()
    traffic.send(FIRST, WRITES, at=10)
    found = traffic.send(grown(), usage(short=9040), at=9.5)
    assert found.record.cache_miss == "not_yet_visible 0.5s"


def test_a_disagreement_is_shown() -> None:
    """More was read than predicted, since others wrote it; or less, since the vendor had dropped it."""
    traffic = Traffic()
    shared = traffic.send(FIRST, usage(read=9000)).record
    assert (shared.cache_miss, shared.cache_disagreement) == (None, 9000)
    dropped = traffic.send(grown(), usage(short=9040), at=9).record
    assert (dropped.cache_miss, dropped.cache_disagreement) == ("unexplained", -9000)
    assert traffic.send(grown(), usage(read=9040), at=18).record.cache_disagreement is None


def test_an_error_writes_nothing() -> None:
    """Neither a refused call nor one without counts is remembered as written."""
    traffic = Traffic()
    refused = traffic.send(FIRST, WRITES, status=400)
    assert (refused.record.cache_miss, refused.headers.get("x-nexusflow-cache")) == (None, None)
    assert traffic.send(FIRST, WRITES, at=1).record.cache_miss == "cold"


def test_callers_and_sessions_stand_apart() -> None:
    """A caller learns nothing of another one's prompts."""
    traffic = Traffic()
    traffic.send(FIRST, WRITES, caller="alice")
    assert traffic.send(grown(), WRITES, caller="bob", at=1).record.cache_miss == "cold"
    assert traffic.send(grown(), usage(read=9000, short=40), caller="alice", at=1).record.cache_miss is None


def test_without_the_setting_nothing_is_said() -> None:
    """Neither in the record nor in a header; the upstream's word is there all the same."""
    off = Traffic(config_of())
    own = {"cache_miss_reason": {"type": "tools_changed", "cache_missed_input_tokens": 9}}
    found = off.send(FIRST, WRITES, diagnostics=own)
    assert "x-nexusflow-cache" not in found.headers
    assert (found.record.cache_miss, found.record.upstream_cache_miss) == (None, "tools_changed")
    quiet = Traffic(config_of() + "[cache]\ndoctor = true\n").send(FIRST, WRITES)
    assert ("x-nexusflow-cache" in quiet.headers, quiet.record.cache_miss) == (False, "cold")


def test_a_header_without_the_doctor_is_a_mistake() -> None:
    """A setting without effect is refused."""
    with pytest.raises(CombinedConfigError, match=r"cache\.header: has no effect without the doctor"):
        Traffic(config_of() + "[cache]\nheader = true\n")


def test_claude_behind_a_translated_protocol() -> None:
    """The counts of such an upstream explain the cache as well; other models have no rules here."""
    traffic = Traffic(CHAT + DOCTOR)

    def ask(model: str, read: int, at: float) -> CallRecord:
        counts = {
            "prompt_tokens": 9010,
            "completion_tokens": 2,
            "prompt_tokens_details": {"cached_tokens": read},
        }
        choice = {"index": 0, "message": {"role": "assistant", "content": "x"}, "finish_reason": "stop"}
        body = {**FIRST, "model": model, "stream": False, "max_tokens": 9}
        del body["speed"]
        call = Call(
            endpoint="messages",
            request_id="req_1",
            started_at=NOW + timedelta(seconds=at),
            body=json.dumps(body).encode(),
            credential=Credential("bearer", b"sk-client"),
        ).look(10**8)
        data = json.dumps({"id": "x", "choices": [choice], "usage": counts}).encode()
        return drive(traffic.gateway.open(call, started=0.0), [data], status=200, headers=JSON).record

    assert ask("anthropic/claude-sonnet-5", 0, 0).cache_miss == "cold"
    assert ask("gpt-5.5", 0, 0).cache_miss is None


def test_a_defect_of_the_doctor_costs_nobody_an_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    """The call is served, and the record says what happened."""

    def broken(*_: Any, **__: Any) -> None:
        raise KeyError("x")

    for name in ("predict", "observe"):
        with monkeypatch.context() as patched:
            patched.setattr(CacheSimulator, name, broken)
            found = Traffic().send(FIRST, WRITES)
        assert (found.status, found.record.cache_miss) == (200, "doctor_failed KeyError")


def test_memory_has_a_bound() -> None:
    """Entries, sizes, earlier requests and conversations: ten times as many calls, the same memory."""
    traffic = Traffic()
    doctor: Any = traffic.gateway._cache
    doctor._caches["anthropic"] = CacheSimulator(counter=WeightCounter(), limit=64)
    doctor._checkpoints = Checkpoints(sessions=8, blocks=100)
    for number in range(200):
        traffic.send(
            request(user(text(str(number), mark="5m")), system="x" * 17_000), WRITES, session=str(number)
        )
    held = doctor._caches["anthropic"]
    assert len(held) == 64
    assert len(held._predecessors._traces) == 64 // 16
    assert len(doctor._checkpoints) == 8
