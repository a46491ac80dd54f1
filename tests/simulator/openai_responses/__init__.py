"""Responses as OpenAI checks them, and stricter: what this gateway promises to send is demanded.

`simulate thoughts between` in the last user text makes the model say and think something before each call.
"""

from __future__ import annotations

from nexusflow_core.errors import CallerError, InvalidRequestError
from nexusflow_core.simulator import openai_responses
from nexusflow_core.simulator.cache import CacheAt
from nexusflow_core.simulator.endpoint import SimulatedResponse, decode_body
from nexusflow_core.simulator.openai_responses import answered, refuse
from nexusflow_core.simulator.openai_responses.request import check_history, read_responses
from nexusflow_core.upstream import Headers
from tests.simulator.openai_chat.checks import Refused
from tests.simulator.openai_responses.items import check_items
from tests.simulator.openai_responses.replies import reply_to
from tests.simulator.openai_responses.request import check_request

__all__ = ["create_response"]


def create_response(headers: Headers, body: bytes, cache: CacheAt) -> SimulatedResponse:
    """POST /v1/responses."""
    refused = _refused(body)
    plain = openai_responses.create_response(headers, body, cache)
    if plain.status == 401 or (refused is None and plain.status != 200):
        return plain
    if refused is not None:
        return refuse(refused, body)
    request = read_responses(body)
    return answered(request, reply_to(request), body)


def _refused(body: bytes) -> InvalidRequestError | None:
    try:
        fields = decode_body(body)
        check_request(fields)
        check_history(read_responses(body).items)
        check_items(fields)
    except Refused as error:
        return InvalidRequestError(error.message, details={"param": error.param, "code": error.code})
    except CallerError:
        return None  # the product refuses it itself
    return None
