"""ChatLeg: one Messages call over a Chat Completions upstream."""

import msgspec

from nexusflow_core.call import Call
from nexusflow_core.dialects.openai_chat.errors import error_in, origin_of
from nexusflow_core.dialects.openai_chat.response import the_choice, translate_answer
from nexusflow_core.dialects.openai_chat.schema import Chunk, decode_chunk, message_in, unknown_members
from nexusflow_core.dialects.openai_chat.stream import ChatStream
from nexusflow_core.dialects.openai_chat.vendors import ChatRequestFacts
from nexusflow_core.errors import AnswerUnusableError, UpstreamProtocolError
from nexusflow_core.sse import ServerSentEvent
from nexusflow_core.translation.answer import Answer
from nexusflow_core.translation.error_bodies import ReportedFailure
from nexusflow_core.translation.json_lenient import decode_json
from nexusflow_core.translation.leg import TranslatedLeg
from nexusflow_core.translation.losses import Losses
from nexusflow_core.translation.stream import is_done, unread
from nexusflow_core.upstream import UpstreamRequest

__all__ = ["ChatLeg"]


class ChatLeg(TranslatedLeg[ChatStream]):
    """One attempt, translated both ways. See `Leg` for the verbs."""

    def __init__(self, request: UpstreamRequest, call: Call, facts: ChatRequestFacts, losses: Losses) -> None:
        origin = origin_of(facts.vendor, facts.model, request.upstream, call.credential)
        super().__init__(request, call, facts, losses, origin)
        self._request_facts = facts
        self._done = False  # True if `[DONE]` arrived before any answer

    def begin(self) -> ChatStream:
        return ChatStream(self._request_facts)

    def decode(self, event: ServerSentEvent) -> bytes:
        stream, data = self._stream, event.data
        if stream is None:
            return b""
        if stream.done or self._refused or not data.strip():
            return b""
        if is_done(data):
            if not stream.started or (stream.finish is None and not stream.whole):
                self._done = True
                return b""  # nothing, or an end without a reason: EOF decides
            self._wind_down()  # EOF follows soon, and then the connection can be reused
            return self._last(stream.finalize())
        try:
            chunk = decode_chunk(data, in_pieces=True)
        except msgspec.DecodeError as error:
            return b"" if stream.finish is not None else self._undecoded(event, error)
        reported = error_in(chunk, data, whole=event.event == "error")
        if reported is None and self.head is not None:  # nearly always
            return self._passed(stream.feed(chunk), stream)
        return self._chunk(chunk, reported, stream)

    def _chunk(self, chunk: Chunk, reported: ReportedFailure | None, stream: ChatStream) -> bytes:
        if reported is not None:
            return self._failed_with(reported, stream)
        if chunk.choices is None and not chunk.usages() and not stream.started:
            return b""  # JSON of another kind, identified at the end of the body
        return self._passed(stream.feed(chunk), stream)

    def finish(self, body: bytes, stream: ChatStream) -> bytes:
        try:
            chunk = decode_chunk(body)
        except msgspec.ValidationError as error:
            raise AnswerUnusableError(f"the upstream's answer is {error}") from None
        except msgspec.DecodeError:
            raise self._ended_early("the upstream's stream ended before its first event") from None
        reported = error_in(chunk, body, whole=True)
        if reported is None:
            chunk.choices = [the_choice(chunk)]
        out = self._chunk(chunk, reported, stream)
        if self._refused or stream.done:
            return out
        stream.finish = stream.finish or "stop"
        return out + self._last(stream.finalize())

    def _ended_early(self, message: str) -> UpstreamProtocolError:
        """Returns the error. A stream with `[DONE]` was not cut off: its answer is unusable."""
        return (AnswerUnusableError if self._done else UpstreamProtocolError)(message)

    def answer(self, body: bytes) -> Answer | ReportedFailure:
        try:
            chunk = decode_chunk(body)
        except msgspec.DecodeError as error:
            raise unread(f"the upstream's answer is {error}", body) from None
        if (reported := error_in(chunk, body, whole=True)) is not None:
            return reported
        self._answer_model = chunk.model
        answer = translate_answer(chunk, self._request_facts)
        answer.noticed += unknown_members(message_in(decode_json(body)))
        return answer
