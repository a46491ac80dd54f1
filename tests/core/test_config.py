"""Configuration: what is wrong is said with its place; what is right becomes routes and upstreams."""

import time
from datetime import UTC, datetime

import pytest

from nexusflow_core import ConfigError, Gateway, NotFoundError, Timeouts, decode_config
from nexusflow_core.errors import CombinedConfigError

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
retry = { attempts = 4, deadline = 60 }
thinking = "strip"

[auth]
keys = ["env:NEXUSFLOW_KEY"]

[log]
calls = "calls.jsonl"
durable = true

[limits]
body_bytes = 1000

[retry]
attempts = 2
max_wait = 5
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
    assert [(r.retry.attempts, r.retry.deadline, r.retry.max_wait, r.thinking) for r in config.routes] == [
        (2, 3600.0, 5, "keep"),
        (4, 60, 5, "strip"),
    ]
    assert config.durable
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
        ('[upstreams."a/b"]\ndialect = "anthropic"', "upstreams.a/b: a name may contain only letters"),
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
        (UPSTREAM + 'base_url = ""', "upstreams.a.base_url: must be an absolute"),
        (UPSTREAM + '[[routes]]\nmodel = " "\ntargets = ["a"]', r"routes\[0\].model: is empty"),
        (UPSTREAM + 'base_url = "https://user:pw@x"', "upstreams.a.base_url: must have no user"),
        (UPSTREAM + 'base_url = "https://x/?a=1"', "upstreams.a.base_url: must have no user"),
        (UPSTREAM + 'base_url = "https://x/#"', "upstreams.a.base_url: must have no user"),
        (UPSTREAM + 'base_url = "http://[::1"', "upstreams.a.base_url: is not a URL: Invalid IPv6 URL"),
        (UPSTREAM + 'base_url = "http://x:99999"', "upstreams.a.base_url: is not a URL: Port out of range"),
        (UPSTREAM + 'base_url = "http://x:y"', "upstreams.a.base_url: is not a URL: Port could not be"),
        (UPSTREAM + 'base_url = "https://x/\u00e4"', "upstreams.a.base_url: must be printable ASCII"),
        (UPSTREAM + 'base_url = "https://x/a b"', "upstreams.a.base_url: must be printable ASCII"),
        (UPSTREAM + 'base_url = "unix:"', "upstreams.a.base_url: must be unix:/PATH"),
        (UPSTREAM + 'base_url = "unix:a.sock"', "upstreams.a.base_url: must be unix:/PATH"),
        (UPSTREAM + 'base_url = "unix:///run/"', "upstreams.a.base_url: must be unix:/PATH"),
        (UPSTREAM + 'base_url = "unix:/a.sock:v1"', "upstreams.a.base_url: must be unix:/PATH"),
        (UPSTREAM + 'base_url = "unix:/a.sock?b"', "upstreams.a.base_url: must have no query"),
        (UPSTREAM + f'base_url = "unix:/{"a" * 103}"', "upstreams.a.base_url: the socket's path must have at"),
        (UPSTREAM + 'base_url = "unix:/a.sock:/v1/messages"', "upstreams.a.base_url: must end before"),
        (UPSTREAM + 'base_url = "https://x/v1/messages"', "upstreams.a.base_url: must end before"),
        ('[[routes]]\nmodel = "x"\ntargets = ["b"]', r"routes\[0\].targets\[0\]: no upstream is called 'b'"),
        (UPSTREAM + '[[routes]]\nmodel = ""\ntargets = ["a"]', r"routes\[0\].model: is empty"),
        (UPSTREAM + '[[routes]]\nmodel = "x"\ntargets = []', r"routes\[0\].targets: is empty"),
        (UPSTREAM + '[[routes]]\nmodel = "x"\ntargets = ["a"]\n' * 2, "another route already has the model"),
        ('[auth]\nkeys = ["plain"]', r"auth.keys\[0\]: write the name"),
        ("[limits]\nbody_bytes = 0", "limits.body_bytes"),
        ("[limits]\nbody_seconds = -1.0", "limits.body_seconds"),
        ("[limits]\ncalls = 0", "limits.calls: must be at least 1"),
        ("[limits]\nqueue = -1", "limits.queue: must be at least 0"),
        ("[limits]\nping_seconds = 16.0", "limits.ping_seconds: must be above 0 and at most 15"),
        ("[log]\ndurable = true", "log.durable: needs a file"),
        ("[retry]\nattempts = 0", "retry.attempts: must be at least 1"),
        ("[retry]\nmax_wait = 61", "retry.max_wait: must be a number of seconds from 0 to 60"),
        ("[retry]\ndeadline = inf", "retry.deadline: must be a finite"),
        (
            UPSTREAM + '[[routes]]\nmodel = "x"\ntargets = ["a"]\nretry = { tries = 1 }',
            r"routes\[0\].retry: Object contains unknown field `tries`",
        ),
        (
            UPSTREAM + '[[routes]]\nmodel = "x"\ntargets = ["a"]\nthinking = "drop"',
            r"routes\[0\].thinking: Invalid enum value",
        ),
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


