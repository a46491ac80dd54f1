"""`GET /v1/models` for models of every kind: what the SDK reads of it, and what Claude Code finds in it."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import anthropic
import pytest

from nexusflow_asgi import NexusFlow
from nexusflow_core import Gateway, decode_config
from nexusflow_core.routing import Router
from tests.servers import RawClient, Served

CONFIG = """
[upstreams.anthropic]
dialect = "anthropic"

[upstreams.zai]
dialect = "anthropic"
vendor = "glm"
base_url = "http://offline/zai"

[upstreams.openai]
dialect = "openai-chat"
vendor = "openai"
base_url = "http://offline/openai"

[upstreams.deepseek]
dialect = "openai-chat"
vendor = "deepseek"
base_url = "http://offline/deepseek"

[upstreams.local]
dialect = "openai-chat"
base_url = "http://offline/local"

[[routes]]
model = "claude-glm"
targets = ["zai/glm-4.6"]

[[routes]]
model = "claude-sol"
targets = ["openai/gpt-5.6-sol"]
display_name = "GPT 5.6 Sol"

[[routes]]
model = "claude-flash"
targets = ["deepseek/deepseek-v4-flash"]

[[routes]]
model = "claude-mine"
targets = ["local/my-model"]

[[routes]]
model = "gpt-5.5"
targets = ["openai"]

[[routes]]
model = "claude-haiku-*"
targets = ["anthropic"]

[auth]
anonymous = true
"""


@pytest.fixture(scope="module")
def served() -> Iterator[Served]:
    with Served(NexusFlow(config=decode_config(CONFIG.encode()), transport="offline")) as made:
        yield made


@pytest.fixture
def client(served: Served) -> Iterator[anthropic.Anthropic]:
    with anthropic.Anthropic(api_key="x", base_url=served.url, max_retries=0) as made:
        yield made


def listed(config: str) -> dict[str, dict[str, Any]]:
    gateway = Gateway(decode_config(config.encode()))
    return {model["id"]: model for model in gateway.models(datetime(2026, 11, 22, tzinfo=UTC))}


def test_the_sdk_reads_every_model(client: anthropic.Anthropic) -> None:
    """All fields that it has, of aliases and of models by their own names."""
    models = {model.id: model for model in client.models.list(limit=1000)}
    assert list(models)[:5] == ["claude-glm", "claude-sol", "claude-flash", "claude-mine", "gpt-5.5"]
    assert {"claude-haiku-4-5", "claude-haiku-5-5"} < set(models)
    for model in models.values():
        strict = type(model).model_validate(model.model_dump())
        assert strict.type == "model"
        assert strict.lifecycle in ("active", "deprecated", "retired")
        assert strict.created_at.year >= 1970
    assert client.models.retrieve("claude-sol") == models["claude-sol"]


def test_an_alias_shows_the_model_behind_it(client: anthropic.Anthropic) -> None:
    """In its display name, its limits and its price; or the name that the route gives it."""
    models = {model.id: model for model in client.models.list(limit=1000)}
    shown = {id: models[id].display_name for id in list(models)[:5]}
    assert shown == {
        "claude-glm": "glm-4.6",
        "claude-sol": "GPT 5.6 Sol",
        "claude-flash": "deepseek-v4-flash",
        "claude-mine": "my-model",
        "gpt-5.5": "gpt-5.5",
    }
    raw = listed(CONFIG)
    assert raw["claude-glm"]["price"]["row"] == "zai/glm-4.6"
    assert raw["claude-sol"]["price"]["cache_write_5m"] == "5"
    assert raw["claude-sol"]["max_input_tokens"] == models["claude-sol"].max_input_tokens
    assert "price" not in raw["claude-mine"]


def test_capabilities_where_they_are_known(client: anthropic.Anthropic) -> None:
    """Of a vendor with a row: what is carried there. Of the others nothing is said."""
    models = {model.id: model for model in client.models.list(limit=1000)}
    sol, flash = models["claude-sol"].capabilities, models["claude-flash"].capabilities
    assert sol is not None
    assert flash is not None
    assert (sol.image_input.supported, flash.image_input.supported) == (True, False)
    assert (sol.pdf_input.supported, flash.pdf_input.supported) == (True, False)
    assert (sol.structured_outputs.supported, flash.structured_outputs.supported) == (True, False)
    assert sol.effort.max.supported
    assert (flash.effort.low.supported, flash.effort.medium.supported) == (True, False)
    assert flash.thinking.supported
    assert flash.thinking.types.disabled.supported
    assert not sol.server_tools.supported
    assert not sol.citations.supported
    for model in ("claude-glm", "claude-mine", "claude-haiku-4-5"):
        assert models[model].capabilities is None


def test_claude_codes_discovery(served: Served) -> None:
    """`GET /v1/models?limit=1000` at once, without a redirect: of what it gets it takes the ids that begin with
    claude or anthropic, so that any model can be offered under such a name."""
    with RawClient(served.port, timeout=3.0) as client:
        client.send(b"GET /v1/models?limit=1000 HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer x\r\n\r\n")
        head = client.head()
        page = json.loads(client.rest())
    assert head.status == 200
    assert head.value(b"location") is None
    assert page["has_more"] is False
    found = {model["id"]: model["display_name"] for model in page["data"]}
    taken = [id for id in found if id.startswith(("claude", "anthropic"))]
    assert taken[:4] == ["claude-glm", "claude-sol", "claude-flash", "claude-mine"]
    assert "gpt-5.5" not in taken
    assert all(found.values())


def test_a_pattern_that_sends_all_of_claude_elsewhere() -> None:
    """Its names are offered still, each as what it stands for."""
    config = CONFIG.replace(
        '"claude-haiku-*"\ntargets = ["anthropic"]', '"claude-haiku-*"\ntargets = ["zai/glm-4.6"]'
    )
    models = listed(config)
    assert models["claude-haiku-4-5"]["display_name"] == "glm-4.6"
    assert models["claude-haiku-4-5"]["price"]["row"] == "zai/glm-4.6"


def test_a_model_on_its_way_out() -> None:
    """Its days are told as far as they are known."""
    models = listed(CONFIG.replace("claude-haiku-*", "claude-sonnet-4-5*"))
    sonnet = models["claude-sonnet-4-5"]
    assert sonnet["lifecycle"] == "deprecated"
    assert str(sonnet["retires_at"]).startswith("2026-11-30")


def test_the_list_is_made_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two hundred patterns are matched with the first request alone. The price is that of each moment."""
    matched = 0
    serves = Router.serves

    def counted(router: Router, model: str) -> bool:
        nonlocal matched
        matched += 1
        return serves(router, model)

    monkeypatch.setattr(Router, "serves", counted)
    patterns = "".join(f'[[routes]]\nmodel = "*-{i}-x"\ntargets = ["anthropic"]\n' for i in range(200))
    gateway = Gateway(decode_config((CONFIG + patterns).encode()))
    night, day = (datetime(2026, 11, 16, hour, tzinfo=UTC) for hour in (2, 12))
    first = {model["id"]: model for model in gateway.models(night)}
    once = matched
    assert 0 < once < 2000
    second = {model["id"]: model for model in gateway.models(day)}
    assert matched == once
    assert first.keys() == second.keys()
    peak, plain = (models["claude-flash"]["price"]["input"] for models in (first, second))
    assert float(peak) == 2 * float(plain)
