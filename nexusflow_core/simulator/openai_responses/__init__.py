"""OpenAI's Responses protocol for the simulated upstream."""

from nexusflow_core.errors import NexusFlowError
from nexusflow_core.simulator.cache import CacheAt
from nexusflow_core.simulator.endpoint import (
    Endpoint,
    SimulatedResponse,
    json_response,
    made_id,
    stream_response,
)
from nexusflow_core.simulator.openai_chat import CREDENTIALS, NO_CREDENTIAL
from nexusflow_core.simulator.openai_chat.request import ask_of
from nexusflow_core.simulator.openai_chat.usage import prompt_tokens
from nexusflow_core.simulator.openai_responses.answer import Answer, error_of
from nexusflow_core.simulator.openai_responses.request import (
    ResponsesRequest,
    chat_of,
    check_history,
    read_responses,
)
from nexusflow_core.simulator.reply import Reply, reply
from nexusflow_core.upstream import Headers

__all__ = ["answered", "count_input_tokens", "create_response", "refuse"]


def _create_response(body: bytes, _: CacheAt) -> SimulatedResponse:
    request, replied = _read(body)
    return answered(request, replied, body)


def answered(request: ResponsesRequest, replied: Reply, body: bytes) -> SimulatedResponse:
    """Returns the response to a request with this reply. `body` makes the ids."""
    failure = replied.directives.failure
    if failure is not None and replied.directives.fails_at_once(request.stream is True):
        return refuse(failure, body)
    answer = Answer(request, replied, body)
    if request.stream:
        return stream_response(answer, _headers(body))
    return json_response(200, answer.response(), _headers(body))


def _count_input_tokens(body: bytes, _: CacheAt) -> SimulatedResponse:
    request, replied = _read(body)
    failure = replied.directives.failure
    if failure is not None and not replied.directives.failure_in_stream:
        return refuse(failure, body)
    count = {"object": "response.input_tokens", "input_tokens": prompt_tokens(chat_of(request)).total}
    return json_response(200, count, _headers(body))


def _read(body: bytes) -> tuple[ResponsesRequest, Reply]:
    request = read_responses(body)
    check_history(request.items)
    return request, reply(ask_of(chat_of(request)))


def refuse(error: NexusFlowError, body: bytes) -> SimulatedResponse:
    """Returns an error response."""
    more = [(name.encode(), value.encode()) for name, value in error.headers.items()]
    return json_response(error.status, {"error": error_of(error)}, [*_headers(body), *more])


def _headers(body: bytes) -> Headers:
    return [(b"x-request-id", made_id("req_", body).encode())]


create_response = Endpoint(CREDENTIALS, NO_CREDENTIAL, _create_response, refuse)
"""POST /responses."""

count_input_tokens = Endpoint(CREDENTIALS, NO_CREDENTIAL, _count_input_tokens, refuse)
"""POST /responses/input_tokens."""
