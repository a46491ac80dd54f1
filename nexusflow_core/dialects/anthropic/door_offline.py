"""The cloud's side of a door, for a gateway without a network: requests are checked as the cloud checks them.

What stands behind a door is Anthropic's API again: `opened` gives its request, and `framed` dresses the answer.
"""

import hmac
import re
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from urllib.parse import unquote, urlsplit

import msgspec
from msgspec import Struct

from nexusflow_core.aws_eventstream import encode_frame
from nexusflow_core.dialects.anthropic.doors import DOORS, Door, beta_allowed
from nexusflow_core.errors import InvalidRequestError, UpstreamStatusError
from nexusflow_core.json_spans import members, spliced
from nexusflow_core.peek import rename_model
from nexusflow_core.prices.model_id import candidates
from nexusflow_core.sse import SSEDecoder
from nexusflow_core.untyped import MALFORMED, object_of
from nexusflow_core.upstream import Headers, UpstreamRequest, client_credentials, header
from nexusflow_core.upstream.sigv4 import signed_headers

__all__ = ["OpenedRequest", "framed", "opened"]

_SKEW: Final = timedelta(minutes=5)
"""AWS refuses older signatures, and those of the future."""
_SIGNATURE: Final = frozenset((b"authorization", b"x-amz-date", b"x-amz-security-token"))
_MODEL: Final = re.compile(r"/models?/(?P<model>[^/]+?)[/:](?P<operation>[\w-]+)$")
_STREAMS: Final = frozenset(("invoke-with-response-stream", "streamRawPredict"))
_JSON: Final = (b"content-type", b"application/json")
_EXCEPTIONS: Final = {
    "rate_limit_error": "throttlingException",
    "invalid_request_error": "validationException",
    "timeout_error": "modelTimeoutException",
    "overloaded_error": "serviceUnavailableException",
}
"""The exceptions of a stream that stand for Anthropic's errors; `internalServerException` for all others."""


class OpenedRequest(Struct, frozen=True):
    """A request of Anthropic's API, and the form that its answer has at the door."""

    path: str
    headers: Headers
    body: bytes
    operation: str = ""
    """The last part of an address that names the model, such as `invoke`."""


def opened(request: UpstreamRequest, at: datetime) -> OpenedRequest:
    """Returns the request behind the door. Raises UpstreamStatusError, as the cloud would refuse it at `at`."""
    upstream, door = request.upstream, DOORS[request.upstream.door or ""]
    _check_credential(request, at)
    for name, value in upstream.headers.items():
        if isinstance(value, str) and header(request.headers, name.encode()) != value.encode():
            raise _refusal(400, f"{name}: the header is required")
    text, path = request.body, urlsplit(request.url).path
    found = _MODEL.search(path)
    operation = found["operation"] if found is not None and door.envelope is not None else ""
    try:
        if operation == "count-tokens":
            inner = object_of(object_of(object_of(msgspec.json.decode(text)).get("input")).get("invokeModel"))
            text = msgspec.json.decode(msgspec.json.encode(inner["body"]), type=bytes)
        sent = {name: text[start:end] for name, start, end in members(text)}
    except (*MALFORMED, InvalidRequestError, KeyError):
        raise _refusal(400, "Malformed input request, please reformat your input and try again.") from None
    _check_members(door, request.headers, sent)
    headers = [*(pair for pair in request.headers if pair[0] != b"authorization"), (b"x-api-key", b"offline")]
    if found is None or not operation:
        return OpenedRequest(path, headers, _named(text, sent))
    if found["model"] == "count-tokens":  # Vertex: the body names the model
        return OpenedRequest("/v1/messages/count_tokens", headers, _named(text, sent), operation)
    if "anthropic_version" not in sent:
        raise _refusal(400, "required key [anthropic_version] not found")
    member = b'"model":' + msgspec.json.encode(_plain(unquote(found["model"])))
    member += b',"stream":true' if operation in _STREAMS else b""
    text = spliced(text, {"anthropic_version": member, "anthropic_beta": None, "stream": None})
    path = "/v1/messages/count_tokens" if operation == "count-tokens" else "/v1/messages"
    return OpenedRequest(path, headers, text, operation)


