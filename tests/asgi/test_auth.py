"""Who may call, whose key goes upstream, and that no key is ever shown."""

from __future__ import annotations

import copy
import json
import logging
import pickle
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import anyio
import pytest
from starlette.types import Scope

from nexusflow_asgi import LoggingHook, NexusFlow, TransportResponse
from nexusflow_asgi.auth import Admission, GatewayKeys
from nexusflow_asgi.transports.offline import OfflineTransport
from nexusflow_core import Call, CallRecord, Config, ConfigError, PermissionDeniedError, Principal, Secret
from nexusflow_core.config import decode_config
from nexusflow_core.upstream import Credential, UpstreamRequest, client_credentials
from tests.asgi.asking import BODY, OFFLINE, Answer, Headers, ask

GATEWAY_KEY, SECOND_KEY, UPSTREAM_KEY, OWN_KEY = "nxf-first", "nxf-second", "sk-ant-configured", "sk-ant-own"
KEYS = (GATEWAY_KEY, SECOND_KEY, UPSTREAM_KEY, OWN_KEY)
KEYED = """
[upstreams.anthropic]
dialect = "anthropic"
{api_key}

[[routes]]
model = "claude-*"
targets = ["anthropic"]

[auth]
{auth}
"""
WITH_KEYS = 'keys = ["env:FIRST_KEY", "env:SECOND_KEY"]'
CONFIGURED = 'api_key = "env:UPSTREAM_KEY"'


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """The keys that the configurations of this module name."""
    monkeypatch.setenv("FIRST_KEY", GATEWAY_KEY)
    monkeypatch.setenv("SECOND_KEY", SECOND_KEY)
    monkeypatch.setenv("UPSTREAM_KEY", UPSTREAM_KEY)


def configured(*, api_key: str = "", auth: str = WITH_KEYS) -> Config:
    return decode_config(KEYED.format(api_key=api_key, auth=auth).encode())


def x_api_key(key: str) -> tuple[bytes, bytes]:
    return b"x-api-key", key.encode()


def bearer(key: str) -> tuple[bytes, bytes]:
    return b"authorization", b"Bearer " + key.encode()


class Watched(OfflineTransport):
    """The simulator, and all that was sent to it."""

    def __init__(self) -> None:
        self.requests: list[UpstreamRequest] = []

    async def send(self, request: UpstreamRequest) -> TransportResponse:
        self.requests.append(request)
        return await super().send(request)


class Records:
    def __init__(self) -> None:
        self.records: list[CallRecord] = []

    def after(self, record: CallRecord) -> None:
        self.records.append(record)


def call(
    headers: Headers, *, query: bytes = b"", **options: Any
) -> tuple[Answer, list[UpstreamRequest], CallRecord]:
    """One call of a client with these headers: its answer, what went upstream, its record."""
    transport, hook = Watched(), Records()
    gateway = NexusFlow(transport=transport, hooks=[hook], **options)
    answer = anyio.run(lambda: ask(gateway, headers=headers, query=query))
    [record] = hook.records
    return answer, transport.requests, record


def credentials(request: UpstreamRequest) -> list[tuple[bytes, bytes]]:
    return [pair for pair in request.headers if pair[0] in (b"x-api-key", b"authorization")]


def assert_unauthorized(headers: Headers, **options: Any) -> None:
    answer, requests, record = call(headers, **options)
    assert (answer.status, answer.error) == (401, "authentication_error")
    assert requests == []
    assert (record.ending, record.status, record.principal) == ("refused", 401, None)


# Gateway keys


