"""`auth = "aws"`: each attempt is signed after its edits, with keys from the environment."""

import json
import re
from typing import Any

import pytest

from nexusflow_core import Call, ConfigError, Exchange, Gateway, UpstreamRequest, decode_config
from nexusflow_core.exchange import Send, Sleep
from nexusflow_core.upstream import header
from nexusflow_core.upstream.sigv4 import AwsKeys, signed_headers
from tests.core.doors.asking import JSON, config_of, message, sent_to
from tests.core.translation.driving import NOW, REFUSED, drive

ENVIRONMENT = {
    "AWS_ACCESS_KEY_ID": "AKIAEXAMPLE0000001",
    "AWS_SECRET_ACCESS_KEY": "sk-aws-secret",
    "AWS_SESSION_TOKEN": "sk-session-token",
}
KEYS = AwsKeys(*ENVIRONMENT.values())


def exchange(
    door: str = "bedrock", *, environment: dict[str, str] = ENVIRONMENT, attempts: int = 1, **members: Any
) -> Exchange:
    config = decode_config(
        config_of(door, key=None, more='auth = "aws"', target="cloud/us.anthropic.claude-haiku-4-5")
        .replace("attempts = 1", f"attempts = {attempts}")
        .encode()
    )
    config.resolve(environment)
    headers = [*JSON, (b"x-amz-date", b"20000101T000000Z"), (b"authorization", b"Bearer sk-the-clients")]
    body = json.dumps(message(**members)).encode()
    call = Call(endpoint="messages", request_id="r", started_at=NOW, headers=headers, body=body).look(10**6)
    return Gateway(config).open(call, started=0.0)


def is_signed(
    request: UpstreamRequest, service: str, *, keys: AwsKeys = KEYS, region: str = "us-east-1"
) -> bool:
    """True if the signature fits the very request."""
    ours = (b"x-amz-date", b"x-amz-security-token", b"authorization")
    plain = [pair for pair in request.headers if pair[0] not in ours]
    scope = (region, service)
    wanted = signed_headers("POST", request.url, plain, request.body, keys=keys, scope=scope, at=NOW)
    return list(request.headers) == list(wanted)


@pytest.mark.parametrize(
    ("door", "service", "region"),
    [
        ("bedrock", "bedrock", "us-east-1"),
        ("bedrock-invoke", "bedrock", "us-east-1"),
        ("bedrock-mantle", "bedrock-mantle", "us-east-1"),
        ("aws", "aws-external-anthropic", "us-west-2"),
    ],
)
def test_a_request_is_signed_after_its_edits(door: str, service: str, region: str) -> None:
    """The body that leaves is the one that is signed. The client's own signature and key do not leave."""
    request = sent_to(exchange(door, metadata={"user_id": "{}"}))
    assert "model" in request.edits
    assert is_signed(request, service, region=region)
    assert header(request.headers, b"x-amz-security-token") == b"sk-session-token"
    assert len([name for name, _ in request.headers if name in (b"authorization", b"x-api-key")]) == 1


def test_each_attempt_is_signed_at_its_moment() -> None:
    """AWS refuses a signature that is five minutes old, and a call may wait longer for its second attempt."""
    it = exchange(attempts=2)
    it.start(0.0)
    it.receive_head(503, JSON, 400.0)
    it.receive_data(b'{"message":"busy"}', 400.0)
    it.receive_eof(400.0)
    assert isinstance(it.order, Sleep)
    it.on_timer(it.order.until)
    assert isinstance(it.order, Send)
    stamp = header(it.order.request.headers, b"x-amz-date")
    assert stamp is not None
    assert stamp >= b"20261122T120640Z"


def test_without_a_token() -> None:
    """Long-term keys have none."""
    environment = {name: value for name, value in ENVIRONMENT.items() if name != "AWS_SESSION_TOKEN"}
    request = sent_to(exchange(environment=environment))
    assert is_signed(request, "bedrock", keys=AwsKeys(KEYS.key_id, KEYS.secret))
    assert header(request.headers, b"x-amz-security-token") is None


def test_a_missing_key_is_told() -> None:
    """With its place; an optional upstream is left out."""
    text = '[upstreams.a]\ndialect = "anthropic"\ndoor = "bedrock"\nregion = "us-east-1"\nauth = "aws"\n'
    with pytest.raises(ConfigError, match=r"upstreams\.a\.auth: .* AWS_ACCESS_KEY_ID is not set"):
        decode_config(text.encode()).resolve({})
    optional = decode_config((text + "optional = true\n").encode())
    optional.resolve({})
    assert list(optional.without_missing().left_out) == ["a"]
    optional = decode_config((text + "optional = true\n").encode())
    optional.resolve({name: ENVIRONMENT[name] for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")})
    assert not optional.without_missing().left_out


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ('door = "foundry"\nresource = "acme"', "a.auth: \"aws\" works with these doors only: 'bedrock', "),
        ("", "a.auth: \"aws\" works with these doors only: 'bedrock', "),
        (
            'door = "bedrock"\nregion = "r"\napi_key = "env:K"',
            'a.api_key: has no effect: auth = "aws" sends no',
        ),
    ],
)
def test_signing_where_it_cannot_work_is_a_mistake(text: str, complaint: str) -> None:
    """It is told with its place."""
    with pytest.raises(ConfigError, match=re.escape(complaint)):
        decode_config(f'[upstreams.a]\ndialect = "anthropic"\nauth = "aws"\n{text}\n'.encode())


@pytest.mark.parametrize("kind", [b"UnrecognizedClientException", b"InvalidSignatureException"])
def test_a_refused_signature_is_the_operators_failure(kind: bytes) -> None:
    """The client is told nothing that could make it doubt its own key."""
    body = b'{"message":"The security token AKIAEXAMPLE0000001 is invalid."}'
    driven = drive(exchange(), [body], status=403, headers=[*JSON, (b"x-amzn-errortype", kind)])
    assert (driven.status, driven.json["error"]["message"]) == (500, REFUSED)


def test_no_part_of_the_keys_shows() -> None:
    """Neither in an error, nor in the record, nor in a repr."""
    said = json.dumps({"message": f"odd: {' '.join(ENVIRONMENT.values())}"}).encode()
    it = exchange()
    driven = drive(it, [said], status=400, headers=JSON)
    shown = driven.body.decode() + repr(driven.record) + repr(it) + json.dumps(driven.headers)
    assert [value for value in ENVIRONMENT.values() if value in shown] == []
