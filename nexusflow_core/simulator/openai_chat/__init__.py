"""OpenAI's Chat Completions protocol, spoken by the simulated upstream, with its vendors' oddities.

`simulate quirk <name>` in the last user text switches a row of `QUIRKS` on.
"""

from __future__ import annotations

from collections.abc import Sequence

from msgspec.structs import replace

from nexusflow_core.simulator.failures import Failure
from nexusflow_core.simulator.jsonvalue import Object, encode_json
from nexusflow_core.simulator.openai_chat.answer import turn_of, usage_of
from nexusflow_core.simulator.openai_chat.checks import InvalidRequest
from nexusflow_core.simulator.openai_chat.failures import FAILURES, NO_CREDENTIAL, error_body
from nexusflow_core.simulator.openai_chat.prompt import ask_of, last_text, prompt_tokens
from nexusflow_core.simulator.openai_chat.quirks import QUIRKS, Quirk, quirks_in
from nexusflow_core.simulator.openai_chat.request import ChatRequest, decode_request
from nexusflow_core.simulator.openai_chat.stream import Answer, Frames, error_data, frame
from nexusflow_core.simulator.reply import Reply, made_id, reply
from nexusflow_core.simulator.response import Headers, SimulatedResponse

__all__ = ["FAILURES", "QUIRKS", "create_chat_completion"]

REQUESTS_A_MINUTE = 10_000
TOKENS_A_MINUTE = 2_000_000


def create_chat_completion(headers: Sequence[tuple[bytes, bytes]], body: bytes) -> SimulatedResponse:
    """POST /v1/chat/completions."""
    if not _has_credential(headers):
        return _error_response(NO_CREDENTIAL, body)
    try:
        request = decode_request(body)
    except InvalidRequest as error:
        refused = Failure(400, "invalid_request_error", error.message, code=error.code, param=error.param)
        return _error_response(refused, body)
    text = last_text(request)
    quirks = quirks_in(text)
    aloud = any(quirk.aloud for quirk in quirks)
    replied = _named(reply(ask_of(request, text, think=aloud or request.reasons), FAILURES), request.model)
    directives = replied.directives
    if directives.failure is not None and not (directives.failure_in_stream and request.stream):
        return _error_response(directives.failure, body, quirks, stream=request.stream)
    if any(quirk.in_200 for quirk in quirks) and directives.failure is None:
        return _error_response(FAILURES["server_error"], body, quirks, stream=request.stream)
    answer = _answer(request, replied, quirks, body, aloud=aloud or request.reasons_aloud)
    if request.stream:
        return SimulatedResponse(200, _headers(b"text/event-stream; charset=utf-8", body), Frames(answer))
    return SimulatedResponse(200, _headers(b"application/json", body), (answer.body(),))


def _answer(
    request: ChatRequest, replied: Reply, quirks: tuple[Quirk, ...], body: bytes, *, aloud: bool
) -> Answer:
    call_ids = (made_id("call_", body, nth) for nth in range(len(replied.parts)))
    turn = turn_of(replied, call_ids, aloud=aloud, forced=request.choice.forced is not None)
    for quirk in quirks:
        turn = quirk.turn(turn)
    usage: Object | None = usage_of(turn, prompt_tokens(request))
    for quirk in quirks:
        usage = None if usage is None else quirk.usage(usage)
    return Answer(
        id=made_id("chatcmpl-", body),
        model=request.model,
        turn=turn,
        usage=usage,
        include_usage=request.include_usage,
        quirks=quirks,
        directives=replied.directives,
    )


def _named(replied: Reply, model: str) -> Reply:
    """The ordered failure with the model's name in its text."""
    failure = replied.directives.failure
    if failure is None:
        return replied
    failure = replace(failure, message=failure.message.replace("{model}", model))
    return replace(replied, directives=replace(replied.directives, failure=failure))


def _error_response(
    failure: Failure, body: bytes, quirks: tuple[Quirk, ...] = (), *, stream: bool = False
) -> SimulatedResponse:
    """An error before the first byte of an answer; `body` is the request's, for the ids."""
    data = error_data(error_body(failure), quirks)
    if any(quirk.in_200 for quirk in quirks):
        if stream:
            return SimulatedResponse(200, _headers(b"text/event-stream; charset=utf-8", body), (frame(data),))
        return SimulatedResponse(200, _headers(b"application/json", body), (encode_json(data),))
    headers = _headers(b"application/json", body, exhausted=failure.retry_after)
    if failure.retry_after is not None:
        headers += (
            (b"retry-after", b"%d" % failure.retry_after),
            (b"retry-after-ms", b"%d" % (failure.retry_after * 1_000)),
        )
    return SimulatedResponse(failure.status, headers, (encode_json(data),))


def _headers(content_type: bytes, body: bytes, exhausted: int | None = None) -> Headers:
    """`exhausted`: no request is left for so many seconds."""
    left, reset = (REQUESTS_A_MINUTE - 1, b"6ms") if exhausted is None else (0, b"%ds" % exhausted)
    return (
        (b"content-type", content_type),
        (b"x-request-id", made_id("req_", body).encode()),
        (b"openai-organization", b"simulated"),
        (b"openai-processing-ms", b"1"),
        (b"openai-version", b"2020-10-01"),
        (b"x-ratelimit-limit-requests", b"%d" % REQUESTS_A_MINUTE),
        (b"x-ratelimit-limit-tokens", b"%d" % TOKENS_A_MINUTE),
        (b"x-ratelimit-remaining-requests", b"%d" % left),
        (b"x-ratelimit-remaining-tokens", b"%d" % (TOKENS_A_MINUTE - 1_000)),
        (b"x-ratelimit-reset-requests", reset),
        (b"x-ratelimit-reset-tokens", b"30ms"),
    )


def _has_credential(headers: Sequence[tuple[bytes, bytes]]) -> bool:
    """A bearer token, or Azure's `api-key`."""
    return any(name.lower() in (b"authorization", b"api-key") and value.strip() for name, value in headers)