@pytest.mark.parametrize(
    ("headers", "principal"),
    [
        ([x_api_key(GATEWAY_KEY)], "FIRST_KEY"),
        ([x_api_key(SECOND_KEY)], "SECOND_KEY"),
        ([bearer(GATEWAY_KEY)], "FIRST_KEY"),
        ([(b"authorization", b"bearer  nxf-second ")], "SECOND_KEY"),
        ([x_api_key(GATEWAY_KEY), bearer(GATEWAY_KEY)], "FIRST_KEY"),
        ([bearer(SECOND_KEY), x_api_key(SECOND_KEY)], "SECOND_KEY"),
        ([x_api_key(OWN_KEY), bearer(GATEWAY_KEY)], "FIRST_KEY"),
        ([x_api_key(GATEWAY_KEY), bearer(OWN_KEY)], "FIRST_KEY"),
    ],
)
def test_a_gateway_key_in_either_header(headers: Headers, principal: str) -> None:
    """The call is served, the caller is known by the name of its key, and the configured key goes upstream."""
    answer, [request], record = call(headers, config=configured(api_key=CONFIGURED))
    assert answer.status == 200
    assert record.principal == principal
    assert credentials(request) == [x_api_key(UPSTREAM_KEY)]


@pytest.mark.parametrize(
    "headers",
    [
        [],
        [x_api_key("")],
        [x_api_key("wrong")],
        [bearer("wrong")],
        [x_api_key("wrong"), bearer("wrong")],
        [(b"authorization", b"Basic " + GATEWAY_KEY.encode())],
        [(b"authorization", GATEWAY_KEY.encode())],
        [(b"authorization", b"Bearer")],
        [x_api_key(GATEWAY_KEY + "x")],
        [x_api_key(GATEWAY_KEY[:-1])],
        [x_api_key(GATEWAY_KEY.upper())],
        [(b"api-key", GATEWAY_KEY.encode())],
        [(b"x-api-key", b"\xff\x00")],
        [x_api_key(UPSTREAM_KEY)],
    ],
)
def test_no_gateway_key(headers: Headers) -> None:
    """401, and the upstream hears nothing of it."""
    assert_unauthorized(headers, config=configured(api_key=CONFIGURED))


@pytest.mark.parametrize(
    ("headers", "upstream"),
    [
        ([x_api_key(GATEWAY_KEY), bearer(OWN_KEY)], bearer(OWN_KEY)),
        ([bearer(GATEWAY_KEY), x_api_key(OWN_KEY)], x_api_key(OWN_KEY)),
        ([x_api_key(GATEWAY_KEY), bearer("sk-ant-oat01-x")], bearer("sk-ant-oat01-x")),
        ([x_api_key(OWN_KEY), x_api_key(GATEWAY_KEY)], x_api_key(OWN_KEY)),
    ],
)
def test_the_other_header_is_the_clients_own_key(headers: Headers, upstream: tuple[bytes, bytes]) -> None:
    """Without a configured key it goes upstream, in the scheme in which it came, alone."""
    answer, [request], record = call(headers, config=configured())
    assert answer.status == 200
    assert record.principal == "FIRST_KEY"
    assert credentials(request) == [upstream]


@pytest.mark.parametrize(
    "headers",
    [
        [x_api_key(GATEWAY_KEY)],
        [bearer(GATEWAY_KEY)],
        [x_api_key(GATEWAY_KEY), bearer(GATEWAY_KEY)],
        [x_api_key(GATEWAY_KEY), bearer(SECOND_KEY)],
    ],
)
def test_a_gateway_key_is_never_the_upstreams(headers: Headers) -> None:
    """Where nothing else is left, that is a 401 of ours and nothing goes upstream."""
    answer, requests, record = call(headers, config=configured())
    assert (answer.status, answer.error, requests) == (401, "authentication_error", [])
    assert record.principal == "FIRST_KEY"


@pytest.mark.parametrize("header", [b"proxy-authorization", b"cookie", b"x-nexusflow-key"])
def test_no_header_takes_a_gateway_key_upstream(header: bytes) -> None:
    """Nor do the headers that are ours or the host's."""
    headers = [x_api_key(GATEWAY_KEY), (header, b"token=" + GATEWAY_KEY.encode())]
    _, [request], _ = call(headers, config=configured(api_key=CONFIGURED))
    assert GATEWAY_KEY.encode() not in b"\n".join(b": ".join(pair) for pair in request.headers)


