"""Anthropic's Messages protocol for the simulated upstream."""

import msgspec

from nexusflow_core.errors import CallerError, NexusFlowError, UpstreamStatusError, error_body
from nexusflow_core.simulator.anthropic.answer import Answer, EventStream, message
from nexusflow_core.simulator.anthropic.request import SimulatedRequest, read_simulated
from nexusflow_core.simulator.anthropic.usage import prompt_tokens
from nexusflow_core.simulator.directives import read_directives
from nexusflow_core.simulator.reply import Reply, ToolCall, reply
from nexusflow_core.simulator.response import EVENT_STREAM, JSON, SimulatedResponse, has_credential, made_id
from nexusflow_core.upstream import Headers

__all__ = ["count_tokens", "create_message", "error_response"]

_NO_CREDENTIAL = UpstreamStatusError(401, "authentication_error", "x-api-key header is required")


def create_message(headers: Headers, body: bytes) -> SimulatedResponse:
    """POST /v1/messages."""
    if not has_credential(headers, b"x-api-key", b"authorization"):
        return error_response(_NO_CREDENTIAL, body)
    try:
        request = read_simulated(body)
    except CallerError as error:
        return error_response(error, body)
    replied = reply(request.ask)
    if (failure := replied.directives.failure) and replied.directives.fails_at_once(request.stream):
        return error_response(failure, body)
    answer = _answer(request, replied, body)
    if request.stream:
        return SimulatedResponse(200, _headers(EVENT_STREAM, body), EventStream(answer))
    return _json(200, message(answer), body)


def count_tokens(headers: Headers, body: bytes) -> SimulatedResponse:
    """POST /v1/messages/count_tokens. An error requested for a stream has no effect here."""
    if not has_credential(headers, b"x-api-key", b"authorization"):
        return error_response(_NO_CREDENTIAL, body)
    try:
        request = read_simulated(body, counting=True)
    except CallerError as error:
        return error_response(error, body)
    directives = read_directives(request.ask.text)
    if directives.failure is not None and not directives.failure_in_stream:
        return error_response(directives.failure, body)
    return _json(200, {"input_tokens": prompt_tokens(request.body).total}, body)


def error_response(error: NexusFlowError, body: bytes) -> SimulatedResponse:
    """Returns an error before the first byte of an answer. `body` is the request's, for the ids."""
    retry = b"true" if isinstance(error, UpstreamStatusError) and error.retryable else b"false"
    more = [(name.encode(), value.encode()) for name, value in error.headers.items()]
    headers = [*_headers(JSON, body), (b"x-should-retry", retry), *more]
    return SimulatedResponse(error.status, headers, (error_body(error, made_id("req_", body)),))


def _answer(request: SimulatedRequest, replied: Reply, body: bytes) -> Answer:
    calls = sum(isinstance(part, ToolCall) for part in replied.parts)
    return Answer(
        id=made_id("msg_", body),
        request_id=made_id("req_", body),
        model=request.model,
        prompt=prompt_tokens(request.body),
        reply=replied,
        call_ids=tuple(made_id("toolu_", body, nth) for nth in range(calls)),
        signature=made_id("simulated-", body),
        show_thinking=request.show_thinking,
        inference_geo=request.inference_geo,
    )


def _json(status: int, value: object, body: bytes) -> SimulatedResponse:
    return SimulatedResponse(status, _headers(JSON, body), (msgspec.json.encode(value),))


def _headers(content_type: tuple[bytes, bytes], body: bytes) -> Headers:
    organization = (b"anthropic-organization-id", b"00000000-0000-4000-8000-000000000000")
    return [content_type, (b"request-id", made_id("req_", body).encode()), organization]
