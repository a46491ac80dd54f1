"""One relayed call, driven as the relay drives it, with all I/O done by hand."""

import json
from collections.abc import Iterable
from typing import Any, Literal

from nexusflow_core import Call, Exchange, Gateway, decode_config
from nexusflow_core.upstream import Credential, Headers
from tests.core.translation.driving import NOW, Driven, drive

__all__ = ["JSON", "SSE", "config_of", "events", "relayed", "sent_through"]

JSON: Headers = [(b"content-type", b"application/json")]
SSE: Headers = [(b"content-type", b"text/event-stream")]


def config_of(*, vendor: str | None = None, target: str = "up", route: str = "*", more: str = "") -> str:
    """A configuration with one Anthropic-speaking upstream, `up`."""
    named = f'vendor = "{vendor}"' if vendor else ""
    return f"""
        [upstreams.up]
        dialect = "anthropic"
        base_url = "http://up"
        {named}
        [[routes]]
        model = "{route}"
        targets = ["{target}"]
        {more}
        [retry]
        attempts = 1
        [auth]
        anonymous = true
    """


def sent_through(
    config: str, body: bytes, *, endpoint: Literal["messages", "count_tokens"] = "messages"
) -> Exchange:
    """The exchange of this body through a gateway of this configuration, to be driven."""
    call = Call(
        endpoint=endpoint,
        request_id="req_1",
        started_at=NOW,
        body=body,
        credential=Credential("x-api-key", b"sk-client"),
    ).look(10**8)
    return Gateway(decode_config(config.encode())).open(call, started=0.0)


def relayed(
    config: str, answer: Any, *, model: str = "claude-opus-4-7", pieces: Iterable[bytes] | None = None
) -> Driven:
    """A call whose upstream answers with this message, or streams these events."""
    stream = isinstance(answer, list)
    asked = {"model": model, "max_tokens": 9, "stream": stream, "messages": [{"role": "user", "content": "hi"}]}
    data = events(answer) if stream else json.dumps(answer).encode()
    exchange = sent_through(config, json.dumps(asked).encode())
    driven = drive(exchange, pieces or [data], status=200, headers=SSE if stream else JSON)
    assert driven.body == data  # nothing of it was touched
    return driven


def events(parts: list[Any]) -> bytes:
    """Events of a Messages stream; a string goes as it is."""
    return b"".join(
        part.encode()
        if isinstance(part, str)
        else f"event: {part['type']}\ndata: {json.dumps(part)}\n\n".encode()
        for part in parts
    )
