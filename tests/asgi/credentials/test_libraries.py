"""`auth = "aws"`, "google" and "azure": what the clouds' libraries find, and errors where they find nothing."""

from __future__ import annotations

import hashlib
import json
import sys
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import anyio
import pytest

from nexusflow_asgi import NexusFlow
from nexusflow_asgi.cli import main
from nexusflow_asgi.credentials import sources
from nexusflow_asgi.credentials.libraries import AwsCredentials, TokenRequest
from nexusflow_asgi.settings import resolve_secrets
from nexusflow_core import ConfigError, decode_config
from nexusflow_core.upstream import header
from tests.asgi.asking import Answer, ask
from tests.asgi.credentials.cloud import ANSWER, Cloud, in_an_hour
from tests.core.doors.asking import config_of
from tests.planted import assert_no_key
from tests.servers import JSON, Fault, Received, ScriptedUpstream, Step, answer

DOORS = {"aws": "bedrock", "google": "vertex", "azure": "foundry"}
AWS = (
    "AWS_ACCESS_KEY_ID AWS_SECRET_ACCESS_KEY AWS_SESSION_TOKEN AWS_PROFILE AWS_WEB_IDENTITY_TOKEN_FILE".split()
)


@pytest.fixture(autouse=True)
def _nothing_else(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No keys of this machine are found, and no metadata server is looked for."""
    for name in (*AWS, "AWS_ROLE_ARN", "AWS_CONTAINER_CREDENTIALS_FULL_URI"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")


def gateway(source: str, cloud: Cloud, *, more: str = "") -> NexusFlow:
    config = config_of(DOORS[source], key=None, more=f'auth = "{source}"\n{more}')
    return NexusFlow(config=decode_config(config.encode()), transport=cloud)


def ask_each(app: NexusFlow, count: int = 1) -> list[Answer]:
    async def body() -> list[Answer]:
        return [await ask(app) for _ in range(count)]

    return anyio.run(body)


# AWS

AFTER = (datetime.now(UTC) + timedelta(hours=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
IN_MS = int((datetime.now(UTC) + timedelta(hours=1)).timestamp() * 1000)
FOUND = {"AccessKeyId": "AKIDFOUND", "SecretAccessKey": "sk-found-secret", "Token": "sk-t", "Expiration": AFTER}
ROLE = f"""<AssumeRoleWithWebIdentityResponse><AssumeRoleWithWebIdentityResult><Credentials>
    <AccessKeyId>AKIDFOUND</AccessKeyId><SecretAccessKey>sk-found-secret</SecretAccessKey>
    <SessionToken>sk-t</SessionToken><Expiration>{AFTER}</Expiration>
    </Credentials></AssumeRoleWithWebIdentityResult></AssumeRoleWithWebIdentityResponse>"""


def aws_server(request: Received) -> list[Step]:
    """A container's endpoint, STS, and the metadata of an instance."""
    path = request.target.decode()
    if path.startswith("/federation/credentials"):
        role = {"accessKeyId": "AKIDFOUND", "secretAccessKey": "sk-found-secret", "sessionToken": "sk-t"}
        return answer(200, JSON, [json.dumps({"roleCredentials": {**role, "expiration": IN_MS}}).encode()])
    if path.endswith("/api/token"):
        return answer(200, [], [b"session"])
    if path.endswith("/security-credentials/"):
        return answer(200, [], [b"role"])
    if path == "/":
        return answer(200, [(b"content-type", b"text/xml")], [ROLE.encode()])
    return answer(200, JSON, [json.dumps({"Code": "Success", **FOUND}).encode()])


@pytest.fixture(params=["profile", "process", "sso", "container", "web identity", "instance"])
def found_key(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[str]:
    """Keys at one of the places that botocore knows."""
    with ScriptedUpstream(aws_server) as server:
        match request.param:
            case "profile":
                text = "[acme]\naws_access_key_id = AKIDFOUND\naws_secret_access_key = sk-found-secret\n"
                (tmp_path / "credentials").write_text(text)
                monkeypatch.setenv("AWS_PROFILE", "acme")
            case "process":
                (tmp_path / "out.json").write_text(json.dumps({"Version": 1, **FOUND, "SessionToken": "sk-t"}))
                (tmp_path / "config").write_text(f"[default]\ncredential_process = cat {tmp_path}/out.json\n")
            case "sso":
                start = "https://acme.awsapps.com/start"
                names = {
                    "account_id": "123456789012",
                    "role_name": "x",
                    "region": "us-east-1",
                    "start_url": start,
                }
                text = "".join(f"sso_{name} = {value}\n" for name, value in names.items())
                (tmp_path / "config").write_text("[default]\n" + text)
                login = {"startUrl": start, "region": "us-east-1", "accessToken": "sk-sso", "expiresAt": AFTER}
                (tmp_path / f"{hashlib.sha1(start.encode()).hexdigest()}.json").write_text(json.dumps(login))
                monkeypatch.setattr("botocore.credentials.SSOProvider._SSO_TOKEN_CACHE_DIR", str(tmp_path))
                monkeypatch.setenv("AWS_ENDPOINT_URL_SSO", server.url)
            case "container":
                monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", f"{server.url}/keys")
            case "web identity":
                (tmp_path / "token").write_text("sk-web-identity")
                monkeypatch.setenv("AWS_WEB_IDENTITY_TOKEN_FILE", str(tmp_path / "token"))
                monkeypatch.setenv("AWS_ROLE_ARN", "arn:aws:iam::123456789012:role/x")
                monkeypatch.setenv("AWS_ENDPOINT_URL_STS", server.url)
                monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
            case _:
                monkeypatch.delenv("AWS_EC2_METADATA_DISABLED")
                monkeypatch.setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", server.url)
        yield request.param


def test_aws_keys_are_found_where_aws_tools_find_them(found_key: str, caplog: pytest.LogCaptureFixture) -> None:
    """Requests are signed with them, and the log says where they come from."""
    cloud = Cloud()
    with caplog.at_level("INFO", logger="nexusflow"):
        answers = ask_each(gateway("aws", cloud), 2)
    assert [one.body for one in answers] == [ANSWER, ANSWER]
    for sent in cloud.requests:
        signed = (header(sent, b"authorization") or b"").decode()
        assert signed.startswith("AWS4-HMAC-SHA256 Credential=AKIDFOUND/"), found_key
        assert (header(sent, b"x-amz-security-token") == b"sk-t") is (found_key != "profile")
    assert caplog.text.count("is signed with AWS credentials from") == 1
    assert_no_key(caplog.text, "the log")


def test_keys_with_an_end_are_kept_until_then(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those without one are looked up again after minutes. After a refusal they are looked up at once."""
    with ScriptedUpstream(aws_server) as server:
        monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", f"{server.url}/keys")
        keys = AwsCredentials("bedrock")
        first, second = keys.read(False), keys.read(False)
        assert first == second
        assert first.expires_at is not None
        assert abs((first.expires_at - in_an_hour()).total_seconds()) < 600
        assert len(server.requests) == 1
        keys.read(True)
        assert len(server.requests) == 2


def test_a_signature_that_is_refused_is_made_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    """With keys that are looked up again."""
    with ScriptedUpstream(aws_server) as server:
        monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", f"{server.url}/keys")
        cloud = Cloud(lambda signed: False, 403)
        assert ask_each(gateway("aws", cloud))[0].status == 500  # the operator's failure
        assert (len(cloud.requests), len(server.requests)) == (2, 2)


@pytest.mark.parametrize(
    "text", ["", "[default]\naws_access_key_id = AKID\n", "[[[", "[default]\nsso_session = x\n"]
)
def test_without_keys_the_upstream_fails(text: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """At the call, since looking takes time. The log says why."""
    (tmp_path / "config").write_text(text)
    cloud = Cloud()
    [got] = ask_each(gateway("aws", cloud))
    assert (got.status, got.json["error"]["message"]) == (
        502,
        "upstream cloud: its credential could not be fetched",
    )
    assert cloud.requests == []
    assert "upstream cloud: its credential could not be fetched: " in caplog.text


@pytest.mark.parametrize("script", [answer(500), answer(200, JSON, [b"x" * 100]), [Fault.CLOSE]])
def test_a_hostile_source_of_keys_is_a_failure(script: list[Step], monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever it answers."""
    with ScriptedUpstream(lambda _: script) as server:
        monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", f"{server.url}/keys")
        monkeypatch.setattr("botocore.utils.ContainerMetadataFetcher.SLEEP_TIME", 0)
        assert ask_each(gateway("aws", Cloud()))[0].status == 502


@pytest.mark.parametrize(
    "members",
    [
        {"Token": "x\r\nx-evil: 1"},
        {"Token": "x" * 70_000},
        {"Token": 5},
        {"AccessKeyId": ["sk-planted"]},
        {"SecretAccessKey": "\u2028sk-planted"},
        {"Expiration": "2001-01-01T00:00:00Z"},
        {"Expiration": "never"},
    ],
)
def test_keys_that_cannot_be_sent_are_a_failure(
    members: dict[str, Any], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A line break would be another header. Nothing hangs, and no part of the keys is logged."""
    evil = json.dumps({**FOUND, **members}).encode()
    with ScriptedUpstream(lambda _: answer(200, JSON, [evil])) as server:
        monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", f"{server.url}/keys")
        cloud = Cloud()
        assert ask_each(gateway("aws", cloud))[0].status == 502
        assert cloud.requests == []
    ours = [record.getMessage() for record in caplog.records if record.name == "nexusflow"]
    assert_no_key("".join(ours), "the log")


def test_without_a_thread_the_upstream_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    """The next call tries again."""

    def no_thread(*arguments: Any, **named: Any) -> Any:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(sources, "Thread", no_thread)
    assert {one.status for one in ask_each(gateway("aws", Cloud()), 2)} == {502}


# Google and Azure: their libraries are replaced here, and are real in tests/matrix


class _GoogleToken:
    """A credential as google-auth has it; `expiry` is UTC without a timezone."""

    token, expiry, quota_project_id = "", None, "sk-quota-project"
    threads: list[str]

    def __init__(self) -> None:
        self.threads = []

    def refresh(self, request: Any) -> None:
        self.threads.append(threading.current_thread().name)
        self.token = f"sk-google-{len(self.threads)}"
        self.expiry = in_an_hour().replace(tzinfo=None)


class _AzureToken:
    made = 0

    def __init__(self) -> None:
        type(self).made += 1

    def get_token(self, scope: str) -> Any:
        assert scope == "https://ai.azure.com/.default"
        return SimpleNamespace(token=f"sk-azure-{self.made}", expires_on=int(in_an_hour().timestamp()))


@pytest.fixture
def google(monkeypatch: pytest.MonkeyPatch) -> _GoogleToken:
    found = _GoogleToken()

    def default(*, scopes: list[str], request: Any) -> tuple[_GoogleToken, str]:
        assert scopes == ["https://www.googleapis.com/auth/cloud-platform"]
        assert isinstance(request, TokenRequest)
        return found, "acme"

    fake("google.auth", monkeypatch, default=default)
    return found


def fake(name: str, monkeypatch: pytest.MonkeyPatch, **members: Any) -> None:
    module = ModuleType(name)
    vars(module).update(members)
    monkeypatch.setitem(sys.modules, name, module)
    monkeypatch.setattr(sources, "_is_installed", lambda library: True)


def test_google_gives_a_token_and_a_project(google: _GoogleToken) -> None:
    """In a thread. A refused token is replaced."""
    cloud = Cloud(lambda token: token == "sk-google-2")
    app = gateway("google", cloud)
    assert [one.body for one in ask_each(app, 2)] == [ANSWER, ANSWER]
    assert cloud.tokens() == ["sk-google-1", "sk-google-2", "sk-google-2"]
    assert header(cloud.requests[0], b"x-goog-user-project") == b"sk-quota-project"
    assert set(google.threads) == {"nexusflow-credential"}


def test_azure_gives_a_token(monkeypatch: pytest.MonkeyPatch) -> None:
    """A refused one is replaced by that of a new object, whose cache is empty."""
    monkeypatch.setattr(_AzureToken, "made", 0)
    fake("azure.identity", monkeypatch, DefaultAzureCredential=_AzureToken)
    cloud = Cloud(lambda token: token == "sk-azure-2")
    assert [one.body for one in ask_each(gateway("azure", cloud), 2)] == [ANSWER, ANSWER]
    assert cloud.tokens() == ["sk-azure-1", "sk-azure-2", "sk-azure-2"]


def test_a_thread_that_hangs_is_one_thread(google: _GoogleToken, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each call gives up after its time, and the next ones start no other refresh."""
    go = threading.Event()

    def hang(request: Any) -> None:
        google.threads.append("hangs")
        go.wait(20)

    monkeypatch.setattr(google, "refresh", hang)
    app = gateway("google", Cloud(), more="timeouts = { connect = 0.05 }")
    assert {one.status for one in ask_each(app, 4)} == {502}
    go.set()
    assert google.threads == ["hangs"]


def test_refreshes_that_hang_are_bounded(google: _GoogleToken, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that hangs for a minute is given up, and another begins: four at most."""
    monkeypatch.setattr("nexusflow_asgi.credentials.cache._LOST_SECONDS", 0.0)
    go = threading.Event()

    def hang(request: Any) -> None:
        google.threads.append("hangs")
        go.wait(20)

    monkeypatch.setattr(google, "refresh", hang)
    app = gateway("google", Cloud(), more="timeouts = { connect = 0.02 }")
    assert {one.status for one in ask_each(app, 9)} == {502}
    go.set()
    assert google.threads == ["hangs"] * 4


@pytest.mark.parametrize(
    "script", [[Fault.CLOSE], answer(200, JSON, [b"x" * 2_000_000]), answer(302, [(b"location", b"/")])]
)
def test_the_request_to_a_token_server_is_bounded(script: list[Step], monkeypatch: pytest.MonkeyPatch) -> None:
    """google-auth gets its own kind of error, without the address; a redirect is an answer."""

    class TransportError(Exception):
        pass

    fake("google.auth.exceptions", monkeypatch, TransportError=TransportError)
    with ScriptedUpstream(lambda _: script) as server:
        try:
            got = TokenRequest()(f"{server.url}/sk-planted", "POST", b"a=b", {"x-a": "1"}, timeout=5)
        except TransportError as error:
            assert_no_key(str(error), "an error")
        else:
            assert got.status == 302
        assert (server.requests[0].body, server.requests[0].values(b"x-a")) == (b"a=b", [b"1"])


# Configuration


@pytest.mark.parametrize("source", DOORS)
def test_a_missing_library_is_told_at_the_start(source: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the extra that installs it."""
    monkeypatch.setattr(sources, "_is_installed", lambda library: False)
    with pytest.raises(ConfigError, match=rf"upstreams\.cloud\.auth: .*pip install 'nexusflow\[{source}\]'"):
        gateway(source, Cloud())


@pytest.mark.parametrize("source", DOORS)
def test_check_says_who_finds_the_credential(
    source: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """And that its library is missing."""
    file = tmp_path / "nexusflow.toml"
    file.write_text(config_of(DOORS[source], key=None, more=f'auth = "{source}"'))
    monkeypatch.setattr(sources, "_is_installed", lambda library: True)
    assert main(["check", str(file)]) == 0
    assert "a credential that " in capsys.readouterr().out
    monkeypatch.setattr(sources, "_is_installed", lambda library: False)
    assert main(["check", str(file)]) == 1
    assert f"pip install 'nexusflow[{source}]'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("door", "auth", "why"),
    [
        ("bedrock", "google", "cloud.auth: \"google\" works with these doors only: 'vertex', 'google'"),
        ("vertex", "azure", "cloud.auth: \"azure\" works with these doors only: 'foundry'"),
        ("foundry", "aws", 'cloud.auth: "aws" works with these doors only'),
    ],
)
def test_a_token_of_another_cloud_is_a_mistake(door: str, auth: str, why: str) -> None:
    """It would be sent to a stranger."""
    with pytest.raises(ConfigError, match=why):
        decode_config(config_of(door, key=None, more=f'auth = "{auth}"').encode())


def test_a_key_beside_a_token_is_a_mistake() -> None:
    """One of the two would have no effect."""
    with pytest.raises(ConfigError, match='api_key: has no effect: auth = "google" sends no key'):
        decode_config(config_of("vertex", more='auth = "google"').encode())
    with pytest.raises(ConfigError, match="optional: has no effect without api_key"):
        decode_config(config_of("vertex", key=None, more='auth = "google"\noptional = true').encode())


def test_keys_in_the_environment_need_no_library(monkeypatch: pytest.MonkeyPatch) -> None:
    """They are read at the start. An optional upstream without them is left out."""
    monkeypatch.setattr(sources, "_is_installed", lambda library: False)
    config = decode_config(config_of("bedrock", key=None, more='auth = "aws"\noptional = true').encode())
    keys = {"AWS_ACCESS_KEY_ID": "AKID", "AWS_SECRET_ACCESS_KEY": "sk-secret"}
    assert resolve_secrets(config, keys).upstreams["cloud"].fetched is None
    config = decode_config(config_of("bedrock", key=None, more='auth = "aws"\noptional = true').encode())
    assert not resolve_secrets(config, {}).upstreams
