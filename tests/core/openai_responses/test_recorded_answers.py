"""Every recorded Responses exchange, translated: the client gets what the recording says.

The recording is read here a second time, by other code than the product's.
"""

import json
import random
import re
from collections.abc import Callable
from typing import Any

import pytest
from msgspec import Struct

from tests.core.openai_responses.answering import DIALECT
from tests.core.translation.driving import Driven, asking, drive, exchange_of
from tests.core.translation.folding import by_hand, by_sdk
from tests.core.translation.grammar import checked
from tests.traffic import Exchange, exchanges, replay, why_absent

needs_recordings = pytest.mark.skipif(why_absent("responses") is not None, reason=why_absent("responses") or "")

VENDORS = {
    "openai": "openai",
    "azure": "azure",
    "xai": "xai",
    "openrouter": "openrouter",
    "deepseek": "deepseek",
    "bedrock": "bedrock",
    "github-copilot": "github-copilot",
    "openai-chatgpt": "chatgpt",
    "lmstudio": "lmstudio",
    "llamacpp": "llamacpp",
    "vllm": "vllm",
}
"""The row of each provider; the others need none."""

EDITED = {"braintrustdata.braintrust-sdk-javascript": 10, "neilberkman.req_llm": 2, "vercel.ai": 1}
"""Streams whose publisher changed deltas or whole texts, so that they differ. A client got the deltas."""

NO_ANSWERS: dict[str, str] = {
    "response.compaction": "an answer of the endpoint that compacts, which the gateway never calls",
    "response.input_tokens": "an answer of the endpoint that counts tokens",
    "queued": "the beginning of an answer in the background, which the gateway never asks for",
}
"""Recorded exchanges that are no answer to a call, by their kind, each with the reason."""


def recorded() -> list[Exchange]:
    return list(exchanges(within="responses"))


def replayed(exchange: Exchange, *, seed: int) -> Driven:
    """The exchange's answer, in pieces of any size."""
    dice = random.Random(f"{seed} {exchange.id}")
    data = (exchange.body or "").encode()
    edges = sorted(dice.randrange(len(data) + 1) for _ in range(dice.choice((0, 1, 3, 40))))
    pieces = [data[start:end] for start, end in zip([0, *edges], [*edges, len(data)], strict=True)]
    headers = [(name.encode(), value.encode()) for name, value in exchange.response_headers.items()]
    return drive(
        exchange_of(
            asking(stream=exchange.body_is_sse), dialect=DIALECT, vendor=VENDORS.get(exchange.provider)
        ),
        pieces,
        status=exchange.status,
        headers=headers,
    )


# A second reading of the recordings


class Told(Struct):
    """What a recorded answer says. Blocks are ("text" | "thinking" | "call", what)."""

    blocks: list[tuple[Any, ...]]
    response: dict[str, Any]
    hosted: list[str]
    refusal: str
    edited: bool = False


def told_by(exchange: Exchange) -> Told:
    """The items of the whole answer, or of the events that ended each item."""
    body = exchange.body or ""
    if not exchange.body_is_sse:
        response: dict[str, Any] = json.loads(body)
        return _told(response.get("output") or [], response, exchange.provider)
    events = [json.loads(line[5:]) for line in body.splitlines() if line.startswith("data: {")]
    ends = [e["response"] for e in events if e["type"] in ("response.completed", "response.incomplete")]
    failed = [e["response"] for e in events if e["type"] == "response.failed"]
    ended = {e["output_index"]: e["item"] for e in events if e["type"] == "response.output_item.done"}
    pieces: dict[int, str] = {}
    for e in events:
        if e["type"] in _PIECES:
            pieces[e["output_index"]] = pieces.get(e["output_index"], "") + e["delta"]
    edited = [_as_streamed(ended[at], said) for at, said in pieces.items() if at in ended]
    told = _told([ended[at] for at in sorted(ended)], (ends or failed)[-1], exchange.provider)
    told.edited = any(edited)
    return told


_PIECES = ("response.output_text.delta", "response.refusal.delta", "response.function_call_arguments.delta")


def _as_streamed(item: dict[str, Any], said: str) -> bool:
    """Gives an item the text of its deltas where its own is another one; says whether it was."""
    holder, member = item, "arguments"
    if item["type"] == "message":
        holder, member = item["content"][0], "refusal" if "refusal" in item["content"][0] else "text"
    if holder[member].startswith(said):
        return False
    holder[member] = said
    return True


