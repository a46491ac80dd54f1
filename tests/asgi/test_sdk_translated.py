"""The anthropic SDK against models that are not Claude, several turns with tools, on a real port."""

from collections.abc import Iterator
from typing import Any

import anthropic
import pytest

from nexusflow_asgi.settings import OFFLINE
from nexusflow_core import decode_config
from tests.servers import RecordingHook
from tests.simulator.offline import odd_client

MODELS = ["gpt-5.5", "qwen3.8-max", "deepseek-v4-flash"]
TOOLS: list[Any] = [
    {
        "name": "get_weather",
        "description": "The weather of a city",
        "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
    {"name": "get_time", "input_schema": {"type": "object", "properties": {}}},
]


@pytest.fixture(scope="module")
def hook() -> RecordingHook:
    return RecordingHook()


@pytest.fixture(scope="module")
def client(hook: RecordingHook) -> Iterator[anthropic.Anthropic]:
    with odd_client(decode_config(OFFLINE), hook) as made:
        yield made


def asked(client: anthropic.Anthropic, stream: bool, **request: Any) -> anthropic.types.Message:
    if not stream:
        return client.messages.create(**request)
    with client.messages.stream(**request) as events:
        return events.get_final_message()


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("model", MODELS)
def test_a_text(client: anthropic.Anthropic, model: str, stream: bool) -> None:
    """The answer is a Message of the model that was asked for, with usage."""
    message = asked(
        client,
        stream,
        model=model,
        max_tokens=500,
        system="Be brief.",
        messages=[{"role": "user", "content": "Hello"}],
    )
    assert (message.model, message.role, message.stop_reason) == (model, "assistant", "end_turn")
    assert message.content[-1].type == "text"
    assert "Hello" in message.content[-1].text
    assert message.usage.input_tokens > 0
    assert message.usage.output_tokens > 0
    assert message.id.startswith("msg_")


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("model", MODELS)
def test_a_conversation_with_parallel_tools(client: anthropic.Anthropic, model: str, stream: bool) -> None:
    """Two calls in one turn, their results, an answer, and a question after it."""
    messages: list[Any] = [{"role": "user", "content": "Please call get_weather and get_time"}]
    first = asked(client, stream, model=model, max_tokens=500, tools=TOOLS, messages=messages)
    calls = [block for block in first.content if block.type == "tool_use"]
    assert first.stop_reason == "tool_use"
    assert [call.name for call in calls] == ["get_weather", "get_time"]
    assert isinstance(calls[0].input, dict)
    assert isinstance(calls[0].input["city"], str)
    results = [
        {"type": "tool_result", "tool_use_id": calls[0].id, "content": "sunny"},
        {"type": "tool_result", "tool_use_id": calls[1].id, "content": "no clock", "is_error": True},
    ]
    messages += [{"role": "assistant", "content": first.content}, {"role": "user", "content": results}]
    second = asked(client, stream, model=model, max_tokens=500, tools=TOOLS, messages=messages)
    assert second.stop_reason == "end_turn"
    text = "".join(block.text for block in second.content if block.type == "text")
    assert "no clock" in text or "sunny" in text
    messages += [{"role": "assistant", "content": second.content}, {"role": "user", "content": "Thanks"}]
    third = asked(client, stream, model=model, max_tokens=500, tools=TOOLS, messages=messages)
    assert third.stop_reason == "end_turn"


@pytest.mark.parametrize("stream", [False, True])
def test_the_sdk_runs_the_tools_itself(client: anthropic.Anthropic, stream: bool) -> None:
    """Its tool runner goes on from turn to turn until no tool is called. It asks for a thread first, and does
    without one where the refusal says so in the words that it looks for."""
    ran: list[str] = []

    @anthropic.beta_tool
    def get_weather(city: str) -> str:
        """The weather of a city

        Args:
            city: its name
        """
        ran.append(city)
        return f"sunny in {city}"

    runner: Any = client.beta.messages.tool_runner(
        model="gpt-5.5",
        max_tokens=500,
        tools=[get_weather],
        messages=[{"role": "user", "content": "Please call get_weather"}],
        stream=stream,
    )
    turns = [turn.get_final_message() if stream else turn for turn in runner]
    assert [turn.stop_reason for turn in turns] == ["tool_use", "end_turn"]
    assert len(ran) == 1
    assert f"sunny in {ran[0]}" in turns[-1].content[-1].text


@pytest.mark.parametrize("stream", [False, True])
def test_a_forced_tool(client: anthropic.Anthropic, stream: bool) -> None:
    """`tool_choice` any and a named tool are obeyed."""
    for choice in ({"type": "any"}, {"type": "tool", "name": "get_weather"}):
        message = asked(
            client,
            stream,
            model="gpt-5.5",
            max_tokens=500,
            tools=TOOLS,
            tool_choice=choice,
            messages=[{"role": "user", "content": "Hello"}],
        )
        assert [block.name for block in message.content if block.type == "tool_use"] == ["get_weather"]


@pytest.mark.parametrize("stream", [False, True])
def test_stop_sequences_and_max_tokens(client: anthropic.Anthropic, stream: bool) -> None:
    """A stop string that the vendor is not given is found on the text, and named."""
    hello: Any = {"model": "gpt-5.5", "messages": [{"role": "user", "content": "one two three four five"}]}
    stopped = asked(client, stream, max_tokens=500, stop_sequences=["three"], **hello)
    assert (stopped.stop_reason, stopped.stop_sequence) == ("stop_sequence", "three")
    assert "four" not in "".join(block.text for block in stopped.content if block.type == "text")
    assert asked(client, stream, max_tokens=2, **hello).stop_reason == "max_tokens"


@pytest.mark.parametrize(
    ("kind", "error"),
    [
        ("invalid_request_error", anthropic.BadRequestError),
        ("not_found_error", anthropic.NotFoundError),
        ("rate_limit_error", anthropic.RateLimitError),
        ("api_error", anthropic.InternalServerError),
        ("overloaded_error", anthropic.InternalServerError),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
def test_errors(
    client: anthropic.Anthropic, kind: str, error: type[anthropic.APIStatusError], stream: bool
) -> None:
    """Each type of error comes as the SDK's own exception."""
    with pytest.raises(error) as caught:
        asked(
            client,
            stream,
            model="qwen3.8-max",
            max_tokens=5,
            messages=[{"role": "user", "content": f"simulate error {kind}"}],
        )
    assert caught.value.request_id is not None
    body: Any = caught.value.body
    assert body["error"]["type"] == kind


def test_a_stream_that_is_cut_short_is_an_error(client: anthropic.Anthropic) -> None:
    """Never a made-up end_turn."""
    with pytest.raises(anthropic.APIStatusError) as caught:
        asked(
            client,
            True,
            model="deepseek-v4-flash",
            max_tokens=500,
            messages=[{"role": "user", "content": "simulate truncation"}],
        )
    assert "closed the stream early" in str(caught.value)


def test_what_is_lost_is_named(client: anthropic.Anthropic, hook: RecordingHook) -> None:
    """In a header and in the record."""
    before = len(hook.records)
    raw = client.messages.with_raw_response.create(
        model="gpt-5.5",
        max_tokens=50,
        extra_body={"temperature": 0.5, "top_k": 5, "thinking": {"type": "enabled", "budget_tokens": 1024}},
        messages=[{"role": "user", "content": "Hello"}],
    )
    named = raw.headers["x-nexusflow-warning"].split("; ")
    assert {"temperature dropped", "top_k dropped", "thinking.budget_tokens dropped"} <= set(named)
    record = hook.wait(before + 1)[-1]
    assert {"temperature", "top_k", "thinking.budget_tokens"} <= {loss.path for loss in record.dropped}


def test_counting_is_right_or_absent(client: anthropic.Anthropic) -> None:
    """No vendor's count is made up: 404, and the client counts for itself."""
    with pytest.raises(anthropic.NotFoundError):
        client.messages.count_tokens(model="qwen3.8-max", messages=[{"role": "user", "content": "Hello"}])


def test_the_models_are_listed_with_their_prices(client: anthropic.Anthropic) -> None:
    """Patterns show what the price book knows of their vendor."""
    ids = {model.id for model in client.models.list(limit=1000)}
    assert {"claude-opus-4-7", "gpt-5.5", "qwen3.8-max", "deepseek-v4-flash"} <= ids
