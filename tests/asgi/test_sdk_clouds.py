"""Anthropic's own clients for clouds as the reference: the same call by one of them and through the gateway.

Both meet the same simulated cloud on a real socket, which checks the request and frames the answer.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from types import ModuleType
from typing import Any, NamedTuple
from urllib.parse import unquote, urlsplit

import anthropic
import msgspec
import pytest
from anthropic.lib.bedrock import AnthropicBedrock, AnthropicBedrockMantle
from anthropic.lib.vertex import AnthropicVertex

from nexusflow_asgi import NexusFlow
from nexusflow_core import Upstream, UpstreamRequest, decode_config
from nexusflow_core.dialects.anthropic.door_offline import framed, opened
from nexusflow_core.simulator import simulate
from tests.core.doors.asking import config_of
from tests.servers import Received, ScriptedUpstream, Served, Step, answer

KEY = "sk-of-the-cloud"
HAIKU = "claude-haiku-4-5"
BETAS = ["context-management-2025-06-27", "effort-2025-11-24"]


class Case(NamedTuple):
    """A client, the base URLs of both, and the model's name at the cloud."""

    make: Any
    theirs: str
    ours: str
    model: str
    more: str = ""


PROJECT = "/v1/projects/acme-prod/locations/us-east5"
WORKSPACE = "/v1/projects/acme-prod/locations/global/workspaces/wrkspc_01ABC/invoke"
CASES = {
    "bedrock-invoke": Case(
        lambda url: AnthropicBedrock(api_key=KEY, aws_region="us-east-1", base_url=url),
        "",
        "",
        "us.anthropic.claude-haiku-4-5-20251001-v1:0",
    ),
    "bedrock-mantle": Case(
        lambda url: AnthropicBedrockMantle(api_key=KEY, aws_region="us-east-1", base_url=url),
        "/anthropic",
        "/anthropic",
        "anthropic.claude-haiku-4-5",
    ),
    "aws": Case(
        lambda url: anthropic.AnthropicAWS(
            api_key=KEY, aws_region="us-west-2", workspace_id="wrkspc_01ABC", base_url=url
        ),
        "",
        "",
        HAIKU,
        'auth = "bearer"',  # as this client sends the key; AWS's documentation has x-api-key
    ),
    "vertex": Case(
        lambda url: AnthropicVertex(access_token=KEY, region="us-east5", project_id="acme-prod", base_url=url),
        "/v1",
        "",
        "claude-haiku-4-5@20251001",
    ),
    "google": Case(
        lambda url: anthropic.AnthropicGoogleCloud(
            project="acme-prod", workspace_id="wrkspc_01ABC", token_provider=lambda: KEY, base_url=url
        ),
        WORKSPACE,
        WORKSPACE,
        HAIKU,
    ),
    "foundry": Case(
        lambda url: anthropic.AnthropicFoundry(api_key=KEY, base_url=url),
        "/anthropic",
        "/anthropic",
        "our-haiku",
    ),
}
COUNTING = [door for door in CASES if door != "bedrock-invoke"]  # its client refuses to count
OURS = frozenset(("anthropic-beta", "anthropic-version", "anthropic-workspace-id", "content-type"))
SIGNED = ("bedrock-invoke", "bedrock-mantle", "aws")


def asked(request: Received) -> tuple[str, dict[str, Any], dict[str, str]]:
    """Path, body and headers that matter. The credential is the one header that bears the key."""
    headers = {name.decode().lower(): value.decode() for name, value in request.headers}
    kept = {name: value for name, value in headers.items() if name in OURS}
    credentials = sorted(name for name, value in headers.items() if KEY in value)
    kept["credential"] = "x-api-key" if "x-api-key" in credentials else ",".join(credentials)
    return unquote(urlsplit(request.target.decode()).path), msgspec.json.decode(request.body), kept


class Cloud:
    """Both sides of one door: the cloud on a socket, and a gateway before it."""

    def __init__(self, door: str) -> None:
        self.case = CASES[door]
        self.server = ScriptedUpstream(self.reply)
        self.upstream: Upstream | None = None
        self.door = door

    def reply(self, request: Received) -> Iterable[Step]:
        assert self.upstream is not None
        headers = [(name.lower(), value) for name, value in request.headers]
        url = self.server.url + request.target.decode()
        now = datetime.now(UTC)
        behind = opened(UpstreamRequest(self.upstream, "POST", url, headers, request.body), now)
        got = simulate(behind.path, behind.headers, behind.body)
        told, chunks = framed(behind, got.status, got.headers, got.chunks)
        return answer(got.status, told, list(chunks), framing="chunked")

    def both(self, monkeypatch: pytest.MonkeyPatch, calls: Sequence[Any]) -> list[tuple[list[Any], list[Any]]]:
        """For each call: the answers of both clients, and what the cloud got from both."""
        monkeypatch.setenv("CLOUD_KEY", KEY)
        for name in ("AWS_BEARER_TOKEN_BEDROCK", "ANTHROPIC_FOUNDRY_RESOURCE"):
            monkeypatch.delenv(name, raising=False)
        case = self.case
        with self.server as server:
            more = f'{case.more}\nbase_url = "{server.url}{case.ours}"'
            text = config_of(self.door, more=more, target=f"cloud/{case.model}")
            config = decode_config(text.encode())
            config.resolve({"CLOUD_KEY": KEY})
            self.upstream = config.upstreams["cloud"]
            with case.make(server.url + case.theirs) as reference:
                theirs = [call(reference, case.model) for call in calls]
            with Served(NexusFlow(config=config)) as served:
                with anthropic.Anthropic(api_key="x", base_url=served.url, max_retries=0) as plain:
                    ours = [call(plain, HAIKU) for call in calls]
            assert server.errors == []
            got = [asked(request) for request in server.requests]
        answers = zip(theirs, ours, strict=True)
        requests = zip(got[: len(calls)], got[len(calls) :], strict=True)
        return [(list(a), list(r)) for a, r in zip(answers, requests, strict=True)]


