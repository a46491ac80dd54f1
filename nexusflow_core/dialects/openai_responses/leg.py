"""ResponsesLeg: one Messages call over a Responses upstream."""

import msgspec

from nexusflow_core.call import Call
from nexusflow_core.dialect import LegState
from nexusflow_core.dialects.openai_responses.errors import (
    error_in,
    error_of_answer,
    error_of_body,
    origin_of,
    refused_parts,
)
from nexusflow_core.dialects.openai_responses.schema import Event, Response, decode_event, decode_response
from nexusflow_core.dialects.openai_responses.stream import ENDS, ResponsesStream
from nexusflow_core.dialects.openai_responses.vendors import ResponsesRequestFacts
from nexusflow_core.errors import AnswerUnusableError, UpstreamError, UpstreamStatusError
from nexusflow_core.sse import ServerSentEvent
from nexusflow_core.translation.answer import Answer, fold
from nexusflow_core.translation.error_bodies import ReportedFailure
from nexusflow_core.translation.leg import TranslatedLeg
from nexusflow_core.translation.losses import Losses
from nexusflow_core.translation.stream import is_done, unread
from nexusflow_core.upstream import UpstreamRequest

__all__ = ["ResponsesLeg"]


class ResponsesLeg(TranslatedLeg[ResponsesStream]):
    """One attempt at a Responses upstream. See `Leg` for the methods."""

    def __init__(
        self, request: UpstreamRequest, call: Call, facts: ResponsesRequestFacts, losses: Losses
    ) -> None:
        origin = origin_of(facts.vendor, facts.model, request.upstream, call.credential)
        super().__init__(request, call, facts, losses, origin)
        self._request_facts = facts

    def begin(self) -> ResponsesStream:
        return ResponsesStream(self._request_facts)

    def reported_error(self, body: bytes) -> ReportedFailure:
        return error_of_body(body)

    def _failed(self, reported: ReportedFailure) -> UpstreamStatusError:
        error = super()._failed(reported)
        error.refuses = refused_parts(reported, self._status)
        return error

    def decode(self, event: ServerSentEvent) -> bytes:
        stream, data = self._stream, event.data
        if stream is None:
            return b""
        if stream.done or self._refused or not data.strip() or is_done(data):
            return b""
        try:
            decoded = decode_event(data)
        except msgspec.DecodeError as error:
            return self._undecoded(event, error)
        if not isinstance(decoded.type, str) or not decoded.type:
            decoded.type = event.event if event.event != "message" else ""
        return self._event(decoded, len(data), stream)

    def _event(self, decoded: Event, size: int, stream: ResponsesStream) -> bytes:
        if (reported := error_in(decoded)) is not None:
            return self._failed_with(reported, stream)
        if decoded.type not in ENDS:
            return self._passed(stream.feed(decoded, size), stream)
        response = decoded.response or Response()
        if decoded.type == "response.incomplete" and response.finish == "completed":
            response.status = "incomplete"
        return self._complete(response, stream)

    def _complete(self, response: Response, stream: ResponsesStream) -> bytes:
        """Returns the last bytes of the stream. Call it with the answer of the upstream's last event."""
        out = stream.end(response)
        if self.head is None and isinstance(stream.failure, UpstreamError):
            raise stream.failure
        self._begun(stream)
        if stream.failure is None:
            self._wind_down()  # after EOF, which follows soon, the connection can be reused
        else:
            self.state = LegState.ENDED
        return self._last(out)

    def finish(self, body: bytes, stream: ResponsesStream) -> bytes:
        try:
            response = _read_answer(body)
        except UpstreamError:
            if body[:1] == b"{":
                raise
            raise self._ended_early("the upstream's stream ended before its first event") from None
        if isinstance(response, ReportedFailure):
            return self._failed_with(response, stream)
        return self._complete(response, stream)

    def answer(self, body: bytes) -> Answer | ReportedFailure:
        response = _read_answer(body)
        if isinstance(response, ReportedFailure):
            return response
        stream = self.begin()
        answer = _translate_answer(response, stream)
        self._answer_model = stream.upstream_model
        return answer


def _read_answer(body: bytes) -> Response | ReportedFailure:
    """Returns the answer or the error in a body. Raises UpstreamError for any other body."""
    try:
        response = decode_response(body)
    except msgspec.DecodeError as error:
        raise unread(f"the upstream's answer is {error}", body) from None
    if (reported := error_of_answer(response)) is not None:
        return reported
    if not response.is_answer:
        reported = error_of_body(body)
        if not reported.message:
            raise AnswerUnusableError("the upstream's answer has no output")
        return reported
    if response.unfinished:
        raise AnswerUnusableError(f"the upstream's answer is not finished: {response.unfinished}")
    return response


def _translate_answer(response: Response, stream: ResponsesStream) -> Answer:
    """Returns the Message of an answer. `stream` is new. Raises UpstreamError for an unusable answer."""
    out = stream.end(response)
    if isinstance(stream.failure, UpstreamError):
        raise stream.failure
    noticed = list(stream.noticed)
    content, ending = fold(out, noticed)
    return Answer(content, ending, stream.usage() or {}, stream.estimated, stream.billing, noticed)
