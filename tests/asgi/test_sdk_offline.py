"""Anthropic's own SDK as a client of `nexusflow serve --offline`, over a real port."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import anthropic
import anyio
import pytest

from nexusflow_core.simulator import FAILURES
from tests.asgi.serving import Serving, serving

MODEL = "claude-haiku-4-5"
WEATHER: dict[str, Any] = {
    "name": "get_weather",
    "description": "Current weather",
    "input_schema": {
        "type": "object",
        "properties": {"city": {"type": "string"}, "days": {"type": "integer", "minimum": 1}},
        "required": ["city", "days"],
    },
}
TIME: dict[str, Any] = {"name": "get_time", "input_schema": {"type": "object"}}


@pytest.fixture(scope="module")
def running() -> Iterator[Serving]:
    """One process for all calls of this module."""
    with serving("--offline") as served:
        yield served


@pytest.fixture
def client(running: Serving) -> Iterator[anthropic.Anthropic]:
    with anthropic.Anthropic(api_key="sk-ant-anything", base_url=running.url, max_retries=0) as made:
        yield made


def saying(text: str, **fields: Any) -> dict[str, Any]:
    return {"model": MODEL, "max_tokens": 200, "messages": [{"role": "user", "content": text}], **fields}


# Messages


def test_create(client: anthropic.Anthropic) -> None:
    """A message with text and usage, and a request id of its own."""
    message = client.messages.create(**saying("Hello, Claude"))
    assert (message.type, message.role, message.model) == ("message", "assistant", MODEL)
    assert message.stop_reason == "end_turn"
    assert message.content[0].type == "text"
    assert message.content[0].text
    assert message.usage.input_tokens > 0
    assert message.usage.output_tokens > 0
    assert message._request_id


def test_max_tokens_and_stop_sequences(client: anthropic.Anthropic) -> None:
    """Both end the answer, with their own reason."""
    cut = client.messages.create(**saying("simulate 50 tokens", max_tokens=5))
    assert (cut.stop_reason, cut.usage.output_tokens) == ("max_tokens", 5)
    stopped = client.messages.create(**saying("one two three", stop_sequences=["two"]))
    assert (stopped.stop_reason, stopped.stop_sequence) == ("stop_sequence", "two")


def test_a_stream(client: anthropic.Anthropic) -> None:
    """Text arrives piece by piece and folds to the message that the sync call gives."""
    question = saying("tell me, simulate 40 tokens")
    with client.messages.stream(**question) as stream:
        pieces = list(stream.text_stream)
        folded = stream.get_final_message()
    whole = client.messages.create(**question)
    assert len(pieces) > 1
    assert isinstance(folded.content[0], anthropic.types.TextBlock)
    assert isinstance(whole.content[0], anthropic.types.TextBlock)
    assert "".join(pieces) == folded.content[0].text == whole.content[0].text
    assert (folded.usage.input_tokens, folded.usage.output_tokens) == (
        whole.usage.input_tokens,
        whole.usage.output_tokens,
    )
    assert folded.stop_reason == whole.stop_reason == "end_turn"


def test_raw_events(client: anthropic.Anthropic) -> None:
    """`stream=True` gives the events in the order of the grammar."""
    kinds = [event.type for event in client.messages.create(**saying("hello"), stream=True)]
    assert kinds[0] == "message_start"
    assert kinds[-2:] == ["message_delta", "message_stop"]
    assert kinds.count("content_block_start") == kinds.count("content_block_stop") == 1


def test_a_stream_left_early(client: anthropic.Anthropic) -> None:
    """Breaking off does no harm to the next call of the same client."""
    with client.messages.stream(**saying("simulate 5000 tokens", max_tokens=5000)) as stream:
        next(iter(stream.text_stream))
    assert client.messages.create(**saying("hello")).stop_reason == "end_turn"


def test_a_long_conversation(client: anthropic.Anthropic) -> None:
    """300 KB of request over one connection."""
    message = client.messages.create(**saying("word " * 60_000, system="Be brief."))
    assert message.usage.input_tokens > 60_000


# Tools


@pytest.mark.parametrize("choice", [{"type": "any"}, {"type": "tool", "name": "get_weather"}])
def test_a_turn_with_a_tool(client: anthropic.Anthropic, choice: Any) -> None:
    """The tool is called with an input that fits its schema; its result is answered in text."""
    question = saying("Weather in Rome? call get_weather", tools=[TIME, WEATHER])
    first = client.messages.create(**question, tool_choice=choice)
    assert first.stop_reason == "tool_use"
    [call] = [block for block in first.content if block.type == "tool_use"]
    assert call.name == "get_weather"
    assert isinstance(call.input["city"], str)
    assert isinstance(call.input["days"], int)
    assert call.input["days"] >= 1
    result = {"type": "tool_result", "tool_use_id": call.id, "content": "22 degrees"}
    question["messages"] += [
        {"role": "assistant", "content": first.content},
        {"role": "user", "content": [result]},
    ]
    second = client.messages.create(**question)
    assert second.stop_reason == "end_turn"
    assert second.content[-1].type == "text"
    assert second.usage.input_tokens > first.usage.input_tokens


def test_a_streamed_tool_call(client: anthropic.Anthropic) -> None:
    """The pieces of its JSON fold to the input that the sync call gives."""
    question = saying("Weather in Rome?", tools=[WEATHER], tool_choice={"type": "any"})
    with client.messages.stream(**question) as stream:
        folded = stream.get_final_message()
    whole = client.messages.create(**question)
    [streamed] = [block for block in folded.content if block.type == "tool_use"]
    [called] = [block for block in whole.content if block.type == "tool_use"]
    assert (streamed.name, streamed.input) == (called.name, called.input)
    assert folded.stop_reason == "tool_use"


def test_two_tools_at_once(client: anthropic.Anthropic) -> None:
    """Parallel calls have ids of their own."""
    message = client.messages.create(**saying("call get_weather and get_time", tools=[WEATHER, TIME]))
    calls = [block for block in message.content if block.type == "tool_use"]
    assert [call.name for call in calls] == ["get_weather", "get_time"]
    assert len({call.id for call in calls}) == 2


# Counting and models


def test_count_tokens(client: anthropic.Anthropic) -> None:
    """The count is the usage of the same question."""
    question = saying("How long is this?", tools=[WEATHER], system="Be kind.")
    usage = client.messages.create(**question).usage
    del question["max_tokens"]
    assert client.messages.count_tokens(**question).input_tokens == usage.input_tokens


def test_models(client: anthropic.Anthropic) -> None:
    """One can be looked up; the list is a page that can be walked through."""
    model = client.models.retrieve(MODEL)
    assert (model.id, model.type) == (MODEL, "model")
    assert model.display_name
    page = client.models.list(limit=1)
    assert isinstance(page.has_more, bool)
    assert len(page.data) <= 1
    assert len({model.id for model in page}) == len(list(client.models.list(limit=1000)))


def test_an_unknown_model(client: anthropic.Anthropic) -> None:
    """404, for a call and for a look-up."""
    with pytest.raises(anthropic.NotFoundError, match="unheard-of"):
        client.models.retrieve("unheard-of")
    with pytest.raises(anthropic.NotFoundError, match="unheard-of"):
        client.messages.create(**{**saying("hello"), "model": "unheard-of"})


def test_what_is_not_served(client: anthropic.Anthropic) -> None:
    """Batches and files: a 404 that says so, not a hang and not an HTML page."""
    with pytest.raises(anthropic.NotFoundError, match="not served"):
        client.messages.batches.list()
    with pytest.raises(anthropic.NotFoundError, match="not served"):
        client.beta.files.list()


# Errors

RAISED: dict[str, type[anthropic.APIStatusError]] = {
    "invalid_request_error": anthropic.BadRequestError,
    "authentication_error": anthropic.AuthenticationError,
    "permission_error": anthropic.PermissionDeniedError,
    "not_found_error": anthropic.NotFoundError,
    "conflict_error": anthropic.ConflictError,
    "rate_limit_error": anthropic.RateLimitError,
    "api_error": anthropic.InternalServerError,
    "timeout_error": anthropic.InternalServerError,
    "overloaded_error": anthropic.InternalServerError,
}


@pytest.mark.parametrize("kind", FAILURES)
def test_each_error(client: anthropic.Anthropic, kind: str) -> None:
    """Its status, the SDK's class for it, the body with its type, and the request id."""
    with pytest.raises(RAISED.get(kind, anthropic.APIStatusError)) as caught:
        client.messages.create(**saying(f"please simulate error {kind}"))
    assert caught.value.status_code == FAILURES[kind].status
    assert isinstance(caught.value.body, dict)
    assert caught.value.body["error"]["type"] == kind
    assert caught.value.request_id == caught.value.body["request_id"]


