"""Every recorded Chat Completions exchange, translated: the client gets what the recording says.

The recording is read here a second time, by other code than the product's.
"""

import json
import random
import re
from typing import Any

import pytest
from msgspec import Struct

from tests.core.translation.driving import Driven, asking, drive, exchange_of
from tests.core.translation.folding import by_hand, by_sdk
from tests.core.translation.grammar import checked
from tests.traffic import Exchange, exchanges, replay, why_absent

needs_recordings = pytest.mark.skipif(why_absent() is not None, reason=why_absent() or "")

VENDORS = {
    "openai": "openai",
    "azure-openai": "azure",
    "deepseek": "deepseek",
    "qwen-dashscope": "qwen",
    "zai-glm": "glm",
    "mistral": "mistral",
    "groq": "groq",
    "xai": "xai",
    "gemini-openai": "gemini",
    "openrouter": "openrouter",
    "together": "together",
    "ollama": "ollama",
    "llamacpp": "llamacpp",
}
"""The row of each provider; the others need none."""

NOT_PASSING: dict[str, str] = {}
"""Recorded exchanges whose answer is not carried as it was recorded, each with the reason."""


def recorded() -> list[Exchange]:
    """Every recorded POST to Chat Completions that has a body."""
    return [
        exchange
        for exchange in exchanges("openai-chat")
        if exchange.method.upper() == "POST" and exchange.body is not None and exchange.id not in NOT_PASSING
    ]


def replayed(exchange: Exchange, *, seed: int) -> Driven:
    """The exchange's answer, in pieces of any size."""
    dice = random.Random(f"{seed} {exchange.id}")
    data = (exchange.body or "").encode()
    edges = sorted(dice.randrange(len(data) + 1) for _ in range(dice.choice((0, 1, 3, 40))))
    pieces = [data[start:end] for start, end in zip([0, *edges], [*edges, len(data)], strict=True)]
    headers = [(name.encode(), value.encode()) for name, value in exchange.response_headers.items()]
    return drive(
        exchange_of(asking(stream=bool(exchange.stream)), vendor=VENDORS.get(exchange.provider)),
        pieces,
        status=exchange.status,
        headers=headers,
    )


# A second reading of the recordings


class Told(Struct):
    """What a recorded answer says, by a reading of our own. Calls are (id, name, arguments)."""

    text: str
    thinking: str
    calls: list[tuple[str, str, str]]
    refusal: str
    finish: str | None
    native: str | None
    usage: dict[str, Any]
    model: str | None


def told_by(exchange: Exchange) -> Told | None:
    """None for an answer without choices."""
    body = exchange.body or ""
    if exchange.body_is_sse:
        lines = [line[5:].strip() for line in re.split(r"\r\n|\n|\r", body) if line.startswith("data:")]
        parts = [json.loads(line) for line in lines if line != "[DONE]"]
    else:
        parts = [json.loads(body)]
    choices = [c for part in parts for c in part.get("choices") or () if not c.get("index")]
    if not choices:
        return None
    member = "delta" if exchange.body_is_sse else "message"  # Perplexity sends both in either form
    said = [choice.get(member) or {} for choice in choices]
    finishes = [choice["finish_reason"] for choice in choices if choice.get("finish_reason")]
    natives = [choice["native_finish_reason"] for choice in choices if choice.get("native_finish_reason")]
    text, thinking = _untagged("".join(_text(one.get("content")) for one in said), exchange.provider)
    if not exchange.body_is_sse and exchange.provider not in _NO_TAGS and "<think>" not in text:
        before, tag, behind = text.partition("</think>")  # the template had begun the thinking itself
        text, thinking = (behind.lstrip(), thinking + before) if tag else (text, thinking)
    return Told(
        text=text,
        thinking="".join(_reasoning(one) for one in said) + thinking,
        calls=_calls([call for one in said for call in _calls_of(one)]),
        refusal="".join(one.get("refusal") or "" for one in said),
        finish=finishes[0] if finishes else None,
        native=natives[-1] if natives else None,
        usage=_usage(parts),
        model=next((part["model"] for part in reversed(parts) if part.get("model")), None),
    )


def _text(content: Any) -> str:
    if isinstance(content, list):
        return "".join(part["text"] for part in content if part["type"] == "text")
    return json.dumps(content, separators=(",", ":")) if isinstance(content, dict) else content or ""


_NO_TAGS = (
    "openai",
    "azure-openai",
    "deepseek",
    "qwen-dashscope",
    "zai-glm",
    "mistral",
    "xai",
    "gemini-openai",
)


