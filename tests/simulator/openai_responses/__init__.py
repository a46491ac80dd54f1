"""Responses as OpenAI checks them, and stricter: what this gateway promises to send is demanded.

`simulate thoughts between` in the last user text makes the model say and think something before each call.
"""

from __future__ import annotations

from msgspec.structs import replace

from nexusflow_core.errors import InvalidRequestError
from nexusflow_core.simulator import openai_responses
from nexusflow_core.simulator.cache import CacheAt
from nexusflow_core.simulator.endpoint import SimulatedResponse, decode_body
from nexusflow_core.simulator.openai_responses import answered, read_responses
from nexusflow_core.upstream import Headers
from tests.simulator.openai_chat.checks import Refused
from tests.simulator.openai_responses.history import check_history
from tests.simulator.openai_responses.items import check_items
from tests.simulator.openai_responses.replies import reply_to
from tests.simulator.openai_responses.request import check_request

__all__ = ["create_response"]


def create_response(headers: Headers, body: bytes, cache: CacheAt) -> SimulatedResponse:
    """POST /v1/responses."""
    return replace(openai_responses.create_response, answer=_answer)(headers, body, cache)


def _answer(body: bytes, cache: CacheAt) -> SimulatedResponse:
    request = read_responses(body)
    _check(body)
    return answered(request, reply_to(request), body, cache)


def _check(body: bytes) -> None:
    fields = decode_body(body)
    try:
        check_request(fields)
        check_history(read_responses(body).items)
        check_items(fields)
    except Refused as error:
        details = {"param": error.param, "code": error.code}
        raise InvalidRequestError(error.message, details=details) from None