@pytest.mark.parametrize("kind", ["overloaded_error", "api_error", "rate_limit_error"])
def test_an_error_before_a_stream(client: anthropic.Anthropic, kind: str) -> None:
    """It keeps its status: nothing had gone out."""
    with (
        pytest.raises(anthropic.APIStatusError) as caught,
        client.messages.stream(**saying(f"simulate error {kind}")),
    ):
        raise AssertionError("a stream was opened")
    assert caught.value.status_code == FAILURES[kind].status


def test_an_error_in_a_stream(client: anthropic.Anthropic) -> None:
    """It is raised, after the text that came before it."""
    pieces: list[str] = []
    with (
        pytest.raises(anthropic.APIStatusError, match="Overloaded"),
        client.messages.stream(**saying("simulate stream error overloaded_error")) as stream,
    ):
        pieces.extend(stream.text_stream)
    assert pieces


def test_a_truncated_stream(client: anthropic.Anthropic) -> None:
    """A stream that the upstream cuts short is an error for the SDK, not a full answer."""
    with (
        pytest.raises(anthropic.APIStatusError, match="ended early"),
        client.messages.stream(**saying("simulate truncation")) as stream,
    ):
        stream.until_done()


def test_a_retry(running: Serving) -> None:
    """The SDK is told to try again where that makes sense, and told not to where it does not."""
    tries: list[str] = []

    def note(request: Any) -> None:
        tries.append(request.headers["x-stainless-retry-count"])

    with anthropic.Anthropic(api_key="sk-ant-x", base_url=running.url, max_retries=1) as client:
        client._client.event_hooks["request"].append(note)
        with pytest.raises(anthropic.BadRequestError):
            client.messages.create(**saying("simulate error invalid_request_error"))
        assert tries == ["0"]
        with pytest.raises(anthropic.InternalServerError):
            client.messages.create(**saying("simulate error overloaded_error"))
        assert tries == ["0", "0", "1"]