def _told(items: list[dict[str, Any]], response: dict[str, Any], provider: str) -> Told:
    told = Told([], response, [], "")
    for item in items:
        if item["type"] == "message":
            for part in item["content"]:
                text = part.get("text") or part.get("refusal") or ""
                told.refusal += part.get("refusal") or ""
                thought = re.match(r"\s*<think>(.*?)(?:</think>\s*|\Z)", text, re.DOTALL)
                if thought is not None and provider in ("vllm", "llamacpp", "mistralrs", "local"):
                    told.blocks += [("thinking", thought[1])] if thought[1].strip() else []
                    text = text[thought.end() :]
                told.blocks += [("text", text)] if text.strip() else []
        elif item["type"] == "reasoning":
            parts = item.get("summary") or item.get("content") or []
            text = "\n\n".join(part["text"] for part in parts if part["text"])
            if text:
                told.blocks.append(("thinking", text))
            elif item.get("encrypted_content"):
                told.blocks.append(("redacted",))
        elif item["type"] == "function_call":
            told.blocks.append(("call", item["name"], item["arguments"], item["call_id"]))
        elif item["type"] == "compaction":
            told.blocks.append(("compaction",))
        else:
            told.hosted.append(item["type"])
    return told


def _counts(usage: dict[str, Any]) -> dict[str, int]:
    details = usage.get("input_tokens_details") or {}
    read, written = details.get("cached_tokens") or 0, details.get("cache_write_tokens") or 0
    return {
        "input_tokens": usage["input_tokens"] - read - written,
        "cache_creation_input_tokens": written,
        "cache_read_input_tokens": read,
        "output_tokens": usage["output_tokens"],
    }


def _stop_reason(told: Told, provider: str) -> str:
    calls = any(block[0] == "call" for block in told.blocks)
    if told.response["status"] == "incomplete":
        reason = told.response["incomplete_details"]["reason"]
        return {"max_output_tokens": "max_tokens", "content_filter": "refusal"}[reason]
    if provider == "vllm" and told.response["usage"]["output_tokens"] >= 100 and not calls:
        return "max_tokens"  # what was asked for here
    return "tool_use" if calls else "refusal" if told.refusal else "end_turn"


# What must hold


def same(exchange: Exchange, driven: Driven, *, model: str = "some-model") -> str:
    """Compares the translation of one exchange with its recording; says what kind it was."""
    if exchange.status >= 400:
        _same_error(exchange, driven, model)
        return f"error {exchange.status}"
    if not exchange.body_is_sse:
        members = json.loads(exchange.body or "")
        for kind in (members.get("object"), members.get("status")):
            if kind in NO_ANSWERS:
                assert driven.status == 502
                assert driven.record.ending == "error"
                return kind
    told = told_by(exchange)
    if told.response["status"] == "failed":
        code = told.response["error"]["code"]
        assert driven.status == {"rate_limit_exceeded": 429, "insufficient_quota": 402}[code]
        return "failed inside 200"
    assert (driven.status, driven.record.ending) == (200, "complete")
    if exchange.body_is_sse:
        events = checked(driven.body)
        assert events[-1]["type"] == "message_stop"
        message = by_hand(events)
        known = all(block["type"] != "compaction" for block in message["content"])  # at the SDK's `messages`
        folded = by_sdk(events) if known else message
        _same_as_whole(exchange, told, message)
    else:
        message = folded = driven.json
    _same_answer(exchange, driven, told, message, folded)
    if told.edited:
        return f"SSE edited by {exchange.id.rpartition('-')[0]}"
    return "SSE" if exchange.body_is_sse else "JSON"


def _same_as_whole(exchange: Exchange, told: Told, message: dict[str, Any]) -> None:
    whole = answered_whole(exchange, told)
    assert whole["stop_reason"] == message["stop_reason"]
    if not told.edited and message["stop_reason"] != "max_tokens":  # a cut input is read only as far as it goes
        assert _shown(whole) == _shown(message)
    if told.response["usage"]["input_tokens"]:
        assert whole["usage"] == message["usage"]


def answered_whole(exchange: Exchange, told: Told) -> dict[str, Any]:
    """The same answer, where it comes whole."""
    events = [json.loads(line[5:]) for line in (exchange.body or "").splitlines() if line.startswith("data: {")]
    items = {e["output_index"]: e["item"] for e in events if e["type"] == "response.output_item.done"}
    body = json.dumps({**told.response, "output": [items[at] for at in sorted(items)]}).encode()
    opened = exchange_of(asking(stream=False), dialect=DIALECT, vendor=VENDORS.get(exchange.provider))
    message: dict[str, Any] = drive(
        opened, [body], status=200, headers=[(b"content-type", b"application/json")]
    ).json
    return message


