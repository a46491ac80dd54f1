"""OpenAI's Chat Completions protocol for the simulated upstream."""

from typing import Any

from nexusflow_core.errors import NexusFlowError, UpstreamStatusError
from nexusflow_core.simulator.cache import CacheAt
from nexusflow_core.simulator.endpoint import (
    Endpoint,
    SimulatedResponse,
    json_response,
    made_id,
    stream_response,
)
from nexusflow_core.simulator.openai_chat.answer import Answer, answer_to
from nexusflow_core.simulator.openai_chat.request import ask_of, read_chat
from nexusflow_core.simulator.reply import reply
from nexusflow_core.upstream import Headers

__all__ = ["CREDENTIALS", "NO_CREDENTIAL", "create_chat_completion", "error_body"]

CREDENTIALS = (b"authorization", b"api-key")
NO_CREDENTIAL = UpstreamStatusError(
    401,
    "invalid_request_error",
    "You didn't provide an API key. You need to provide your API key in an Authorization header using Bearer "
    "auth (i.e. Authorization: Bearer YOUR_KEY).",
    details={"code": "invalid_api_key"},
)


def error_body(error: NexusFlowError) -> dict[str, Any]:
    """Returns the body of an error response. It is also the data of an error inside a stream."""
    details = {"param": None, "code": None, **(error.details or {})}
    return {"error": {"message": error.message, "type": error.type, **details}}


def _create_chat_completion(body: bytes, _: CacheAt) -> SimulatedResponse:
    request = read_chat(body)
    answer: Answer = answer_to(request, reply(ask_of(request)), body, aloud=request.reasons_aloud)
    if request.stream:
        return stream_response(answer, _headers(body))
    return json_response(200, answer.body(), _headers(body))


def _refuse(error: NexusFlowError, body: bytes) -> SimulatedResponse:
    return json_response(error.status, error_body(error), _headers(body))


def _headers(body: bytes) -> Headers:
    return [(b"x-request-id", made_id("req_", body).encode())]


create_chat_completion = Endpoint(CREDENTIALS, NO_CREDENTIAL, _create_chat_completion, _refuse)
"""POST /v1/chat/completions. The credential is a bearer token, or Azure's `api-key`."""