def arguments(model: str) -> dict[str, Any]:
    return {"model": model, "messages": [{"role": "user", "content": "hi"}], "max_tokens": 50}


def create(client: Any, model: str) -> Any:
    return client.messages.create(**arguments(model), system="Be brief.", stop_sequences=["STOP"]).content


def create_beta(client: Any, model: str) -> Any:
    return client.beta.messages.create(**arguments(model), betas=BETAS).content


def stream(client: Any, model: str) -> Any:
    events = client.messages.create(**arguments(model), stream=True)
    return [event.type for event in events if event.type != "ping"]


def count(client: Any, model: str) -> Any:
    asked_for = {name: value for name, value in arguments(model).items() if name != "max_tokens"}
    return client.messages.count_tokens(**asked_for).input_tokens


CALLS = [create, create_beta, stream, count]


@pytest.mark.parametrize("door", CASES)
def test_the_gateway_sends_what_anthropics_client_sends(door: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Path, body, betas, workspace and credential. The answers are the same as well."""
    calls = [call for call in CALLS if call is not count or door in COUNTING]
    for call, (answers, requests) in zip(calls, Cloud(door).both(monkeypatch, calls), strict=True):
        assert answers[0] == answers[1]
        (path, body, headers), (our_path, our_body, our_headers) = requests
        assert our_path == path
        if door == "bedrock-invoke":
            # The client writes its own version, which Bedrock may not take. Headers are not read there.
            versions = (body.pop("anthropic_version"), our_body.pop("anthropic_version"))
            assert versions == ("2026-10-21", "bedrock-2023-05-31")
            for sent in (headers, our_headers):
                sent.pop("anthropic-version", None)
                sent.pop("anthropic-beta", None)
        if door == "vertex":
            headers.pop("anthropic-version", None)  # it is in the body
            if call is count:  # the client leaves date and version, which Vertex refuses or ignores
                body.pop("anthropic_version", None)
                body["model"] = body["model"].partition("@")[0]
        assert our_body == body
        assert our_headers == headers


class _Boto3(ModuleType):
    """What Anthropic's client uses of boto3, made of botocore."""

    class Session:
        def __init__(self, **arguments: Any) -> None:
            self.region_name = arguments["region_name"]
            self._keys = [
                arguments[f"aws_{name}"] for name in ("access_key_id", "secret_access_key", "session_token")
            ]

        def get_credentials(self) -> Any:
            from botocore.credentials import Credentials

            return Credentials(*self._keys)


@pytest.mark.parametrize("door", SIGNED)
def test_signatures_are_for_the_same_region_and_service(door: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the same keys; the client signs more headers."""
    monkeypatch.setitem(sys.modules, "boto3", _Boto3("boto3"))
    monkeypatch.delenv("AWS_BEARER_TOKEN_BEDROCK", raising=False)
    keys = {"aws_access_key": "AKIDEXAMPLE", "aws_secret_key": "sk-secret", "aws_session_token": "sk-session"}
    case = CASES[door]
    maker = {"bedrock-invoke": AnthropicBedrock, "bedrock-mantle": AnthropicBedrockMantle}
    workspace = {"workspace_id": "wrkspc_01ABC"} if door == "aws" else {}
    region = "us-west-2" if door == "aws" else "us-east-1"
    body = b'{"type":"message","id":"m","role":"assistant","content":[],"usage":{"input_tokens":1}}'
    with ScriptedUpstream(lambda _: answer(200, [(b"content-type", b"application/json")], [body])) as server:
        make: Any = maker.get(door, anthropic.AnthropicAWS)
        with make(aws_region=region, base_url=server.url + case.theirs, **keys, **workspace) as reference:
            create(reference, case.model)
        more = f'auth = "aws"\nbase_url = "{server.url}{case.ours}"'
        config = decode_config(config_of(door, key=None, more=more, target=f"cloud/{case.model}").encode())
        config.resolve(
            {
                "AWS_ACCESS_KEY_ID": "AKIDEXAMPLE",
                "AWS_SECRET_ACCESS_KEY": "sk-secret",
                "AWS_SESSION_TOKEN": "sk-session",
            }
        )
        with Served(NexusFlow(config=config)) as served:
            with anthropic.Anthropic(api_key="x", base_url=served.url, max_retries=0) as plain:
                create(plain, HAIKU)
        theirs, ours = ({n.lower(): v for n, v in request.headers} for request in server.requests)
    scopes = [found[b"authorization"].split(b"/", 2)[2].split(b",")[0] for found in (theirs, ours)]
    assert scopes[0] == scopes[1]
    assert ours[b"x-amz-security-token"] == theirs[b"x-amz-security-token"] == b"sk-session"
