"""OpenAI's Chat Completions protocol for the simulated upstream."""

from typing import Any

import msgspec

from nexusflow_core.errors import CallerError, NexusFlowError, UpstreamStatusError
from nexusflow_core.simulator.openai_chat.answer import Answer, turn_of
from nexusflow_core.simulator.openai_chat.prompt import ask_of, prompt_tokens
from nexusflow_core.simulator.openai_chat.request import ChatRequest, read_chat
from nexusflow_core.simulator.reply import Reply, reply
from nexusflow_core.simulator.response import EVENT_STREAM, JSON, SimulatedResponse, has_credential, made_id
from nexusflow_core.upstream import Headers

__all__ = ["answer_to", "create_chat_completion", "error_body"]

_NO_CREDENTIAL = UpstreamStatusError(
    401,
    "invalid_request_error",
    "You didn't provide an API key. You need to provide your API key in an Authorization header using Bearer "
    "auth (i.e. Authorization: Bearer YOUR_KEY).",
    details={"code": "invalid_api_key"},
)


def create_chat_completion(headers: Headers, body: bytes) -> SimulatedResponse:
    """POST /v1/chat/completions. The credential is a bearer token, or Azure's `api-key`."""
    if not has_credential(headers, b"authorization", b"api-key"):
        return _json(401, error_body(_NO_CREDENTIAL), body)
    try:
        request = read_chat(body)
    except CallerError as error:
        return _json(error.status, error_body(error), body)
    answer = answer_to(request, reply(ask_of(request)), body, aloud=request.reasons_aloud)
    if request.stream:
        return SimulatedResponse(200, _headers(EVENT_STREAM, body), answer)
    return _json(200, answer.body(), body)


def answer_to(request: ChatRequest, replied: Reply, body: bytes, *, aloud: bool) -> Answer:
    """Returns the reply as an answer to this request. `aloud`: reasoning is shown."""
    call_ids = (made_id("call_", body, nth) for nth in range(len(replied.parts)))
    return Answer(
        id=made_id("chatcmpl-", body),
        model=request.model,
        turn=turn_of(replied, call_ids, aloud=aloud, forced=request.forced_tool is not None),
        prompt=prompt_tokens(request),
        include_usage=request.include_usage,
    )


def error_body(error: NexusFlowError) -> dict[str, Any]:
    """Returns the body of an error response. It is also the data of an error inside a stream."""
    details = {"param": None, "code": None, **(error.details or {})}
    return {"error": {"message": error.message, "type": error.type, **details}}


def _json(status: int, value: dict[str, Any], body: bytes) -> SimulatedResponse:
    return SimulatedResponse(status, _headers(JSON, body), (msgspec.json.encode(value),))


def _headers(content_type: tuple[bytes, bytes], body: bytes) -> Headers:
    return [content_type, (b"x-request-id", made_id("req_", body).encode())]
