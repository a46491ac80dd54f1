"""The settings of a cloud's door: the address that they make, and mistakes with their place."""

import pytest

from nexusflow_core import ConfigError, decode_config
from nexusflow_core.dialects.anthropic.doors import DOORS
from nexusflow_core.upstream import Credential
from tests.core.doors.asking import DOOR_SETTINGS, JSON, config_of, exchange_at, message, sent_to
from tests.core.translation.driving import drive

ADDRESSES = {
    "bedrock": "https://bedrock-runtime.us-east-1.amazonaws.com/anthropic/v1/messages",
    "bedrock-invoke": "https://bedrock-runtime.us-east-1.amazonaws.com/model/claude-haiku-4-5/invoke",
    "bedrock-mantle": "https://bedrock-mantle.us-east-1.api.aws/anthropic/v1/messages",
    "aws": "https://aws-external-anthropic.us-west-2.api.aws/v1/messages",
    "google": "https://claude.googleapis.com/v1/projects/acme-prod/locations/global"
    "/workspaces/wrkspc_01ABC/invoke/v1/messages",
    "vertex": "https://us-east5-aiplatform.googleapis.com/v1/projects/acme-prod/locations/us-east5"
    "/publishers/anthropic/models/claude-haiku-4-5:rawPredict",
    "foundry": "https://acme-claude.services.ai.azure.com/anthropic/v1/messages",
}
SCHEMES = {
    "bedrock": (b"x-api-key", b"sk-cloud-key"),
    "bedrock-invoke": (b"authorization", b"Bearer sk-cloud-key"),
    "bedrock-mantle": (b"authorization", b"Bearer sk-cloud-key"),
    "aws": (b"x-api-key", b"sk-cloud-key"),
    "google": (b"authorization", b"Bearer sk-cloud-key"),
    "vertex": (b"authorization", b"Bearer sk-cloud-key"),
    "foundry": (b"x-api-key", b"sk-cloud-key"),
}


@pytest.mark.parametrize("door", DOOR_SETTINGS)
def test_each_door_has_its_address_and_one_credential(door: str) -> None:
    """The settings make the URL. The key goes out in the door's own header, and in no other."""
    request = sent_to(exchange_at(config_of(door), message()))
    assert request.url == ADDRESSES[door]
    credentials = [pair for pair in request.headers if pair[0] in (b"x-api-key", b"authorization")]
    assert credentials == [SCHEMES[door]]


def test_every_door_is_tested() -> None:
    """A new row needs its settings above."""
    assert set(DOORS) == set(DOOR_SETTINGS)


def test_the_base_url_overrides_the_address() -> None:
    """For private endpoints and proxies: the rest of the door stays."""
    more = 'base_url = "https://vpce-0a1b.bedrock-runtime.us-east-1.vpce.amazonaws.com/anthropic"'
    request = sent_to(exchange_at(config_of("bedrock", more=more), message()))
    wanted = "https://vpce-0a1b.bedrock-runtime.us-east-1.vpce.amazonaws.com/anthropic/v1/messages"
    assert request.url == wanted
    assert (b"x-api-key", b"sk-cloud-key") in request.headers


def test_configured_headers_replace_the_clients() -> None:
    """By any spelling of the name. A secret value is read from the environment."""
    more = 'headers = { "X-Project" = "env:PROJECT", "x-plain" = "one" }'
    sent = [(b"x-project", b"mine"), (b"x-plain", b"mine"), (b"x-plain", b"again"), (b"x-other", b"stays")]
    request = sent_to(exchange_at(config_of("foundry", more=more), message(), headers=sent))
    found = [pair for pair in request.headers if pair[0].startswith(b"x-p") or pair[0] == b"x-other"]
    assert found == [(b"x-other", b"stays"), (b"x-project", b"sk-project-secret"), (b"x-plain", b"one")]