def _shown(message: dict[str, Any]) -> list[Any]:
    """Each block without its signature, of which a stream's may hold more."""
    return sorted(
        (
            block["type"],
            block.get("text") or block.get("thinking") or json.dumps(block.get("input") or {}, sort_keys=True),
        )
        for block in message["content"]
    )


_BLOCKS: dict[str, Callable[[dict[str, Any]], tuple[Any, ...]]] = {
    "text": lambda block: ("text", block["text"]),
    "thinking": lambda block: ("thinking", block["thinking"]),
    "redacted_thinking": lambda block: ("redacted",),
    "compaction": lambda block: ("compaction",),
    "tool_use": lambda block: ("call", block["name"]),
}


def _same_answer(
    exchange: Exchange, driven: Driven, told: Told, message: dict[str, Any], folded: dict[str, Any]
) -> None:
    blocks = [_BLOCKS[block["type"]](block) for block in message["content"]]
    expected = [block[:2] for block in told.blocks]
    if "items interleave" in exchange.features or "items interleave" in exchange.framing:
        blocks, expected = sorted(blocks), sorted(expected)
    assert blocks == expected
    assert [_BLOCKS[block["type"]](block) for block in folded["content"]] == [
        _BLOCKS[block["type"]](block) for block in message["content"]
    ]
    uses = [block for block in message["content"] if block["type"] == "tool_use"]
    calls = [block for block in told.blocks if block[0] == "call"]
    cut = message["stop_reason"] == "max_tokens"
    for use, (_, _, arguments, id) in zip(uses, calls, strict=True):
        assert use["id"] == id
        try:
            parsed = json.loads(arguments) if arguments else {}
        except ValueError:
            assert cut, "only a cut answer has broken arguments"
            continue
        assert use["input"] == parsed
    for one in (message, folded):
        assert one["stop_reason"] == _stop_reason(told, exchange.provider)
    for kind in told.hosted:
        assert f"answer.{kind}" in driven.dropped
    assert {path for path in driven.dropped if path.startswith("answer.")} <= {
        *(f"answer.{kind}" for kind in told.hosted),
        *(("answer.message", "answer.tool_calls.arguments") if told.edited else ()),
        "answer.annotations",
    }
    usage = message["usage"]
    assert driven.record.response_model == told.response["model"]
    if not told.response["usage"]["total_tokens"]:  # zeros, although there was a prompt
        assert driven.record.usage_source == "estimated"
        return
    assert driven.record.usage_source == "upstream"
    counts = {name: count for name, count in usage.items() if isinstance(count, int)}
    assert counts == _counts(told.response["usage"])


_NO_MODEL = ("model_not_found", "Model not found")


def _same_error(exchange: Exchange, driven: Driven, model: str) -> None:
    body = exchange.body or ""
    error = driven.json["error"]
    expected = {400: 400, 401: 500, 429: 402 if "insufficient_quota" in body else 429}[exchange.status]
    if any(words in body for words in _NO_MODEL):
        expected = 404
        assert error["message"] == f"model: {model}"
    elif "Incorrect API key" in body:
        expected = 500
    assert driven.status == expected
    assert driven.json["request_id"] == driven.headers["request-id"]
    assert error["message"]
    assert "http" not in error["message"]


@needs_recordings
def test_a_tenth_of_the_recorded_answers_is_carried() -> None:
    """Every tenth recorded exchange, for the plain run."""
    sample = recorded()[::10]
    assert (
        replay(sample, lambda exchange: same(exchange, replayed(exchange, seed=1))).total()
        == len(sample)
        >= 180
    )


@pytest.mark.recorded
@needs_recordings
def test_every_recorded_answer_is_carried(capsys: pytest.CaptureFixture[str]) -> None:
    """All of them: blocks in order, arguments, stop reason, usage, model, errors; cut anywhere."""
    kinds = replay(recorded(), lambda exchange: same(exchange, replayed(exchange, seed=2)))
    with capsys.disabled():
        print(f"\ntranslated {kinds.total()} recorded answers: {dict(sorted(kinds.items()))}")
    assert kinds.total() == 1859
    edited = {kind.rpartition(" ")[2]: count for kind, count in kinds.items() if "edited" in kind}
    assert edited == EDITED
