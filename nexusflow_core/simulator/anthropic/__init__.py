"""Anthropic's Messages protocol for the simulated upstream."""

import msgspec

from nexusflow_core.errors import NexusFlowError, UpstreamStatusError, error_body
from nexusflow_core.simulator.anthropic.answer import Answer, message
from nexusflow_core.simulator.anthropic.request import read_simulated
from nexusflow_core.simulator.anthropic.usage import cached_tokens, prompt_total
from nexusflow_core.simulator.cache import CacheAt
from nexusflow_core.simulator.directives import read_directives
from nexusflow_core.simulator.endpoint import (
    Endpoint,
    SimulatedResponse,
    json_response,
    made_id,
    stream_response,
)
from nexusflow_core.simulator.reply import reply
from nexusflow_core.upstream import Headers

__all__ = ["count_tokens", "create_message", "error_response"]

_CREDENTIALS = (b"x-api-key", b"authorization")
_NO_CREDENTIAL = UpstreamStatusError(401, "authentication_error", "x-api-key header is required")
_ORGANIZATION = (b"anthropic-organization-id", b"00000000-0000-4000-8000-000000000000")


def error_response(error: NexusFlowError, body: bytes) -> SimulatedResponse:
    """Returns an error before the first byte of an answer. `body`: the request's, to make ids."""
    retry = b"true" if isinstance(error, UpstreamStatusError) and error.retryable else b"false"
    more = [(name.encode(), value.encode()) for name, value in error.headers.items()]
    headers = [*_headers(body), (b"x-should-retry", retry), *more]
    return json_response(error.status, msgspec.Raw(error_body(error, made_id("req_", body))), headers)


def _create_message(body: bytes, cache: CacheAt) -> SimulatedResponse:
    request = read_simulated(body)
    replied = reply(request.ask)
    failure = replied.directives.failure
    if failure is not None and replied.directives.fails_at_once(request.stream):
        return error_response(failure, body)
    answer = Answer(request, replied, cached_tokens(request.body, cache), body)
    if request.stream:
        return stream_response(answer, _headers(body))
    return json_response(200, message(answer), _headers(body))


def _count_tokens(body: bytes, _: CacheAt) -> SimulatedResponse:
    """Returns the count. Ignores a requested stream error."""
    request = read_simulated(body, counting=True)
    directives = read_directives(request.ask.text)
    if directives.failure is not None and not directives.failure_in_stream:
        return error_response(directives.failure, body)
    return json_response(200, {"input_tokens": prompt_total(request.body)}, _headers(body))


def _headers(body: bytes) -> Headers:
    return [(b"request-id", made_id("req_", body).encode()), _ORGANIZATION]


create_message = Endpoint(_CREDENTIALS, _NO_CREDENTIAL, _create_message, error_response)
count_tokens = Endpoint(_CREDENTIALS, _NO_CREDENTIAL, _count_tokens, error_response)
