"""One call through a cloud's door, with all I/O done by hand."""

import json
from typing import Any, Literal

from nexusflow_core import Call, Exchange, Gateway, UpstreamRequest, decode_config
from nexusflow_core.exchange import Send
from nexusflow_core.upstream import Credential, Headers
from tests.core.translation.driving import NOW, Driven, drive

__all__ = ["DOOR_SETTINGS", "JSON", "betas_of", "config_of", "exchange_at", "message", "refused", "sent_to"]

JSON: Headers = [(b"content-type", b"application/json")]

DOOR_SETTINGS = {
    "bedrock": 'region = "us-east-1"',
    "bedrock-invoke": 'region = "us-east-1"',
    "bedrock-mantle": 'region = "us-east-1"',
    "aws": 'region = "us-west-2"\nworkspace = "wrkspc_01ABC"',
    "google": 'project = "acme-prod"\nworkspace = "wrkspc_01ABC"',
    "vertex": 'project = "acme-prod"\nregion = "us-east5"',
    "foundry": 'resource = "acme-claude"',
}
"""The settings that each door needs."""


def config_of(
    door: str, *, target: str = "cloud", more: str = "", key: str | None = "CLOUD_KEY", route: str = ""
) -> str:
    """A configuration whose every model is served by one cloud."""
    return f"""
        [upstreams.cloud]
        dialect = "anthropic"
        door = "{door}"
        {DOOR_SETTINGS.get(door, "")}
        {f'api_key = "env:{key}"' if key else ""}
        {more}
        [[routes]]
        model = "*"
        targets = ["{target}"]
        {route}
        [retry]
        attempts = 1
        [auth]
        anonymous = true
    """


def exchange_at(
    config: str,
    body: dict[str, Any] | bytes,
    *,
    headers: Headers = (),
    endpoint: Literal["messages", "count_tokens"] = "messages",
    credential: Credential | None = None,
    query: bytes = b"",
) -> Exchange:
    """The exchange of this body, to be driven. The cloud's key is `sk-cloud-key`."""
    decoded = decode_config(config.encode())
    decoded.resolve({"CLOUD_KEY": "sk-cloud-key", "PROJECT": "sk-project-secret"})
    call = Call(
        endpoint=endpoint,
        request_id="req_1",
        started_at=NOW,
        headers=headers,
        query=query,
        body=body if isinstance(body, bytes) else json.dumps(body, separators=(",", ":")).encode(),
        credential=credential,
    ).look(10**8)
    return Gateway(decoded).open(call, started=0.0)


def sent_to(exchange: Exchange) -> UpstreamRequest:
    """The request that the exchange sends first."""
    exchange.start(0.0)
    assert isinstance(exchange.order, Send), exchange.record(0.0)
    return exchange.order.request


def refused(door: str, body: Any, *, status: int, headers: Headers = (), own: bytes | None = None) -> Driven:
    """A call that the cloud answers with this error. `own`: the client's key, which is then the one sent."""
    credential = None if own is None else Credential("bearer", own)
    config = config_of(door, key="CLOUD_KEY" if own is None else None)
    exchange = exchange_at(config, message(), credential=credential)
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return drive(exchange, [data], status=status, headers=[*JSON, *headers])


def message(**members: Any) -> dict[str, Any]:
    """A small request."""
    return {
        "model": "claude-haiku-4-5",
        "max_tokens": 9,
        "messages": [{"role": "user", "content": "hi"}],
        **members,
    }


def betas_of(request: UpstreamRequest) -> str | None:
    """The betas that went upstream, in one list."""
    sent = [value.decode() for name, value in request.headers if name == b"anthropic-beta"]
    return ",".join(sent).replace(" ", "") if sent else None