@pytest.mark.parametrize(
    ("written", "base_url"),
    [
        ("unix:/run/a.sock", "unix:/run/a.sock:"),
        ("unix:/run/a.sock:", "unix:/run/a.sock:"),
        ("unix:/run/a.sock:/", "unix:/run/a.sock:"),
        ("unix:/run/a.sock:/api/x/", "unix:/run/a.sock:/api/x"),
    ],
)
def test_a_unix_socket(written: str, base_url: str) -> None:
    """A path can be appended to what is kept, as to a URL."""
    config = decode_config((UPSTREAM + f'base_url = "{written}"').encode())
    assert config.upstreams["a"].base_url == base_url


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
        with pytest.raises(NotFoundError, match="model: "):
            gateway._router.find(model)
    else:
        route = gateway._router.find(model)
        assert route.targets[0].model == target


# Everything at once


WRONG = """\
[upstream.x]
[upstreams.anthropic]
dialect = "anthropic"
strict = true
base_url = "https://api.anthropic.com/v1"
timeouts = { idel = 3, connect = 0 }

[upstreams.qwen]
dialect = "openai-chat"
base_url = "http://x/v1"
vendor = "qwne"
conections = 3
auth = "baerer"

[[routes]]
model = "a"
targets = ["anthropic"]
max_tokens = 4

[[routes]]
model = "b"
targets = [
  "anthropic",
  "antropic/claude",  # the fallback
]
retry = { attempts = 0 }

[limits]
calls = 0
"""


def complaints(text: str, source: str = "nexusflow.toml") -> list[str]:
    """What is said of a file, line by line."""
    with pytest.raises(CombinedConfigError) as caught:
        decode_config(text.encode(), source)
    assert caught.value.errors[0].path in str(caught.value)
    return str(caught.value).splitlines()


def test_every_mistake_is_told_at_once() -> None:
    """Each with file, line, place, and the name that was probably meant."""
    told = complaints(WRONG)
    for line, start, end in [
        (1, "upstream: ", "(did you mean 'upstreams'?)"),
        (4, "upstreams.anthropic.strict: has no effect", "this setting is for translated dialects"),
        (5, "upstreams.anthropic.base_url: must end before /v1", "is appended"),
        (6, "upstreams.anthropic.timeouts: ", "(did you mean 'idle'?)"),
        (6, "upstreams.anthropic.timeouts.connect: ", "above 0"),
        (11, "upstreams.qwen.vendor: no vendor is called 'qwne' (did you mean 'qwen'?)", ""),
        (12, "upstreams.qwen: ", "(did you mean 'connections'?)"),
        (13, "upstreams.qwen.auth: ", "(did you mean 'bearer'?)"),
        (18, "routes[0].max_tokens: has no effect", "this setting is for translated dialects"),
        (24, "routes[1].targets[1]: no upstream is called 'antropic' (did you mean 'anthropic'?)", ""),
        (26, "routes[1].retry.attempts: ", "at least 1"),
        (29, "limits.calls: ", "at least 1"),
    ]:
        [found] = [one for one in told if one.startswith(f"nexusflow.toml:{line}: {start}")]
        assert found.endswith(end)
        told.remove(found)
    assert told == []


def test_the_lines_of_a_text_are_said_too() -> None:
    """A host that has its configuration in a variable has no file to name."""
    assert complaints("[limits]\n\ncalls = 0\n", "") == ["line 3: limits.calls: must be at least 1"]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('[log]\n\n[[routse]]\nmodel = "x"', "nexusflow.toml:3: routse: "),
        ('\n[[upstreams]]\nname = "x"', "nexusflow.toml:2: upstreams: needs one table per upstream"),
        ("[[retry]]\nattempts = 1\n[[retry]]\nattempts = 2", "nexusflow.toml:1: retry: "),
    ],
)
def test_the_line_of_a_list_of_tables(text: str, told: str) -> None:
    """It is that of the first, where the list itself is the mistake."""
    assert [one for one in complaints(text) if one.startswith(told)]