# Other ways to ask


def test_the_old_header(running: Serving) -> None:
    """An SDK that sends its key as x-api-key is served as well as one with a bearer token."""
    for options in ({"api_key": "sk-ant-x"}, {"auth_token": "sk-ant-oat-x"}):
        with anthropic.Anthropic(
            base_url=running.url, default_headers={"anthropic-version": "2023-06-01"}, **options
        ) as client:
            assert client.messages.create(**saying("hello")).content
    with anthropic.Anthropic(
        api_key="sk-ant-x", base_url=running.url, default_headers={"x-api-key": "sk-ant-old"}
    ) as client:
        assert client.messages.create(**saying("hello")).content


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_the_async_client(running: Serving, backend: str) -> None:
    """create, stream, count_tokens, models and an error, twenty at once."""

    async def main() -> list[str]:
        texts: list[str] = []
        async with anthropic.AsyncAnthropic(api_key="sk-ant-x", base_url=running.url, max_retries=0) as client:

            async def one(number: int) -> None:
                async with client.messages.stream(**saying(f"my number is {number}")) as stream:
                    message = await stream.get_final_message()
                assert isinstance(message.content[0], anthropic.types.TextBlock)
                assert f"my number is {number}" in message.content[0].text
                texts.append(message.content[0].text)

            async with anyio.create_task_group() as group:
                for number in range(20):
                    group.start_soon(one, number)
            message = await client.messages.create(**saying("hello"))
            question = saying("hello")
            del question["max_tokens"]
            counted = await client.messages.count_tokens(**question)
            assert counted.input_tokens == message.usage.input_tokens
            assert (await client.models.retrieve(MODEL)).id == MODEL
            assert isinstance([model async for model in client.models.list()], list)
            with pytest.raises(anthropic.RateLimitError) as caught:
                await client.messages.create(**saying("simulate error rate_limit_error"))
            assert caught.value.response.headers["retry-after"] == "1"
        return texts

    assert len(set(anyio.run(main, backend=backend))) == 20
