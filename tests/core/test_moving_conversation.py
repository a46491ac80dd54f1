"""One conversation with tools and thinking that moves from vendor to vendor and back: each gets its own
reasoning and nobody else's, and Anthropic never sees a block that we made."""

import json
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import Any

import pytest

from nexusflow_asgi.settings import OFFLINE
from nexusflow_core import Call, CallRecord, Gateway, decode_config
from nexusflow_core.exchange import Read, Send
from nexusflow_core.messages.marks import read_mark
from tests.core.translation.folding import by_sdk
from tests.simulator import simulate
from tests.traffic import exchanges, why_absent

Upstream = Callable[[str, bytes], tuple[int, list[tuple[bytes, bytes]], Iterable[bytes]]]

NOW = datetime(2026, 11, 22, tzinfo=UTC)
TOOLS = [
    {"name": "get_weather", "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}}}
]
CLAUDE, DEEPSEEK, QWEN, GPT = "claude-sonnet-4-5", "deepseek-v4-pro", "qwen3.7-plus", "gpt-5.6"
KEYS = ("ANTHROPIC_API_KEY", "OPENAI_API_KEY", "DASHSCOPE_API_KEY", "DEEPSEEK_API_KEY")


class Conversation:
    """What an agent keeps: every turn as it came, sent back whole each time."""

    def __init__(self, upstream: Upstream) -> None:
        config = decode_config(OFFLINE)
        config.resolve(dict.fromkeys(KEYS, "sk-x"))
        self.messages: list[dict[str, Any]] = []
        self.sent: list[dict[str, Any]] = []
        self.records: list[CallRecord] = []
        self._gateway = Gateway(config)
        self._upstream = upstream

    def turn(self, model: str, content: Any, *, stream: bool) -> list[dict[str, Any]]:
        """A user's turn to this model; returns the answer's content, which joins the history."""
        self.messages.append({"role": "user", "content": content})
        body = {
            "model": model,
            "max_tokens": 4000,
            "stream": stream,
            "tools": TOOLS,
            "thinking": {"type": "enabled", "budget_tokens": 2000},
            "messages": self.messages,
        }
        out = self._drive(json.dumps(body).encode(), len(self.records))
        message = by_sdk(_events(out)) if stream else json.loads(out)
        assert "content" in message, message
        self.messages.append({"role": "assistant", "content": message["content"]})
        answer: list[dict[str, Any]] = message["content"]
        return answer

    def _drive(self, body: bytes, number: int) -> bytes:
        call = Call(endpoint="messages", request_id=f"req_{number}", started_at=NOW, body=body).look(10**8)
        exchange = self._gateway.open(call, started=0.0)
        exchange.start(0.0)
        assert isinstance(exchange.order, Send), exchange.record(0.0)
        request = exchange.order.request
        self.sent.append(json.loads(request.body))
        status, headers, chunks = self._upstream(request.url, request.body)
        out = [exchange.receive_head(status, headers, 0.0)]
        for chunk in chunks:
            if isinstance(exchange.order, Read):
                out.append(exchange.receive_data(chunk, 0.0))
        if isinstance(exchange.order, Read):
            out.append(exchange.receive_eof(0.0))
        self.records.append(exchange.record(0.0))
        assert self.records[-1].ending == "complete", out
        return b"".join(out)


def _events(out: bytes) -> list[dict[str, Any]]:
    return [json.loads(line[6:]) for line in out.split(b"\n") if line.startswith(b"data: ")]


def results(content: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """What an agent answers: a result for each call, else a word."""
    calls = [block["id"] for block in content if block["type"] == "tool_use"]
    made = [{"type": "tool_result", "tool_use_id": id, "content": "18 degrees"} for id in calls]
    return made or [{"type": "text", "text": "go on"}]


def simulated(url: str, body: bytes) -> tuple[int, list[tuple[bytes, bytes]], Iterable[bytes]]:
    """The simulator."""
    keys = [(b"x-api-key", b"sk-x"), (b"authorization", b"Bearer sk-x"), (b"anthropic-version", b"2023-06-01")]
    answer = simulate(url, keys, body)
    return answer.status, list(answer.headers), answer.chunks


def marked(content: Any) -> list[str]:
    """Whose marks stand in a turn."""
    found = [read_mark(block.get("signature") or block.get("data") or "") for block in content]
    return [mark.vendor for mark in found if mark is not None]


@pytest.mark.parametrize("stream", [False, True])
def test_six_turns_against_the_simulator(stream: bool) -> None:
    """compat -> claude -> compat, twice over, with calls open at each move."""
    talk = Conversation(simulated)
    said: Any = "call get_weather. simulate quirk reasoning"
    for model in (DEEPSEEK, CLAUDE, DEEPSEEK, QWEN, CLAUDE, DEEPSEEK):
        answer = talk.turn(model, said, stream=stream)
        said = [*results(answer), {"type": "text", "text": "call get_weather. simulate quirk reasoning"}]
    turns = [message["content"] for message in talk.messages if message["role"] == "assistant"]
    assert [marked(turn) for turn in turns] == [["deepseek"], [], ["deepseek"], ["qwen"], [], ["deepseek"]]
    for sent, record in zip(talk.sent, talk.records, strict=True):
        if sent["model"] == CLAUDE:
            assert "nxf1." not in json.dumps(sent), "Anthropic sees none of ours"
            assert record.edits
    thoughts = [m.get("reasoning_content") for m in talk.sent[-1]["messages"] if m["role"] == "assistant"]
    own = [turn[0]["thinking"] for turn in (turns[0], turns[2])]
    assert thoughts == [own[0], " ", own[1], " ", " "], "its own thoughts, and blanks where others thought"
    assert "nxf1." not in json.dumps(talk.sent[3]), "nor does another vendor"


@pytest.mark.parametrize("stream", [False, True])
def test_items_of_reasoning_return_to_their_model_only(stream: bool) -> None:
    """A model of the Responses API gets its own encrypted items, each before the item that it led to."""
    talk = Conversation(simulated)
    said: Any = "call get_weather and get_weather. simulate thoughts between"
    for model in (GPT, CLAUDE, GPT, DEEPSEEK, GPT):
        answer = talk.turn(model, said, stream=stream)
        said = [*results(answer), {"type": "text", "text": "go on. simulate quirk reasoning"}]
    turns = [message["content"] for message in talk.messages if message["role"] == "assistant"]
    vendors = [{vendor.partition("@")[0] for vendor in marked(turn)} for turn in turns]
    assert vendors == [{"openai"}, set(), {"openai"}, {"deepseek"}, {"openai"}]
    assert "nxf1." not in json.dumps(talk.sent)
    kinds = [item["type"] for item in talk.sent[-1]["input"] if item.get("role") != "user"]
    call = ["message", "reasoning", "function_call"]
    outputs = 2 * ["function_call_output"]
    assert kinds == ["reasoning", *call, *call, *outputs, "message", "reasoning", "message", "message"]
    sealed = [item["encrypted_content"] for item in talk.sent[-1]["input"] if item["type"] == "reasoning"]
    assert len(set(sealed)) == 4


@pytest.mark.recorded
@pytest.mark.skipif(why_absent() is not None, reason=why_absent() or "")
def test_six_turns_of_recorded_answers() -> None:
    """Answers of DeepSeek and Claude with thinking and calls, as recorded, three of each in turn."""
    deepseek = [
        e for e in exchanges("openai-chat", provider="deepseek") if _thinks(e.body, "reasoning_content")
    ]
    claude = [e for e in exchanges("anthropic") if _thinks(e.body, '"signature"')]
    moved = 0
    for pair in range(0, min(len(deepseek), len(claude)) - 2, 3):
        streams = [
            (one, answer)
            for couple in zip(deepseek[pair : pair + 3], claude[pair : pair + 3], strict=True)
            for one, answer in zip((DEEPSEEK, CLAUDE), couple, strict=True)
        ]
        talk = Conversation(_replaying([answer for _, answer in streams]))
        said: Any = "hello"
        for model, answer in streams:
            said = results(talk.turn(model, said, stream=answer.body_is_sse))
        for sent in talk.sent:
            assert (sent["model"] != CLAUDE) or ("nxf1." not in json.dumps(sent))
        moved += 1
    assert moved >= 5


def _thinks(body: str | None, word: str) -> bool:
    return body is not None and word in body and '"error"' not in body


def _replaying(answers: list[Any]) -> Upstream:
    rest = enumerate(answers)

    def upstream(url: str, body: bytes) -> tuple[int, list[tuple[bytes, bytes]], Iterable[bytes]]:
        number, answer = next(rest)
        kind = b"text/event-stream" if answer.body_is_sse else b"application/json"
        return (
            answer.status,
            [(b"content-type", kind)],
            [answer.body.replace("_REDACTED_", f"_{number}_").encode()],
        )  # ids that the recorder made alike

    return upstream
