"""Anthropic's Messages protocol, spoken by the simulated upstream."""

from __future__ import annotations

from collections.abc import Sequence

from nexusflow_core.simulator.anthropic.answer import Answer, EventStream, error_body, message
from nexusflow_core.simulator.anthropic.prompt import ask_of, prompt_tokens
from nexusflow_core.simulator.anthropic.request import InvalidRequest, MessagesRequest, decode_request
from nexusflow_core.simulator.directives import read_directives
from nexusflow_core.simulator.failures import Failure, invalid_request
from nexusflow_core.simulator.jsonvalue import encode_json
from nexusflow_core.simulator.reply import Reply, ToolCall, made_id, reply
from nexusflow_core.simulator.response import Headers, SimulatedResponse

__all__ = ["count_tokens", "create_message", "error_response"]

ORGANIZATION_ID = "00000000-0000-4000-8000-000000000000"

_NO_CREDENTIAL = Failure(401, "authentication_error", "x-api-key header is required")


def create_message(headers: Sequence[tuple[bytes, bytes]], body: bytes) -> SimulatedResponse:
    """POST /v1/messages."""
    if not _has_credential(headers):
        return error_response(_NO_CREDENTIAL, body)
    try:
        request = decode_request(body)
    except InvalidRequest as error:
        return error_response(invalid_request(str(error)), body)
    replied = reply(ask_of(request))
    directives = replied.directives
    if directives.failure is not None and not (directives.failure_in_stream and request.stream):
        return error_response(directives.failure, body)
    answer = _answer(request, replied, body)
    if request.stream:
        return SimulatedResponse(200, _headers(b"text/event-stream; charset=utf-8", body), EventStream(answer))
    return SimulatedResponse(200, _headers(b"application/json", body), (encode_json(message(answer)),))


def count_tokens(headers: Sequence[tuple[bytes, bytes]], body: bytes) -> SimulatedResponse:
    """POST /v1/messages/count_tokens. An error ordered for the middle of a stream waits for one."""
    if not _has_credential(headers):
        return error_response(_NO_CREDENTIAL, body)
    try:
        request = decode_request(body, counting=True)
    except InvalidRequest as error:
        return error_response(invalid_request(str(error)), body)
    directives = read_directives(ask_of(request).text)
    if directives.failure is not None and not directives.failure_in_stream:
        return error_response(directives.failure, body)
    counted = encode_json({"input_tokens": prompt_tokens(request).total})
    return SimulatedResponse(200, _headers(b"application/json", body), (counted,))


def error_response(failure: Failure, body: bytes) -> SimulatedResponse:
    """An error before the first byte of an answer; `body` is the request's, for the ids."""
    retry = b"true" if failure.retryable else b"false"
    headers = (*_headers(b"application/json", body), (b"x-should-retry", retry))
    if failure.retry_after is not None:
        headers += ((b"retry-after", b"%d" % failure.retry_after),)
    content = encode_json(error_body(failure, made_id("req_", body)))
    return SimulatedResponse(failure.status, headers, (content,))


def _answer(request: MessagesRequest, replied: Reply, body: bytes) -> Answer:
    calls = sum(isinstance(part, ToolCall) for part in replied.parts)
    return Answer(
        id=made_id("msg_", body),
        request_id=made_id("req_", body),
        model=request.model,
        prompt=prompt_tokens(request),
        reply=replied,
        call_ids=tuple(made_id("toolu_", body, nth) for nth in range(calls)),
        signature=made_id("simulated-", body),
        show_thinking=request.show_thinking,
        inference_geo=request.inference_geo,
    )


def _headers(content_type: bytes, body: bytes) -> Headers:
    return (
        (b"content-type", content_type),
        (b"request-id", made_id("req_", body).encode()),
        (b"anthropic-organization-id", ORGANIZATION_ID.encode()),
    )


def _has_credential(headers: Sequence[tuple[bytes, bytes]]) -> bool:
    return any(name.lower() in (b"x-api-key", b"authorization") and value.strip() for name, value in headers)