def test_lines_behind_texts_of_several_lines() -> None:
    """What looks like a setting inside of a text is none; arrays and Windows' line ends count as they stand."""
    text = '[prices]\nfiles = [\n"""a\nmodel = 1\n[limits]\n""",\n"b\\u0000"]\r\n[limits]\r\ncalls = 0\r\n'
    told = complaints(text)
    assert told[-1] == "nexusflow.toml:9: limits.calls: must be at least 1"
    assert all("limits" not in one or one.startswith("nexusflow.toml:9") for one in told)


def test_many_mistakes_are_bounded() -> None:
    """The first fifty, and how many more there are."""
    told = complaints("[limits]\n" + "".join(f"k{number} = 1\n" for number in range(500)))
    assert (len(told), told[-1]) == (51, "and 450 more")


LOCAL = '[upstreams.local]\ndialect = "openai-chat"\nbase_url = "http://x/v1"\n'
ROUTE = '[[routes]]\nmodel = "x"\ntargets = ["{}"]\n'


@pytest.mark.parametrize(
    "setting",
    ["strict = false", 'images = "send"', 'images = "omit"', 'tool_images = "hoist"', 'server_tools = "drop"'],
)
def test_an_upstreams_setting_without_effect_is_a_mistake(setting: str) -> None:
    """On a relayed upstream nothing is translated, not even by default; elsewhere it is taken."""
    name = setting.partition(" ")[0]
    [told] = complaints(UPSTREAM + setting, "")
    assert told.startswith(f"line 3: upstreams.a.{name}: has no effect: dialect 'anthropic'")
    decode_config((LOCAL + setting).encode())


@pytest.mark.parametrize("setting", ["strict = true", "max_tokens = 9", 'server_tools = "refuse"'])
def test_a_routes_setting_without_effect_is_a_mistake(setting: str) -> None:
    """Where every target is relayed; one translated target is enough to give it a meaning."""
    name = setting.partition(" ")[0]
    [told] = complaints(UPSTREAM + ROUTE.format("a") + setting, "")
    assert f"routes[0].{name}: has no effect" in told
    both = ROUTE.format('a", "local')
    decode_config((UPSTREAM + LOCAL + both + setting).encode())
    decode_config((LOCAL + ROUTE.format("local") + setting).encode())


def test_thinking_has_no_effect_where_all_is_translated() -> None:
    """Only a relayed target can refuse signed thinking."""
    [told] = complaints(LOCAL + ROUTE.format("local") + 'thinking = "strip"', "")
    assert "routes[0].thinking: has no effect: dialect 'openai-chat' does not use this setting" in told


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (UPSTREAM + 'auth = "none"\napi_key = "env:A"', "upstreams.a.api_key: has no effect"),
        (UPSTREAM + "optional = true", "upstreams.a.optional: has no effect"),
        (UPSTREAM + 'vendor = "antropic"', r"no vendor is called 'antropic' \(did you mean 'anthropic'\?\)"),
        (
            LOCAL + 'vendor = "moonshot"',
            r"'moonshot' \(did you mean 'kimi'\?\). A host without deviations needs no vendor",
        ),
        (LOCAL + 'vendor = "acme-inference"', "leave it out, and use `prices` to choose price rows"),
        (LOCAL.replace("/v1", "/v1/chat/completions/"), "local.base_url: must end before /chat/completions"),
        (UPSTREAM + 'base_url = "https://x/v1/"', "upstreams.a.base_url: must end before /v1: /v1/messages is"),
        (UPSTREAM + 'ca_file = "a\\u0000b"', "upstreams.a.ca_file: contains a control character"),
        ('[prices]\nfiles = ["a\\u0000b"]', r"prices.files\[0\]: contains a control character"),
        ('[log]\ncalls = "a\\u0000b"', "log.calls: contains a control character"),
        ("upstreams = 1", r"upstreams: needs one table per upstream: \[upstreams.NAME\]"),
        ("[routes]\na = 1", r"routes: needs one table per route: \[\[routes\]\]"),
        ("upstreams.a = 1", "upstreams.a: Expected a table, got a int"),
        (UPSTREAM + "connections = 1" + "0" * 400, "upstreams.a.connections: is too large"),
    ],
)
def test_more_mistakes_are_named(text: str, message: str) -> None:
    """Where a base URL ends, whose vendor it is, what has no effect, which path cannot be one."""
    with pytest.raises(ConfigError, match=message):
        decode_config(text.encode())


