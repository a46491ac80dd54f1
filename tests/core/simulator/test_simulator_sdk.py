"""The Anthropic SDK as the judge: it reads the answers, and folds a stream to the sync Message."""

from collections.abc import Iterator
from typing import Any

import anthropic
import httpx2
import pytest

from nexusflow_core.simulator import simulate

TOOLS: list[dict[str, Any]] = [
    {
        "name": "get_weather",
        "description": "Current weather",
        "input_schema": {
            "type": "object",
            "properties": {
                "city": {"type": "string", "minLength": 12},
                "days": {"type": "integer", "minimum": 3},
                "unit": {"enum": ["°C", "°F"]},
            },
            "required": ["city"],
        },
    },
    {"name": "get_time", "input_schema": {"type": "object"}},
]
SCHEMA = {"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]}


def answer(request: httpx2.Request) -> httpx2.Response:
    """One call of the simulator as a transport."""
    path = request.url.path
    simulated = simulate(path, request.headers.raw, request.content)
    return httpx2.Response(simulated.status, headers=list(simulated.headers), content=simulated.body)


@pytest.fixture
def client() -> Iterator[anthropic.Anthropic]:
    with anthropic.Anthropic(
        api_key="sk-ant-anything",
        base_url="http://simulator",
        max_retries=0,
        http_client=httpx2.Client(transport=httpx2.MockTransport(answer)),
    ) as made:
        yield made


def asked(text: str, **fields: Any) -> dict[str, Any]:
    """Arguments of messages.create."""
    return {
        "model": "claude-opus-4-7",
        "max_tokens": 500,
        "messages": [{"role": "user", "content": text}],
        **fields,
    }


CASES = {
    "text": asked("hello there, Jürgen 🙂"),
    "one tool": asked("call get_weather", tools=TOOLS),
    "two tools": asked("call get_weather and get_time", tools=TOOLS),
    "any tool": asked("hello", tools=TOOLS, tool_choice={"type": "any"}),
    "thinking": asked("hello", thinking={"type": "adaptive"}),
    "thinking omitted": asked("hello", thinking={"type": "adaptive", "display": "omitted"}),
    "thinking, tool": asked("call get_time", tools=TOOLS, thinking={"type": "enabled", "budget_tokens": 1024}),
    "structured": asked("hello", output_config={"format": {"type": "json_schema", "schema": SCHEMA}}),
    "stop sequence": asked("one two three", stop_sequences=["two"]),
    "cut": asked("simulate 50 tokens", max_tokens=20),
    "nothing": asked("hello", max_tokens=0),
    "cached": asked(
        "hello", system=[{"type": "text", "text": "Be kind.", "cache_control": {"type": "ephemeral"}}]
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_sdk_folds_the_stream_to_the_sync_message(client: anthropic.Anthropic, case: str):
    """Both ways give one Message, apart from the ids, which depend on the body."""
    whole = client.messages.create(**CASES[case])
    with client.messages.stream(**CASES[case]) as stream:
        folded = stream.get_final_message()
    assert without_ids(folded) == without_ids(whole)


def without_ids(message: anthropic.types.Message) -> dict[str, Any]:
    fields = message.model_dump()
    for holder in (fields, *fields["content"]):
        holder.pop("id", None)
        holder.pop("signature", None)
        holder.pop("parsed_output", None)
    return fields


@pytest.mark.parametrize(
    ("kind", "raised"),
    [
        ("invalid_request_error", anthropic.BadRequestError),
        ("authentication_error", anthropic.AuthenticationError),
        ("permission_error", anthropic.PermissionDeniedError),
        ("not_found_error", anthropic.NotFoundError),
        ("conflict_error", anthropic.ConflictError),
        ("rate_limit_error", anthropic.RateLimitError),
        ("api_error", anthropic.InternalServerError),
    ],
)
def test_sdk_raises_its_own_class_for_each_error(
    client: anthropic.Anthropic, kind: str, raised: type[anthropic.APIStatusError]
):
    """An application that catches the SDK's errors can be tried out."""
    with pytest.raises(raised) as caught:
        client.messages.create(**asked(f"please simulate error {kind}"))
    assert caught.value.request_id is not None


def test_sdk_raises_on_an_error_in_the_stream(client: anthropic.Anthropic):
    """An error event after the first text is an APIStatusError for whoever iterates."""
    with (
        pytest.raises(anthropic.APIStatusError, match="Overloaded"),
        client.messages.stream(**asked("simulate stream error overloaded_error")) as stream,
    ):
        stream.until_done()


def test_sdk_counts_tokens(client: anthropic.Anthropic):
    """count_tokens and the usage of the answer are one estimate."""
    sent = asked("hello there", tools=TOOLS)
    usage = client.messages.create(**sent).usage
    sent.pop("max_tokens")
    assert client.messages.count_tokens(**sent).input_tokens == usage.input_tokens