DRESSES = ["{}", "Bearer {}", "Bearer Bearer {}", '"{}"', "{0}, {0}", "{};x", "token={}", "[{}]", "%20{}"]
UNUSUAL = ["api-key", "x-goog-api-key", "x-litellm-api-key", "x_api_key", "referer", "x-custom", "user-agent"]


@pytest.mark.parametrize("dress", DRESSES)
def test_no_other_header_and_no_query_takes_a_gateway_key_upstream(dress: str) -> None:
    """Clients that come from elsewhere send their key twice, in any form; each key of the gateway counts."""
    for key in (GATEWAY_KEY, SECOND_KEY):
        value = dress.format(key)
        for api_key in (CONFIGURED, ""):
            headers = [x_api_key(GATEWAY_KEY), bearer(OWN_KEY), (b"x-kept", b"1")]
            headers += [(name.encode(), value.encode()) for name in UNUSUAL]
            query = f"beta=true&key={value.replace(' ', '%20')}&limit=1".encode()
            answer, [request], _ = call(headers, query=query, config=configured(api_key=api_key))
            assert answer.status == 200
            assert key not in request.url + repr(request.headers)
            assert request.url.endswith("?beta=true&limit=1")
            assert (b"x-kept", b"1") in request.headers


@pytest.mark.parametrize("dress", DRESSES[1:])
@pytest.mark.parametrize("other", [x_api_key, bearer])
def test_a_dressed_gateway_key_is_nobodys_own_credential(dress: str, other: Any) -> None:
    """Beside the plain one, in the header of a client's own key: it does not go upstream."""
    plain = bearer if other is x_api_key else x_api_key
    headers = [plain(GATEWAY_KEY), other(dress.format(GATEWAY_KEY))]
    answer, requests, _ = call(headers, config=configured())
    assert (answer.status, answer.error, requests) == (401, "authentication_error", [])
    answer, [request], _ = call(headers, config=configured(api_key=CONFIGURED))
    assert credentials(request) == [x_api_key(UPSTREAM_KEY)]


def test_what_the_host_has_consumed_goes_nowhere_else() -> None:
    """A token that signed the host's user in is taken out of every other header and of the query too."""

    async def who(scope: Scope) -> Principal:
        return Principal("alice", consumes=("authorization",))

    headers = [bearer("host-token-1"), (b"x-token", b"host-token-1"), (b"x-kept", b"1"), x_api_key(OWN_KEY)]
    config = configured(auth="anonymous = true")
    _, [request], _ = call(headers, query=b"t=HOST-token-1&a=1", config=config, authenticate=who)
    assert "host-token" not in (request.url + repr(request.headers)).lower()
    assert request.url.endswith("?a=1")
    assert (b"x-kept", b"1") in request.headers
    assert credentials(request) == [x_api_key(OWN_KEY)]


def test_a_browsers_headers_stay_here() -> None:
    """Anthropic takes whoever says `origin` for a browser and answers 401; the call is the server's own."""
    browser = {
        b"origin": b"https://shop.example",
        b"referer": b"https://shop.example/cart?user=1",
        b"sec-fetch-site": b"same-origin",
        b"sec-fetch-mode": b"cors",
        b"sec-ch-ua-platform": b"Linux",
    }
    _, [request], _ = call([x_api_key(GATEWAY_KEY), *browser.items()], config=configured(api_key=CONFIGURED))
    assert not browser.keys() & {name for name, _ in request.headers}


