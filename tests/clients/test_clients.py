"""Real clients in environments of their own, against a gateway that is mounted on a real port."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from starlette.applications import Starlette
from starlette.routing import Mount

from nexusflow_asgi import NexusFlow
from nexusflow_core import decode_config
from tests.matrix.environments import PYTHONS, environment, plain_environ
from tests.servers import RecordingHook, Served

pytestmark = pytest.mark.matrix

SCRIPTS = Path(__file__).parent / "scripts"
SECONDS = 120
KEY = "nxf-client"
CONFIG = b"""
[upstreams.anthropic]
dialect = "anthropic"
api_key = "env:ANTHROPIC_API_KEY"

[upstreams.openai]
dialect = "openai-chat"
vendor = "openai"
base_url = "http://offline/openai"
api_key = "env:OPENAI_API_KEY"

[upstreams.responses]
dialect = "openai-responses"
vendor = "openai"
base_url = "http://offline/openai"
api_key = "env:OPENAI_API_KEY"

[[routes]]
model = "claude-responses"
targets = ["responses/gpt-5.6"]

[[routes]]
model = "claude-translated"
targets = ["openai/gpt-5.4"]

[[routes]]
model = "claude-*"
targets = ["anthropic"]

[auth]
keys = ["env:NEXUSFLOW_KEY"]
"""
EVERYTHING = ("sync", "stream", "tool", "stream_tool")


class Client(NamedTuple):
    """A client's environment, its script, and what of it is shown."""

    name: str
    script: str
    shows: tuple[str, ...] = EVERYTHING
    python: str = PYTHONS[0]
    smoke: bool = False

    @property
    def id(self) -> str:
        return f"{self.name}-py{self.python}"

    @property
    def result(self) -> tuple[str, ...]:
        """Where its results belong: see tests/matrix/results.py."""
        return "clients", self.name, self.python


CLIENTS = [
    Client("anthropic-0", "anthropic_sdk.py"),
    *(Client("anthropic-2", "anthropic_sdk.py", python=python, smoke=True) for python in PYTHONS),
    Client("langchain", "langchain_anthropic_.py"),
    Client("pydantic-ai", "pydantic_ai_.py"),
    Client("instructor", "instructor_.py", shows=("tool", "stream_tool")),
    Client("litellm", "litellm_.py"),
    Client("anthropic-js", "anthropic_sdk.mjs", smoke=True),
    Client("ai-sdk", "ai_sdk.mjs"),
]


class Gateway(NamedTuple):
    url: str
    hook: RecordingHook


@pytest.fixture
def gateway(monkeypatch: pytest.MonkeyPatch) -> Iterator[Gateway]:
    """The simulator behind a gateway in a Starlette mount, with a gateway key."""
    monkeypatch.setenv("NEXUSFLOW_KEY", KEY)
    hook = RecordingHook()
    ours = NexusFlow(config=decode_config(CONFIG), transport="offline", hooks=[hook])
    app = Starlette(routes=[Mount("/llm", ours)], lifespan=ours.lifespan)
    with Served(app) as served:
        yield Gateway(f"{served.url}/llm", hook)


@pytest.mark.parametrize(
    "client",
    [pytest.param(c, id=c.id, marks=[pytest.mark.smoke] if c.smoke else []) for c in CLIENTS],
)
@pytest.mark.parametrize("model", ["claude-haiku-4-5", "claude-translated", "claude-responses"])
def test_a_client(client: Client, model: str, gateway: Gateway) -> None:
    """Text and tools, sync and streamed: both ways say the same, and every call has its record."""
    found = run(client, gateway.url, model)
    assert set(found) == set(client.shows)
    if "sync" in found:
        sync, stream = found["sync"], found["stream"]
        assert "hello" in sync["text"]
        assert stream == sync
        assert min(sync["usage"]) > 0
    [[name, arguments]] = found["tool"]["calls"]
    assert name in ("get_weather", "Weather")
    assert isinstance(arguments["city"], str)
    assert found["stream_tool"]["calls"] == found["tool"]["calls"]
    assert found["tool"].get("answer", "text")

    records = gateway.hook.records
    assert {record.ending for record in records} == {"complete"}
    assert {record.principal for record in records} == {"NEXUSFLOW_KEY"}
    assert {record.model for record in records} == {model}
    assert True in {record.stream for record in records}
    if client.name != "pydantic-ai":  # which streams what may take long, and adds it up
        assert False in {record.stream for record in records}
    assert all(record.usage for record in records)
    if "sync" in found and client.name != "litellm":
        used = next(record.usage for record in records if record.usage)
        assert found["sync"]["usage"] == [used["input_tokens"], used["output_tokens"]]


def run(client: Client, url: str, model: str) -> dict[str, Any]:
    """What the client's script printed."""
    made = environment(client.name, client.python)
    script = SCRIPTS / client.script
    if script.suffix == ".mjs":  # packages are looked up from where a script stands
        script = Path(shutil.copy(script, made.folder))
        command = [made.node, script]
    else:
        command = [made.python, script]
    environ = plain_environ({"NO_COLOR": "1", "LITELLM_LOCAL_MODEL_COST_MAP": "True"})
    done = subprocess.run(
        [*command, url, KEY, model], env=environ, capture_output=True, text=True, timeout=SECONDS
    )
    assert done.returncode == 0, done.stderr[-3000:]
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result