def _untagged(text: str, provider: str) -> tuple[str, str]:
    """Text and thinking, where the thinking stands in tags before the text."""
    found = re.match(r"\s*<think>(.*?)(?:</think>\s*|\Z)", text, re.DOTALL)
    if found is None or provider in _NO_TAGS:
        return text, ""
    return text[found.end() :], found[1]


def _reasoning(said: dict[str, Any]) -> str:
    """Of the fields that say the same, the first."""
    told = said.get("reasoning_content") or said.get("reasoning")
    details = "".join(d.get("text") or d.get("summary") or "" for d in said.get("reasoning_details") or ())
    content = said.get("content")
    parts = [part["thinking"] for part in content if "thinking" in part] if isinstance(content, list) else []
    return (told or details) + "".join(one["text"] for thought in parts for one in thought)


def _calls_of(said: dict[str, Any]) -> list[dict[str, Any]]:
    old = said.get("function_call")
    return [*(said.get("tool_calls") or ()), *([{"index": 0, "function": old}] if old else [])]


def _calls(entries: list[dict[str, Any]]) -> list[tuple[str, str, str]]:
    """A fragment without a name goes on with the call of its index, or with the last one."""
    calls: list[list[Any]] = []
    for entry in entries:
        function = entry.get("function") or {}
        same = [call for call in calls if "index" in entry and call[0] == entry["index"]]
        if function.get("name") and not (same and entry.get("id") in (None, "", same[-1][1])):
            same = [[entry.get("index"), entry.get("id"), function["name"], ""]]
            calls += same
        (same or calls)[-1][3] += function.get("arguments") or ""
    return [(id or "", name, arguments) for _, id, name, arguments in calls]


