"""One translated call, driven as the relay drives it, with all I/O done by hand."""

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from msgspec import Struct

from nexusflow_core import Call, CallRecord, Config, Exchange, Gateway, ModelRoute, Principal, Target, Upstream
from nexusflow_core.errors import UpstreamError
from nexusflow_core.exchange import Close, Read, Send
from nexusflow_core.routing import Retry, TargetOptions, Thinking
from nexusflow_core.upstream import AuthScheme, Credential, Headers, Secret

__all__ = [
    "NOW",
    "REFUSED",
    "Driven",
    "answered",
    "asking",
    "chunks",
    "drive",
    "error",
    "exchange_of",
    "sse",
    "streamed",
]

NOW = datetime(2026, 11, 22, 12, 0, 0, tzinfo=UTC)
REFUSED = "the gateway's own credential was refused upstream"
TOOLS = [
    {"name": name, "input_schema": {"type": "object"}} for name in ("get_weather", "get_time", "search", "add")
]


class Driven(Struct):
    """What the client got, and the record."""

    status: int
    headers: dict[str, str]
    body: bytes
    record: CallRecord

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def dropped(self) -> list[str]:
        return [loss.path for loss in self.record.dropped]


def asking(*, stream: bool, **members: Any) -> bytes:
    """A request's body."""
    body = {
        "model": "some-model",
        "max_tokens": 100,
        "stream": stream,
        "tools": TOOLS,
        "messages": [{"role": "user", "content": "hi"}],
    }
    return json.dumps({**body, **members}).encode()


def exchange_of(
    body: bytes,
    *,
    dialect: str = "openai-chat",
    vendor: str | None = None,
    own_key: bool = True,
    key: str = "sk-upstream",
    auth: AuthScheme = "bearer",
    targets: int = 1,
    attempts: int | None = None,
    thinking: Thinking = "keep",
    options: TargetOptions | None = None,
    request_id: str = "req_1",
    principal: Principal | None = None,
) -> Exchange:
    upstreams = {
        f"u{number}": Upstream(
            name=f"u{number}",
            dialect=dialect,
            base_url=f"http://u{number}",
            api_key=Secret(key) if own_key else None,
            auth=auth,
            vendor=vendor,
        )
        for number in range(targets)
    }
    retry = Retry(attempts=targets if attempts is None else attempts)
    route = ModelRoute(
        "*",
        tuple(Target(one, options=options or TargetOptions()) for one in upstreams.values()),
        retry,
        thinking=thinking,
    )
    call = Call(
        endpoint="messages",
        request_id=request_id,
        started_at=NOW,
        body=body,
        credential=Credential("bearer", b"sk-client" if own_key else key.encode()),
        principal=principal,
    ).look(10**8)
    gateway = Gateway(Config(upstreams=upstreams, routes=(route,), anonymous=True))
    return gateway.open(call, started=0.0)


def drive(exchange: Exchange, pieces: Iterable[bytes], *, status: int, headers: Headers) -> Driven:
    """Sends, reads the pieces and the end, as nexusflow_asgi.relay does."""
    exchange.start(0.0)
    assert isinstance(exchange.order, Send), exchange.record(0.0)
    out = [exchange.receive_head(status, headers, 0.0)]
    for piece in pieces:
        if not isinstance(exchange.order, Read):
            break
        try:
            out.append(exchange.receive_data(piece, 0.0))
        except UpstreamError as error:
            out.append(exchange.transport_failed(error, 0.0))
    if isinstance(exchange.order, Read):
        out.append(exchange.receive_eof(0.0))
    assert isinstance(exchange.order, Close)
    assert exchange.response_head is not None
    shown = {name.decode(): value.decode() for name, value in exchange.response_head.headers}
    return Driven(exchange.response_head.status, shown, b"".join(out), exchange.record(0.0))


def answered(
    answer: Any,
    *,
    status: int = 200,
    headers: Mapping[str, str] | None = None,
    dialect: str = "openai-chat",
    vendor: str | None = None,
    own_key: bool = True,
    key: str = "sk-upstream",
    stream: bool = False,
    pieces: Sequence[bytes] | None = None,
    **members: Any,
) -> Driven:
    """A call whose upstream answers with this body: JSON to be, text, or bytes."""
    data = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
    exchange = exchange_of(
        asking(stream=stream, **members), dialect=dialect, vendor=vendor, own_key=own_key, key=key
    )
    sent = {"content-type": "application/json", **(headers or {})}
    raw = [(name.encode(), value.encode()) for name, value in sent.items()]
    return drive(exchange, [data] if pieces is None else pieces, status=status, headers=raw)


def streamed(
    data: bytes | Sequence[bytes],
    *,
    dialect: str = "openai-chat",
    vendor: str | None = None,
    key: str = "sk-upstream",
    headers: Mapping[str, str] | None = None,
    **members: Any,
) -> Driven:
    """A streaming call whose upstream answers 200 with these bytes, in one piece or in these."""
    exchange = exchange_of(asking(stream=True, **members), dialect=dialect, vendor=vendor, key=key)
    sent = {"content-type": "text/event-stream", **(headers or {})}
    raw = [(name.encode(), value.encode()) for name, value in sent.items()]
    return drive(exchange, [data] if isinstance(data, bytes) else data, status=200, headers=raw)


def error(message: str = "what went wrong", **members: Any) -> dict[str, Any]:
    """The body of an error, as OpenAI writes it."""
    return {"error": {"message": message, **members}}


def chunks(*deltas: Mapping[str, Any], finish: str | None = "stop", usage: Any = None) -> list[dict[str, Any]]:
    """Chunks with one choice each, a finish chunk, and the usage in a chunk without choices."""
    made: list[dict[str, Any]] = [{"choices": [{"index": 0, "delta": dict(delta)}]} for delta in deltas]
    if finish is not None:
        made.append({"choices": [{"index": 0, "delta": {}, "finish_reason": finish}]})
    if usage is not None:
        made.append({"choices": [], "usage": usage})
    return made


def sse(items: Iterable[Any], *, done: bool = True, end: bytes = b"\n") -> bytes:
    """The chunks as server-sent events."""
    lines = [b"data: " + json.dumps(item).encode() + end + end for item in items]
    return b"".join(lines) + (b"data: [DONE]" + end + end if done else b"")
