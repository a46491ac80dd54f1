"""The anthropic SDK sends other models documents, schemas and client tools, on a real port."""

import base64
import json
from collections.abc import Iterator
from typing import Any

import anthropic
import pytest

from nexusflow_asgi import NexusFlow
from nexusflow_asgi.settings import OFFLINE
from nexusflow_core import decode_config
from tests.servers import RecordingHook, Served

SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {"city": {"type": "string"}},
    "required": ["city"],
    "additionalProperties": False,
}
PDF = base64.standard_b64encode(b"%PDF-1.7").decode()


@pytest.fixture(scope="module")
def hook() -> RecordingHook:
    return RecordingHook()


@pytest.fixture(scope="module")
def client(hook: RecordingHook) -> Iterator[anthropic.Anthropic]:
    gateway = NexusFlow(config=decode_config(OFFLINE), transport="offline", hooks=[hook])
    with (
        Served(gateway) as served,
        anthropic.Anthropic(api_key="x", base_url=served.url, max_retries=0) as made,
    ):
        yield made


def asked(client: anthropic.Anthropic, **members: Any) -> anthropic.types.Message:
    request: Any = {"max_tokens": 500, "messages": [{"role": "user", "content": "Which city?"}], **members}
    return client.messages.create(**request)


@pytest.mark.parametrize(
    ("model", "dropped"), [("gpt-5.5", []), ("deepseek-v4-flash", ["output_config.format"])]
)
def test_a_schema(client: anthropic.Anthropic, hook: RecordingHook, model: str, dropped: list[str]) -> None:
    """The answer is JSON: of that schema where the vendor enforces it, named where it does not."""
    output = {"format": {"type": "json_schema", "schema": SCHEMA}}
    before = len(hook.records)
    message = asked(client, model=model, output_config=output)
    answer = message.content[-1]
    assert answer.type == "text"
    assert dropped or list(json.loads(answer.text)) == ["city"]
    lost = [loss.path for loss in hook.wait(before + 1)[-1].dropped]
    assert [path for path in lost if path.startswith("output_config")] == dropped


def test_documents_and_a_client_tool(client: anthropic.Anthropic, hook: RecordingHook) -> None:
    """A PDF, a text and bash go to a vendor that takes all three, and nothing is lost."""
    source = {"type": "base64", "media_type": "application/pdf", "data": PDF}
    text = {"type": "text", "media_type": "text/plain", "data": "Paris"}
    blocks = [
        {"type": "document", "source": source, "title": "A"},
        {"type": "document", "source": text},
        {"type": "text", "text": "Which city?"},
    ]
    before = len(hook.records)
    message = asked(
        client,
        model="gpt-5.5",
        messages=[{"role": "user", "content": blocks}],
        tools=[{"type": "bash_20250124", "name": "bash"}],
        tool_choice={"type": "any"},
    )
    assert [block.name for block in message.content if block.type == "tool_use"] == ["bash"]
    assert not hook.wait(before + 1)[-1].dropped


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ({"tools": [{"type": "web_search_20250305", "name": "web_search"}]}, "web_search"),
        ({"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]}, "prefill"),
    ],
)
def test_what_cannot_be_is_a_bad_request(client: anthropic.Anthropic, members: Any, message: str) -> None:
    """Of the client's making, with a message that names it."""
    with pytest.raises(anthropic.BadRequestError, match=message):
        asked(client, model="gpt-5.5", **members)