def _usage(parts: list[dict[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for part in parts:
        for usage in (part.get("usage"), (part.get("x_groq") or {}).get("usage")):
            found.update({name: value for name, value in (usage or {}).items() if value is not None})
    return found


def _counts(usage: dict[str, Any], provider: str) -> dict[str, int]:
    """translation.md 4.4."""
    details = usage.get("prompt_tokens_details") or {}
    prompt, output = usage.get("prompt_tokens") or 0, usage.get("completion_tokens") or 0
    hits = [
        details.get("cached_tokens"),
        *map(usage.get, ("prompt_cache_hit_tokens", "cached_tokens", "num_cached_tokens")),
        usage.get("cache_read_input_tokens"),
    ]
    writes = [details.get("cache_write_tokens"), details.get("cache_creation_input_tokens")]
    read = min(next((hit for hit in hits if hit is not None), 0), prompt)
    write = next((w for w in [*writes, usage.get("cache_creation_input_tokens")] if w is not None), 0)
    write = min(write, prompt - read)
    reasoning = (usage.get("completion_tokens_details") or {}).get("reasoning_tokens") or 0
    if provider == "xai" and usage.get("total_tokens") == prompt + output + reasoning:
        output += reasoning
    return {
        "input_tokens": prompt - read - write,
        "cache_creation_input_tokens": write,
        "cache_read_input_tokens": read,
        "output_tokens": output,
    }


def _stop_reason(told: Told) -> str:
    """translation.md 4.2."""
    if told.refusal or told.finish == "content_filter":
        return "refusal"
    if "length" in (told.finish, told.native) or told.native in (
        "max_output_tokens",
        "max_tokens",
        "MAX_TOKENS",
    ):
        return "max_tokens"
    if told.finish == "model_length":
        return "model_context_window_exceeded"
    return "tool_use" if told.calls else "end_turn"


# What must hold


def same(exchange: Exchange, *, seed: int) -> str:
    """Compares the translation of one exchange with its recording; says what kind it was."""
    driven = replayed(exchange, seed=seed)
    if exchange.status >= 400:
        _same_error(exchange, driven)
        return f"error {exchange.status}"
    assert (driven.status, driven.record.ending) == (200, "complete")
    told = told_by(exchange)
    if exchange.body_is_sse:
        events = checked(driven.body)
        assert events[-1]["type"] == "message_stop"
        message = by_hand(events)
        folded = by_sdk(events)
    else:
        message = folded = driven.json
    assert (message["model"], message["type"], message["role"]) == ("some-model", "message", "assistant")
    if told is None:  # Azure's filter, at 200
        assert "filtered" in (exchange.body or "")
        assert (message["stop_reason"], message["content"]) == ("refusal", [])
        return "filtered"
    _same_answer(exchange, driven, told, message, folded)
    return "SSE" if exchange.body_is_sse else "JSON"


def _same_answer(
    exchange: Exchange, driven: Driven, told: Told, message: dict[str, Any], folded: dict[str, Any]
) -> None:
    texts = [block["text"] for block in message["content"] if block["type"] == "text"]
    said = told.text + told.refusal
    assert "".join(texts) == (said if said.strip() else "")
    assert len(texts) <= 1
    thoughts = [block["thinking"] for block in message["content"] if block["type"] == "thinking"]
    assert "".join(thoughts).strip() == told.thinking.strip()
    assert [block["thinking"] for block in folded["content"] if block["type"] == "thinking"] == thoughts
    uses = [block for block in message["content"] if block["type"] == "tool_use"]
    assert [block["name"] for block in uses] == [name for _, name, _ in told.calls]
    assert len({block["id"] for block in uses}) == len(uses)
    cut = _stop_reason(told) == "max_tokens"
    for block, seen, (id, _, arguments) in zip(uses, folded["content"][-len(uses) :], told.calls, strict=False):
        if re.fullmatch("[a-zA-Z0-9_-]{1,64}", id):
            assert block["id"] == id
        if exchange.body_is_sse and arguments not in ("{}", "null"):
            assert block["arguments"] == arguments, "fragments pass as they are"
        try:
            parsed = json.loads(arguments) if arguments else {}
        except ValueError:
            assert cut, "only a cut answer has broken arguments"
            if not exchange.body_is_sse:
                assert isinstance(block["input"], dict)
                assert "answer.tool_calls.arguments" in driven.dropped
            continue
        assert block["input"] == (parsed or {})
        assert seen["input"] == (parsed or {}), "so the SDK reads it"
    for one in (message, folded):
        assert one["stop_reason"] == _stop_reason(told)
        assert one["stop_sequence"] is None
    _same_usage(exchange, driven, told, message["usage"])
    assert driven.record.response_model == told.model


def _same_usage(exchange: Exchange, driven: Driven, told: Told, usage: dict[str, Any]) -> None:
    if not told.usage:
        assert driven.record.usage_source == "estimated"
        return
    assert driven.record.usage_source == "upstream"
    assert {name: count for name, count in usage.items() if isinstance(count, int)} == _counts(
        told.usage, exchange.provider
    )
    assert driven.record.usage == usage


_NO_MODEL = ("model_not_found", "supported API model names", "Invalid model", "is not a valid model ID")
# A 403 that does not speak of the key is about the call.
_STATUS = {400: 400, 401: 500, 403: 403, 404: 404, 429: 429, 500: 500}


def _same_error(exchange: Exchange, driven: Driven) -> None:
    """translation.md section 7, with a key of the gateway's own."""
    body = exchange.body or ""
    unknown_model = any(words in body for words in _NO_MODEL)
    assert driven.status == (404 if unknown_model else _STATUS[exchange.status])
    error = driven.json["error"]
    assert driven.json["type"] == "error"
    assert driven.json["request_id"] == driven.headers["request-id"] == "req_1"
    assert error["message"]
    assert "http" not in error["message"]
    if unknown_model:
        assert error["message"] == "model: some-model"
    if "exceed_context_size_error" in body:
        assert error["message"].startswith("prompt is too long: ")
    assert (driven.status == 429) <= ("retry-after" in driven.headers)
    assert (exchange.status == 401) <= (driven.headers.get("x-should-retry") == "false")
    assert (exchange.status == 403) <= (error["type"] == "permission_error")


@needs_recordings
def test_a_tenth_of_the_recorded_answers_is_carried() -> None:
    """Every tenth recorded exchange, for the plain run."""
    sample = recorded()[::10]
    assert replay(sample, lambda exchange: same(exchange, seed=1)).total() == len(sample) >= 350


@pytest.mark.recorded
@needs_recordings
def test_every_recorded_answer_is_carried(record_property: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """All of them: text, calls, arguments, stop reason, usage, model, errors; cut anywhere."""
    kinds = replay(recorded(), lambda exchange: same(exchange, seed=2))
    record_property("replayed", kinds.total())
    with capsys.disabled():
        print(f"\ntranslated {kinds.total()} recorded answers: {dict(sorted(kinds.items()))}")
    assert (kinds["JSON"], kinds["SSE"], kinds["filtered"]) == (2524, 981, 1)
    assert sum(count for kind, count in kinds.items() if kind.startswith("error")) == 48
    assert len(NOT_PASSING) == 0