@pytest.mark.parametrize(
    ("key", "extra", "header"),
    [
        ("sk-ant-api03-x", "", x_api_key("sk-ant-api03-x")),
        ("sk-ant-oat01-x", "", bearer("sk-ant-oat01-x")),
        ("sk-ant-api03-x", 'auth = "bearer"', bearer("sk-ant-api03-x")),
        ("sk-ant-oat01-x", 'auth = "x-api-key"', x_api_key("sk-ant-oat01-x")),
    ],
)
def test_the_scheme_of_a_configured_key(
    key: str, extra: str, header: tuple[bytes, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    """`x-api-key`, but a bearer token for OAuth or where the file says so."""
    monkeypatch.setenv("UPSTREAM_KEY", key)
    _, [request], _ = call([x_api_key(GATEWAY_KEY)], config=configured(api_key=f"{CONFIGURED}\n{extra}"))
    assert credentials(request) == [header]


# The host's own authentication


async def knows_alice(scope: Scope) -> Principal | None:
    if dict(scope["headers"]).get(b"authorization") == b"Bearer alices-session":
        return Principal("alice", {"team": "red"}, consumes=("Authorization",))
    return None


def test_the_host_knows_the_caller() -> None:
    """Its principal is in the record, with the metadata; the header that it spent does not travel on."""
    headers = [(b"authorization", b"Bearer alices-session"), x_api_key(OWN_KEY)]
    answer, [request], record = call(headers, config=configured(auth=""), authenticate=knows_alice)
    assert answer.status == 200
    assert (record.principal, record.metadata) == ("alice", {"team": "red"})
    assert credentials(request) == [x_api_key(OWN_KEY)]


def test_the_host_keeps_other_credentials_for_itself() -> None:
    """`consumes` takes any header out of the request, whatever its case."""

    async def by_header(scope: Scope) -> Principal:
        return Principal("bob", consumes=("X-Session", "x-api-key"))

    headers = [(b"x-session", b"s1"), x_api_key("session-key"), bearer(OWN_KEY), (b"x-other", b"o")]
    _, [request], _ = call(headers, config=configured(auth=""), authenticate=by_header)
    assert credentials(request) == [bearer(OWN_KEY)]
    names = [name for name, _ in request.headers]
    assert b"x-session" not in names
    assert b"x-other" in names


def test_the_host_may_give_just_a_name() -> None:
    """A string is the principal's id; a credential that the host did not consume is the client's own."""

    async def always(scope: Scope) -> str:
        return "carol"

    _, [request], record = call([bearer(OWN_KEY)], config=configured(auth=""), authenticate=always)
    assert record.principal == "carol"
    assert credentials(request) == [bearer(OWN_KEY)]


def test_whom_the_host_does_not_know() -> None:
    """None means 401."""
    assert_unauthorized([bearer("bobs-session")], config=configured(auth=""), authenticate=knows_alice)


def test_the_host_decides_instead_of_gateway_keys() -> None:
    """With an authenticate function the keys of the file let nobody in."""
    assert_unauthorized([x_api_key(GATEWAY_KEY)], config=configured(), authenticate=knows_alice)


def test_the_host_may_refuse_in_its_own_words() -> None:
    """An error of our tree is the answer."""

    async def closed(scope: Scope) -> None:
        raise PermissionDeniedError("closed on Sundays")

    answer, requests, record = call([], config=configured(auth=""), authenticate=closed)
    assert (answer.status, answer.error, requests) == (403, "permission_error", [])
    assert answer.json["error"]["message"] == "closed on Sundays"
    assert record.ending == "refused"


@pytest.mark.parametrize("path", ["/v1/messages", "/v1/models"])
def test_a_failing_authenticate(path: str, caplog: pytest.LogCaptureFixture) -> None:
    """500 for the client without a word of why, the traceback for the host's log."""

    async def broken(scope: Scope) -> str:
        raise RuntimeError("password=hunter2 at db.internal")

    gateway = NexusFlow(config=configured(auth=""), authenticate=broken, transport="offline")
    answer = anyio.run(lambda: ask(gateway, path, method="POST" if "messages" in path else "GET"))
    assert (answer.status, answer.error) == (500, "api_error")
    assert b"hunter2" not in answer.body
    assert "hunter2" in caplog.text


def test_an_authenticate_that_returns_nonsense() -> None:
    """Anything but a Principal, a string or None is the host's defect: 500, and nobody gets in."""

    async def nonsense(scope: Scope) -> Any:
        return True

    answer, requests, _ = call([], config=configured(api_key=CONFIGURED, auth=""), authenticate=nonsense)
    assert (answer.status, requests) == (500, [])


@pytest.mark.parametrize(
    "principal",
    [Principal(None), Principal("a", {"team": 7}), Principal("a", {"team": None}), Principal("a", {7: "x"})],  # type: ignore[arg-type, dict-item]
)
def test_a_principal_that_is_not_text(principal: Principal, caplog: pytest.LogCaptureFixture) -> None:
    """500, and the log names the field: a record with it could not be read back from a log."""

    async def odd(scope: Scope) -> Principal:
        return principal

    answer, requests, record = call([], config=configured(api_key=CONFIGURED, auth=""), authenticate=odd)
    assert (answer.status, requests, record.principal) == (500, [], None)
    assert "the principal's " in caplog.text


# Nobody, anybody


def test_anonymous_lets_anyone_in() -> None:
    """Nobody's name is in the record; the client's own key goes upstream, once."""
    config = configured(auth="anonymous = true")
    answer, [request], record = call([bearer(OWN_KEY), x_api_key(OWN_KEY)], config=config)
    assert (answer.status, record.principal) == (200, None)
    assert credentials(request) == [x_api_key(OWN_KEY)], "Anthropic goes by x-api-key where both come"


def test_no_way_to_authenticate() -> None:
    """An open gateway must be asked for in words: strangers would spend its money."""
    with pytest.raises(ConfigError, match="anonymous = true"):
        NexusFlow(config=configured(auth=""))
    with pytest.raises(ConfigError, match="auth"):
        Admission(configured(auth="anonymous = false"))


def test_a_missing_key_is_named() -> None:
    """The sentence says which variable is not set, and where it is asked for."""
    with pytest.raises(ConfigError, match=r"auth\.keys\[0\]: .*NOT_SET_ANYWHERE"):
        NexusFlow(config=configured(auth='keys = ["env:NOT_SET_ANYWHERE"]'))


@pytest.mark.parametrize("path", ["/v1/models", "/v1/models/claude-x"])
def test_the_model_list_needs_a_key_too(path: str) -> None:
    """401 without one; health tells nothing and asks for nothing."""
    gateway = NexusFlow(config=configured(api_key=CONFIGURED), transport="offline")

    async def status(path: str, *headers: tuple[bytes, bytes]) -> int:
        return (await ask(gateway, path, method="GET", headers=headers, body=b"")).status

    assert anyio.run(status, path) == 401
    assert anyio.run(status, path, x_api_key("wrong")) == 401
    assert anyio.run(status, path, bearer(SECOND_KEY)) == 200
    assert anyio.run(status, "/health") == 200


def test_keys_without_a_name_have_a_principal_all_the_same() -> None:
    """A key given in code is known by the start of its hash, never by itself."""
    keys = GatewayKeys([Secret("given-in-code")])
    principal = keys.principal(Credential("bearer", b"given-in-code"))
    assert principal is not None
    assert principal.id.startswith("key-")
    assert "given" not in principal.id


# Masking


def assert_no_key(text: str) -> None:
    for key in KEYS:
        assert key not in text


def shown(value: object) -> str:
    return f"{value!r} {value!s} {value} {value!a} {vars(value) if hasattr(value, '__dict__') else ''}"


def test_nothing_shows_a_key() -> None:
    """repr and str of all that holds one: configuration, upstream, request, call, secret, credential."""
    config = configured(api_key=CONFIGURED)
    seen: list[Call] = []

    class Spy:
        def before(self, call: Call) -> None:
            seen.append(call)

    transport, hook = Watched(), Records()
    gateway = NexusFlow(config=config, transport=transport, hooks=[Spy(), hook])
    anyio.run(lambda: ask(gateway, headers=[x_api_key(GATEWAY_KEY), bearer(OWN_KEY)]))
    [request], [call], [record] = transport.requests, seen, hook.records
    for value in (
        config,
        config.upstreams["anthropic"],
        config.upstreams["anthropic"].api_key,
        config.keys,
        config.routes,
        request,
        call,
        call.principal,
        call.credential,
        client_credentials([x_api_key(OWN_KEY), bearer(GATEWAY_KEY)]),
        gateway,
        gateway._calls,
        gateway._loops,
        Admission(config),
        record,
    ):
        assert_no_key(shown(value))
    assert BODY.decode() not in shown(call) + shown(request), "nor the body"


def test_secrets_do_not_travel() -> None:
    """Pickling and copying a secret gives its name, not its value."""
    secret = Secret(OWN_KEY, "OWN_KEY")
    assert OWN_KEY.encode() not in pickle.dumps(secret)
    assert repr(pickle.loads(pickle.dumps(secret))) == "Secret(env:OWN_KEY)"
    assert_no_key(repr([secret, Secret(OWN_KEY), {"key": copy.copy(secret)}]))
    with pytest.raises(ConfigError, match="OWN_KEY"):
        pickle.loads(pickle.dumps(secret)).reveal()


@pytest.mark.parametrize(
    "headers",
    [
        [x_api_key(GATEWAY_KEY), bearer(OWN_KEY)],
        [x_api_key("wrong"), bearer(OWN_KEY)],
        [],
    ],
)
def test_no_log_line_and_no_answer_shows_a_key(
    headers: Sequence[tuple[bytes, bytes]], caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    """Nor do the log lines, the call log and the answer, whether the call was served or refused."""
    path = tmp_path / "calls.jsonl"
    toml = KEYED.format(api_key=CONFIGURED, auth=WITH_KEYS) + f'[log]\ncalls = "{path}"\n'
    gateway = NexusFlow(config=decode_config(toml.encode()), hooks=[LoggingHook()], transport="offline")

    async def once() -> Answer:
        async with gateway:
            return await ask(gateway, headers=headers)

    with caplog.at_level(logging.DEBUG):
        answer = anyio.run(once)
    line = path.read_text()
    assert json.loads(line)["status"] == answer.status
    assert len(caplog.records) >= 1
    for text in (line, caplog.text, str([vars(entry) for entry in caplog.records]), str(answer)):
        assert_no_key(text)


def test_a_broken_transport_shows_no_key(caplog: pytest.LogCaptureFixture) -> None:
    """A defect is logged with its traceback, and the request in it is masked."""

    class Broken(OfflineTransport):
        async def send(self, request: UpstreamRequest) -> Any:
            raise RuntimeError(f"cannot send {request!r}")

    gateway = NexusFlow(config=configured(api_key=CONFIGURED), transport=Broken())
    answer = anyio.run(lambda: ask(gateway, headers=[x_api_key(GATEWAY_KEY), bearer(OWN_KEY)]))
    assert (answer.status, answer.error) == (500, "api_error")
    assert "cannot send UpstreamRequest(POST" in caplog.text
    assert_no_key(caplog.text + str(answer))


def test_offline_needs_no_key() -> None:
    """The simulator is asked with a placeholder where the environment has no key."""
    gateway = NexusFlow(config=decode_config(OFFLINE), transport="offline")
    assert anyio.run(lambda: ask(gateway)).status == 200


def test_offline_with_an_empty_key(monkeypatch: pytest.MonkeyPatch) -> None:
    """A variable that is set to nothing is as good as one that is not set."""
    monkeypatch.setenv("SIM_KEY", "")
    gateway = NexusFlow(config=decode_config(OFFLINE), transport="offline")
    assert anyio.run(lambda: ask(gateway)).status == 200


@pytest.mark.parametrize("dialect", ["anthropic", "openai-chat"])
def test_offline_an_upstream_without_a_credential(dialect: str) -> None:
    """`auth = "none"`, as of a model on one's own machine, is simulated as well; whoever forgets the key of
    another upstream still hears of it."""
    toml = """
        [upstreams.own]
        dialect = "{dialect}"
        base_url = "http://own.example"
        {auth}
        [[routes]]
        model = "m"
        targets = ["own"]
        [auth]
        anonymous = true
    """
    body = b'{"model":"m","max_tokens":9,"messages":[{"role":"user","content":"hello"}]}'
    for auth, status in (('auth = "none"', 200), ("", 401)):
        config = decode_config(toml.format(dialect=dialect, auth=auth).encode())
        gateway = NexusFlow(config=config, transport="offline")
        assert anyio.run(lambda it=gateway: ask(it, body=body)).status == status  # type: ignore[misc]
