"""Configuration: what is wrong is said with its place; what is right becomes routes and upstreams."""

import pytest

from nexusflow_core import ConfigError, Gateway, NotFound, Timeouts, decode_config

GOOD = """
[upstreams.anthropic]
dialect = "anthropic"
api_key = "env:ANTHROPIC_API_KEY"

[upstreams.zai]
dialect = "anthropic"
base_url = "https://api.z.ai/api/anthropic/"
auth = "bearer"
connections = 7
timeouts = { idle = 30, connect = 2.5 }

[[routes]]
model = "claude-*"
targets = ["anthropic"]

[[routes]]
model = "fast"
targets = ["anthropic/claude-haiku-4-5", "zai/org/glm-5"]

[auth]
keys = ["env:NEXUSFLOW_KEY"]

[log]
calls = "calls.jsonl"

[limits]
body_bytes = 1000
"""


def test_a_whole_file() -> None:
    """Every table of it arrives."""
    config = decode_config(GOOD.encode())
    anthropic, zai = config.upstreams["anthropic"], config.upstreams["zai"]
    assert (anthropic.base_url, anthropic.timeouts) == ("https://api.anthropic.com", Timeouts())
    assert (zai.base_url, zai.auth, zai.connections) == ("https://api.z.ai/api/anthropic", "bearer", 7)
    assert (zai.timeouts.idle, zai.timeouts.connect) == (30, 2.5)
    assert [(t.upstream.name, t.model) for t in config.routes[1].targets] == [
        ("anthropic", "claude-haiku-4-5"),
        ("zai", "org/glm-5"),
    ]
    assert (config.call_log, config.limits.body_bytes, config.anonymous) == ("calls.jsonl", 1000, False)
    config.resolve({"ANTHROPIC_API_KEY": "a", "NEXUSFLOW_KEY": "b"})
    assert [key.reveal() for key in config.keys] == ["b"]


UPSTREAM = '[upstreams.a]\ndialect = "anthropic"\n'


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x = [", "not valid TOML"),
        ("\x00", "not valid TOML"),
        ("[upstream.a]", "unknown field `upstream`"),
        ("[upstreams.a]", "upstreams.a: Object missing required field `dialect`"),
        ('[upstreams.a]\ndialect = "soap"', "upstreams.a.dialect: 'soap' is not one of anthropic"),
        ('[upstreams."a/b"]\ndialect = "anthropic"', "upstreams.a/b: a name has letters"),
        ('[upstreams.a]\ndialect = "openai-chat"', "upstreams.a.base_url: is missing"),
        (UPSTREAM + "colour = 1", "upstreams.a: Object contains unknown field `colour`"),
        (UPSTREAM + "connections = 0", "upstreams.a.connections: must be at least 1"),
        (UPSTREAM + 'connections = "x"', "upstreams.a.connections: Expected `int`"),
        (UPSTREAM + "timeouts = { idle = 0 }", "upstreams.a.timeouts.idle: must be a finite"),
        (UPSTREAM + "timeouts = { idle = inf }", "upstreams.a.timeouts.idle: must be a finite"),
        (UPSTREAM + "timeouts = { idel = 1 }", "upstreams.a.timeouts: Object contains unknown field `idel`"),
        (UPSTREAM + 'api_key = "sk-ant-literal"', "upstreams.a.api_key: write the name"),
        (UPSTREAM + 'auth = "basic"', "upstreams.a.auth: Invalid enum value"),
        (UPSTREAM + 'base_url = "ftp://x"', "upstreams.a.base_url: must be an absolute"),
        (UPSTREAM + 'base_url = "https://user:pw@x"', "upstreams.a.base_url: must have no user"),
        (UPSTREAM + 'base_url = "https://x/?a=1"', "upstreams.a.base_url: must have no user"),
        (UPSTREAM + 'base_url = "https://x/#"', "upstreams.a.base_url: must have no user"),
        (UPSTREAM + 'base_url = "http://[::1"', "upstreams.a.base_url: is no URL: Invalid IPv6 URL"),
        (UPSTREAM + 'base_url = "http://x:99999"', "upstreams.a.base_url: is no URL: Port out of range"),
        (UPSTREAM + 'base_url = "http://x:y"', "upstreams.a.base_url: is no URL: Port could not be"),
        (UPSTREAM + 'base_url = "https://x/\u00e4"', "upstreams.a.base_url: must be printable ASCII"),
        (UPSTREAM + 'base_url = "https://x/a b"', "upstreams.a.base_url: must be printable ASCII"),
        (UPSTREAM + 'base_url = "https://x/v1/messages"', "upstreams.a.base_url: must end before"),
        ('[[routes]]\nmodel = "x"\ntargets = ["b"]', r"routes\[0\].targets\[0\]: no upstream is called 'b'"),
        (UPSTREAM + '[[routes]]\nmodel = ""\ntargets = ["a"]', r"routes\[0\].model: is empty"),
        (UPSTREAM + '[[routes]]\nmodel = "x"\ntargets = []', r"routes\[0\].targets: is empty"),
        (UPSTREAM + '[[routes]]\nmodel = "x"\ntargets = ["a"]\n' * 2, "has a route already"),
        ('[auth]\nkeys = ["plain"]', r"auth.keys\[0\]: write the name"),
        ("[limits]\nbody_bytes = 0", "limits.body_bytes"),
        ("[limits]\nbody_seconds = -1.0", "limits.body_seconds"),
    ],
)
def test_a_mistake_is_named_with_its_place(text: str, message: str) -> None:
    """And a key that was written into the file is not repeated in the complaint."""
    with pytest.raises(ConfigError, match=message) as caught:
        decode_config(text.encode())
    assert "sk-ant-literal" not in str(caught.value)
    assert "pw@" not in str(caught.value)


def test_anthropics_own_address_has_anthropics_prices() -> None:
    """However it is written, and nobody else's has by itself."""
    for line, prices in (
        ("", "anthropic"),
        ('base_url = "https://api.anthropic.com/"', "anthropic"),
        ('base_url = "https://x"', None),
    ):
        assert decode_config((UPSTREAM + line).encode()).upstreams["a"].prices == prices


ROUTES = """
[upstreams.a]
dialect = "anthropic"
[[routes]]
model = "claude-*"
targets = ["a/pattern"]
[[routes]]
model = "claude-opus-4-7"
targets = ["a/exact"]
[[routes]]
model = "*[1m]"
targets = ["a/brackets"]
[[routes]]
model = "claude-opus-*"
targets = ["a/later"]
"""


@pytest.mark.parametrize(
    ("model", "target"),
    [
        ("claude-opus-4-7", "exact"),
        ("claude-opus-4-70", "pattern"),
        ("claude-", "pattern"),
        ("gpt-5[1m]", "brackets"),
        ("gpt-5", None),
        ("xclaude-a", None),
        ("", None),
        ("claude-\n", "pattern"),
    ],
)
def test_exact_names_go_before_patterns_and_patterns_by_their_order(model: str, target: str | None) -> None:
    """Brackets and dots are letters; nothing matches a part of a name."""
    gateway = Gateway(decode_config(ROUTES.encode()))
    if target is None:
        with pytest.raises(NotFound, match="model: "):
            gateway._router.find(model)
    else:
        route = gateway._router.find(model)
        assert route.targets[0].model == target