def test_a_vendors_prices_are_named_apart() -> None:
    """A host without deviations needs no `vendor`; its own price rows have a name of their own."""
    config = decode_config((LOCAL + 'prices = "acme"').encode())
    assert (config.upstreams["local"].vendor, config.upstreams["local"].prices) == (None, "acme")
    config = decode_config((UPSTREAM + 'vendor = "zai"').encode())
    assert (config.upstreams["a"].vendor, config.upstreams["a"].prices) == ("zai", "zai")


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (b"x = " + b"[" * 100_000, "nested too deeply"),
        (b"x = " + b"{a=" * 100_000, "nested too deeply"),
        (b"x = " + b"1" * 5000, "too many digits"),
        (b".".join([b"a"] * 50_000) + b" = 1", "more than 32 parts"),
        (b"[" + b".".join([b"a"] * 50_000) + b"]", "more than 32 parts"),
        (b"x = {" + b" . ".join([b'"a"'] * 50_000) + b" = 1}", "more than 32 parts"),
        (b"# fine\n\xff\xfe", "not UTF-8 (line 2)"),
        (b"# " + b"x" * 5_000_000, "is larger than"),
    ],
    ids=["arrays", "tables", "digits", "dots", "header", "inline", "bytes", "size"],
)
def test_what_no_parser_should_be_given(text: bytes, why: str) -> None:
    """A sentence, never a traceback; and it is said before the parser spends minutes."""
    started = time.process_time()
    with pytest.raises(ConfigError) as caught:
        decode_config(text, "nexusflow.toml")
    assert why in str(caught.value)
    assert str(caught.value).startswith("nexusflow.toml")
    assert time.process_time() - started < 5


def test_nothing_that_is_shown_moves_a_cursor() -> None:
    """Names with an escape character are told as text, and are mistakes themselves."""
    odd = "\\u001b[31mx"
    upstream = f'[upstreams."{odd}"]\ndialect = "anthropic"\n"{odd}" = 1\n'
    route = f'[[routes]]\nmodel = "{odd}"\ntargets = ["{odd}"]\ndisplay_name = "{odd}"\n'
    told = complaints(upstream + route)
    assert len(told) >= 5
    assert all(line.isprintable() for line in told)


# Upstreams that may be missing


OPTIONAL = """
[upstreams.main]
dialect = "anthropic"
api_key = "env:MAIN_KEY"
[upstreams.spare]
dialect = "openai-chat"
base_url = "http://x/v1"
api_key = "env:SPARE_KEY"
optional = true
[[routes]]
model = "both"
targets = ["main", "spare/other"]
[[routes]]
model = "gpt-*"
targets = ["spare"]
[[routes]]
model = "*"
targets = ["main"]
"""


@pytest.mark.parametrize("environ", [{}, {"SPARE_KEY": ""}, {"SPARE_KEY": " "}])
def test_an_optional_upstream_without_its_key_is_left_out(environ: dict[str, str]) -> None:
    """Its targets with it; a route that had no other serves nothing, and no other route takes its models."""
    config = decode_config(OPTIONAL.encode())
    config.resolve({"MAIN_KEY": "sk-main", **environ})
    config = config.without_missing()
    assert config.left_out == {"spare": "SPARE_KEY"}
    assert list(config.upstreams) == ["main"]
    assert [[target.upstream.name for target in route.targets] for route in config.routes] == [
        ["main"],
        [],
        ["main"],
    ]
    gateway = Gateway(config)
    for find in (gateway._router.find, lambda model: gateway.model(model, datetime.now(UTC))):
        with pytest.raises(NotFoundError, match="model: gpt-4o"):
            find("gpt-4o")
    listed = [model["id"] for model in gateway.models(datetime.now(UTC))]
    assert "both" in listed
    assert not [id for id in listed if id.startswith("gpt-")]


def test_an_optional_upstream_with_its_key_is_one_like_others() -> None:
    """And a key that is there but cannot be one is an error all the same."""
    config = decode_config(OPTIONAL.encode())
    config.resolve({"MAIN_KEY": "sk-main", "SPARE_KEY": "sk-spare"})
    assert config.without_missing() is config
    with pytest.raises(ConfigError, match="SPARE_KEY contains a control character"):
        decode_config(OPTIONAL.encode()).resolve({"MAIN_KEY": "sk-main", "SPARE_KEY": "a\x00b"})


def test_every_missing_key_is_told() -> None:
    """Not one at a time."""
    config = decode_config(GOOD.encode())
    with pytest.raises(CombinedConfigError) as caught:
        config.resolve({})
    assert [error.path for error in caught.value.errors] == ["upstreams.anthropic.api_key", "auth.keys[0]"]
