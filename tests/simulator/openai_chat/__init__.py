"""Chat Completions as OpenAI checks them, with its vendors' oddities and errors on demand.

`simulate quirk <name>` in the last user text switches a row of `QUIRKS` on.
"""

from __future__ import annotations

import msgspec
from msgspec.structs import asdict, replace

from nexusflow_core.errors import CallerError, UpstreamStatusError
from nexusflow_core.simulator import openai_chat
from nexusflow_core.simulator.cache import CacheAt
from nexusflow_core.simulator.endpoint import Endpoint, Service, SimulatedResponse, made_id, read_as
from nexusflow_core.simulator.openai_chat import ChatRequest, answer_to, error_body
from nexusflow_core.simulator.reply import reply
from nexusflow_core.sse import encode_sse
from nexusflow_core.upstream import Headers
from tests.simulator.openai_chat.answer import OddAnswer, error_data
from tests.simulator.openai_chat.checks import Refused
from tests.simulator.openai_chat.failures import FAILURES
from tests.simulator.openai_chat.quirks import QUIRKS, Quirk, quirks_in
from tests.simulator.openai_chat.request import check_request

__all__ = ["FAILURES", "QUIRKS", "create_chat_completion"]

REQUESTS_A_MINUTE = 10_000
TOKENS_A_MINUTE = 2_000_000


def create_chat_completion(headers: Headers, body: bytes, cache: CacheAt) -> SimulatedResponse:
    """POST /v1/chat/completions."""
    return Endpoint(_SERVICE, _answer)(headers, body, cache)


class _OddService(Service, frozen=True):
    """The product's service, for answers that have their own headers."""

    def answer(self, made: SimulatedResponse, body: bytes) -> SimulatedResponse:
        return made


_SERVICE = _OddService(**asdict(openai_chat.create_chat_completion.service))


def _answer(body: bytes, cache: CacheAt) -> SimulatedResponse:
    try:
        check_request(body)
        request = read_as(body, ChatRequest)
    except (Refused, CallerError) as error:
        details = {"param": getattr(error, "param", None), "code": getattr(error, "code", None)}
        refused = UpstreamStatusError(400, "invalid_request_error", error.message, details=details)
        return _error_response(refused, body)
    stream = request.stream is True
    ask = request.ask()
    quirks = quirks_in(ask.text)
    aloud = any(quirk.aloud for quirk in quirks)
    try:
        replied = reply(replace(ask, think=aloud or request.reasons), FAILURES)
    except UpstreamStatusError as error:
        return _error_response(error, body, quirks, stream=stream)
    if any(quirk.in_200 for quirk in quirks) and replied.failure is None:
        return _error_response(FAILURES["server_error"], body, quirks, stream=stream)
    plain = answer_to(request, replied, body, cache, aloud=aloud or request.reasons_aloud)
    answer = OddAnswer(plain, quirks, replied)
    if stream:
        return SimulatedResponse(200, _headers(b"text/event-stream; charset=utf-8", body), answer)
    return SimulatedResponse(200, _headers(b"application/json", body), (answer.body(),))


def _error_response(
    failure: UpstreamStatusError, body: bytes, quirks: tuple[Quirk, ...] = (), *, stream: bool = False
) -> SimulatedResponse:
    """An error before the first byte of an answer; `body` is the request's, for the ids."""
    data = msgspec.json.encode(error_data(error_body(failure), quirks))
    if any(quirk.in_200 for quirk in quirks):
        if stream:
            return SimulatedResponse(
                200, _headers(b"text/event-stream; charset=utf-8", body), (encode_sse(data),)
            )
        return SimulatedResponse(200, _headers(b"application/json", body), (data,))
    headers = _headers(b"application/json", body, exhausted=failure.headers.get("retry-after"))
    more = [(name.encode(), value.encode()) for name, value in failure.headers.items()]
    return SimulatedResponse(failure.status, [*headers, *more], (data,))


def _headers(content_type: bytes, body: bytes, exhausted: str | None = None) -> Headers:
    """`exhausted`: no request is left for so many seconds."""
    left, reset = (REQUESTS_A_MINUTE - 1, b"6ms") if exhausted is None else (0, b"%bs" % exhausted.encode())
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