def test_a_workspace_of_the_client_is_not_sent() -> None:
    """The configured workspace pays, whatever the client asks for, with its own key too."""
    sent = [(b"anthropic-workspace-id", b"wrkspc_of_another")]
    own = Credential("x-api-key", b"AEAA-mine")
    for key, credential in (("CLOUD_KEY", None), (None, own)):
        exchange = exchange_at(config_of("aws", key=key), message(), headers=sent, credential=credential)
        names = [value for name, value in sent_to(exchange).headers if name == b"anthropic-workspace-id"]
        assert names == [b"wrkspc_01ABC"]


def test_headers_work_without_a_door() -> None:
    """A vendor that speaks Anthropic's protocol may need one as well."""
    config = config_of("bedrock", more='base_url = "https://h/anthropic"\nheaders = { "x-token-type" = "PAT" }')
    config = config.replace('door = "bedrock"', "").replace(DOOR_SETTINGS["bedrock"], "")
    assert (b"x-token-type", b"PAT") in sent_to(exchange_at(config, message())).headers


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ('door = "bedrok"', r"upstreams.a.door: 'bedrok' is not one of .* \(did you mean 'bedrock'\?\)"),
        ('door = "bedrock"', "upstreams.a: door = 'bedrock' needs `region`"),
        ('door = "aws"\nregion = "us-east-1"', "door = 'aws' needs `workspace`"),
        (
            'door = "foundry"\nresource = "r"\nregion = "x"',
            "a.region: has no effect: door = 'foundry'",
        ),
        ('region = "us-east-1"', "upstreams.a.region: has no effect without `door`"),
        ('betas = "pass"', "upstreams.a.betas: has no effect without `door`"),
        ('door = "bedrock"\nregion = "us-east-1/x"', "upstreams.a.region: may contain only letters"),
        ('headers = { "authorization" = "x" }', "a.headers.authorization: cannot be set"),
        ('headers = { "a b" = "x" }', "headers.a b: is not the name of a header"),
        ('headers = { "x-a" = "env:" }', 'headers.x-a: names no environment variable: write "env:NAME"'),
        ('headers = { "x-a" = "a\\nb" }', "headers.x-a: must be printable ASCII"),
    ],
)
def test_a_mistake_is_told_with_its_place(text: str, complaint: str) -> None:
    """`nexusflow check` shows these."""
    with pytest.raises(ConfigError, match=complaint):
        decode_config(f'[upstreams.a]\ndialect = "anthropic"\n{text}\n'.encode())


def test_a_translated_dialect_has_no_door() -> None:
    """Clouds serve Claude there, and nothing is translated."""
    text = b'[upstreams.a]\ndialect = "openai-chat"\nbase_url = "https://h"\ndoor = "bedrock"\nregion = "r"\n'
    with pytest.raises(ConfigError, match=r"upstreams\.a\.door: has no effect: dialect 'openai-chat'"):
        decode_config(text)


def test_a_missing_secret_of_a_header_is_told() -> None:
    """With its place. An optional upstream is left out instead."""
    text = """
        [upstreams.a]
        dialect = "anthropic"
        api_key = "env:KEY"
        headers = { "x-project" = "env:NOWHERE" }
    """
    with pytest.raises(ConfigError, match=r"upstreams.a.headers.x-project: .* NOWHERE is not set"):
        decode_config(text.encode()).resolve({"KEY": "k"})
    optional = decode_config((text + "optional = true\n").encode())
    optional.resolve({"KEY": "k"})
    assert optional.without_missing().left_out == {"a": "NOWHERE"}


def test_a_secret_header_never_shows_in_a_record() -> None:
    """Not even if the cloud repeats it as the model's name."""
    exchange = exchange_at(config_of("foundry", more='headers = { "x-project" = "env:PROJECT" }'), message())
    answer = b'{"type":"message","model":"sk-project-secret","usage":{"input_tokens":1,"output_tokens":1}}'
    driven = drive(exchange, [answer], status=200, headers=JSON)
    assert driven.record.response_model == "[removed]"
