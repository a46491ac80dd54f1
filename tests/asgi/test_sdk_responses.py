"""The anthropic SDK on a route of the Responses API, before a simulator that enforces the rules for earlier
turns: calls and outputs, reasoning before the very item that it led to, no ids, efforts of each model."""

from collections.abc import Iterator
from typing import Any

import anthropic
import pytest

from nexusflow_asgi.settings import OFFLINE
from nexusflow_core import decode_config
from tests.asgi.test_sdk_translated import TOOLS, asked
from tests.servers import RecordingHook
from tests.simulator.offline import odd_client

MODELS = ["gpt-6-astra", "gpt-5.6", "gpt-5.4", "gpt-5.5", "gpt-5"]
CALLS = "Please call get_weather and get_time. simulate thoughts between"
ANSWERED = ["thinking", "text"]
CALLED = ["thinking", *(2 * ["text", "thinking", "tool_use"])]


@pytest.fixture(scope="module")
def hook() -> RecordingHook:
    return RecordingHook()


@pytest.fixture(scope="module")
def client(hook: RecordingHook) -> Iterator[anthropic.Anthropic]:
    with odd_client(decode_config(OFFLINE), hook) as made:
        yield made


def kinds(message: anthropic.types.Message) -> list[str]:
    """The types of an answer's blocks."""
    return [block.type for block in message.content]


def results(message: anthropic.types.Message) -> list[Any]:
    """A result for each call of an answer."""
    calls = [block.id for block in message.content if block.type == "tool_use"]
    return [{"type": "tool_result", "tool_use_id": id, "content": "18 degrees"} for id in calls]


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("display", ["summarized", "omitted"])
@pytest.mark.parametrize("model", MODELS)
def test_ten_turns_with_reasoning_and_tools(
    client: anthropic.Anthropic, hook: RecordingHook, model: str, display: str, stream: bool
) -> None:
    """Five questions, each answered by parallel calls with thoughts between them, and then by a text. All of
    it goes back each time, and the upstream takes it."""
    before = len(hook.records)
    messages: list[Any] = []

    def turn(content: Any) -> anthropic.types.Message:
        messages.append({"role": "user", "content": content})
        thinking = {"type": "adaptive", "display": display}
        asking: dict[str, Any] = {"model": model, "max_tokens": 4000, "tools": TOOLS, "thinking": thinking}
        answer = asked(client, stream, **asking, messages=messages)
        messages.append({"role": "assistant", "content": answer.content})
        return answer

    for _ in range(5):
        called = turn(CALLS)
        assert (called.stop_reason, kinds(called)) == ("tool_use", CALLED)
        shown = [block.thinking for block in called.content if block.type == "thinking"]
        assert all(shown) if display == "summarized" else not any(shown)
        answered = turn(results(called))
        assert (answered.stop_reason, kinds(answered)) == ("end_turn", ANSWERED)
        assert answered.content[-1].text == "The tool returned: 18 degrees; 18 degrees"  # type: ignore[union-attr]
    records = hook.wait(before + 10)[before:]
    assert not [loss for record in records for loss in record.dropped if "content[" in loss.path]


@pytest.mark.parametrize(
    ("kind", "error", "retry_after"),
    [
        ("rate_limit_error", anthropic.RateLimitError, "1"),
        ("billing_error", anthropic.APIStatusError, None),
    ],
)
def test_a_limit_told_inside_a_stream_keeps_its_status(
    client: anthropic.Anthropic, kind: str, error: type[anthropic.APIStatusError], retry_after: str | None
) -> None:
    """The upstream answers 200 and then says that a limit is reached, before any output."""
    with pytest.raises(error) as caught:
        asked(
            client,
            True,
            model="gpt-5.6",
            max_tokens=500,
            messages=[{"role": "user", "content": f"simulate stream error {kind}"}],
        )
    assert caught.value.status_code == {"rate_limit_error": 429, "billing_error": 402}[kind]
    assert caught.value.response.headers.get("retry-after") == retry_after


def test_an_error_after_the_first_word_is_an_event(client: anthropic.Anthropic) -> None:
    """The answer has begun by then, so its status stays."""
    with pytest.raises(anthropic.APIStatusError) as caught:
        asked(
            client,
            True,
            model="gpt-5.6",
            max_tokens=500,
            messages=[{"role": "user", "content": "simulate stream error overloaded_error"}],
        )
    body: Any = caught.value.body
    assert (caught.value.status_code, body["error"]["type"]) == (200, "overloaded_error")


def test_tokens_are_counted_by_the_upstream(client: anthropic.Anthropic) -> None:
    """The count is the input of the same request."""
    request: dict[str, Any] = {
        "model": "gpt-5.6",
        "system": "Be brief.",
        "tools": TOOLS,
        "messages": [{"role": "user", "content": "Hello"}],
    }
    counted = client.messages.count_tokens(**request)
    message = asked(client, False, max_tokens=500, **request)
    assert counted.input_tokens == message.usage.input_tokens


def test_cached_and_written_tokens_are_counted_apart(client: anthropic.Anthropic) -> None:
    """A first turn writes what its marker ends; the next one reads it."""
    block: dict[str, Any] = {"type": "text", "text": "word " * 2000, "cache_control": {"type": "ephemeral"}}
    messages: list[Any] = [{"role": "user", "content": [block, {"type": "text", "text": "Hello"}]}]
    first = client.messages.create(model="gpt-5.6", max_tokens=500, messages=messages).usage
    assert (first.cache_creation_input_tokens or 0) > 2000
    assert first.cache_read_input_tokens == 0
    messages += [{"role": "assistant", "content": "Hi."}, {"role": "user", "content": "Bye"}]
    second = client.messages.create(model="gpt-5.6", max_tokens=500, messages=messages).usage
    assert second.cache_read_input_tokens == first.cache_creation_input_tokens
    assert second.cache_creation_input_tokens == 0