def framed(
    asked: OpenedRequest, status: int, headers: Headers, chunks: Iterable[bytes]
) -> tuple[Headers, Iterable[bytes]]:
    """Returns headers and chunks of an answer as they leave the door."""
    if status >= 400:
        return headers, chunks
    if asked.operation == "count-tokens":
        tokens = object_of(msgspec.json.decode(b"".join(chunks))).get("input_tokens")
        return [_JSON], (msgspec.json.encode({"inputTokens": tokens}),)
    if asked.operation != "invoke-with-response-stream":
        return headers, chunks
    kind = (b"content-type", b"application/vnd.amazon.eventstream")
    return [kind, (b"x-amzn-requestid", b"simulated")], _frames(chunks)


def _frames(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Yields a frame for each event but pings, which this cloud does not send."""
    decoder = SSEDecoder()
    for chunk in chunks:
        for event in decoder.feed(chunk):
            if event.event == "error":
                error = object_of(object_of(msgspec.json.decode(event.data)).get("error"))
                name = _EXCEPTIONS.get(str(error.get("type")), "internalServerException")
                told = msgspec.json.encode({"message": error.get("message")})
                yield _frame({":exception-type": name}, "exception", told)
                return
            if event.event != "ping":
                yield _frame({":event-type": "chunk"}, "event", msgspec.json.encode({"bytes": event.data}))


def _frame(kind: dict[str, str], message_type: str, payload: bytes) -> bytes:
    more = {":content-type": "application/json", ":message-type": message_type}
    return encode_frame({**kind, **more}, payload)


def _named(text: bytes, sent: dict[str, bytes]) -> bytes:
    """Returns a body with Claude's own name in place of the door's."""
    try:
        return rename_model(text, _plain(msgspec.json.decode(sent.get("model", b""), type=str)))
    except MALFORMED:
        return text  # refused behind the door


def _plain(model: str) -> str:
    """Returns Claude's own name for a model, which the cloud's answer tells."""
    plain = (one.id for one in candidates(model) if one.id.startswith("claude-") and "@" not in one.id)
    return next(plain, model)


def _check_members(door: Door, headers: Headers, sent: dict[str, bytes]) -> None:
    """Raises the refusal of members and betas that the door does not take."""
    extra = next((name for name in sent if name in door.dropped), None)
    if extra is not None:
        raise _refusal(400, f"{extra}: Extra inputs are not permitted")
    listed = b",".join([value for name, value in headers if name == b"anthropic-beta"]).decode("latin-1")
    try:
        inside: Any = msgspec.json.decode(sent.get("anthropic_beta", b"[]"), type=list[str])
    except MALFORMED:
        inside = []
    betas = [*inside, *(beta.strip() for beta in listed.split(",") if beta.strip())]
    wrong = [beta for beta in betas if not beta_allowed(door, beta)]
    if wrong:
        names = ", ".join(f"`{beta}`" for beta in wrong)
        raise _refusal(400, f"Unexpected value(s) {names} for the `anthropic-beta` header.")


def _check_credential(request: UpstreamRequest, at: datetime) -> None:
    """Raises the refusal of a request without the credential that the upstream's configuration promises."""
    upstream = request.upstream
    if upstream.signing is not None and upstream.fetched is None:
        _check_signature(request, at)
        return
    if upstream.auth == "none":
        return
    found = client_credentials(request.headers)
    if len(found) != 1:
        raise _refusal(401, "exactly one credential is required")
    if upstream.api_key is not None:
        wanted = upstream.credential_header(None)
        if wanted is None or not hmac.compare_digest(found[0].as_header()[1], wanted[1]):
            raise _refusal(401, "the key is not valid")


def _check_signature(request: UpstreamRequest, at: datetime) -> None:
    signing = request.upstream.signing
    stamp = (header(request.headers, b"x-amz-date") or b"").decode("latin-1")
    try:
        signed_at = datetime.strptime(stamp, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    except ValueError:
        raise _refusal(403, "Missing Authentication Token") from None
    if signing is None or abs(at - signed_at) > _SKEW:
        raise _refusal(403, "Signature expired")
    plain = [pair for pair in request.headers if pair[0] not in _SIGNATURE]
    scope, keys = (signing.region, signing.service), signing.keys()
    wanted = signed_headers(
        request.method, request.url, plain, request.body, keys=keys, scope=scope, at=signed_at
    )
    told = header(request.headers, b"authorization") or b""
    if not hmac.compare_digest(told, header(wanted, b"authorization") or b""):
        raise _refusal(403, "The request signature we calculated does not match the signature you provided.")


def _refusal(status: int, message: str) -> UpstreamStatusError:
    kind = {400: "invalid_request_error", 401: "authentication_error", 403: "permission_error"}[status]
    return UpstreamStatusError(status, kind, message)
