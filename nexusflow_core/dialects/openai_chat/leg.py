"""The translated leg: a Messages call over a Chat Completions upstream."""

from collections.abc import Iterable, Sequence
from copy import copy

import msgspec

from nexusflow_core.call import Call
from nexusflow_core.dialect import AnswerFacts, LegState, ResponseHead
from nexusflow_core.dialects.openai_chat.context import ChatAsked
from nexusflow_core.dialects.openai_chat.errors import error_in, origin_of
from nexusflow_core.dialects.openai_chat.lines import is_done, is_idle, is_stream
from nexusflow_core.dialects.openai_chat.response import the_choice, translate_answer
from nexusflow_core.dialects.openai_chat.schema import Chunk, decode_chunk, message_in, unknown_members
from nexusflow_core.dialects.openai_chat.stream import ChatStream
from nexusflow_core.errors import (
    AnswerUnusable,
    EventTooLarge,
    InternalError,
    NexusFlowError,
    UpstreamError,
    UpstreamProtocolError,
    UpstreamStatus,
)
from nexusflow_core.messages.events import message_body, message_delta, message_start, message_stop
from nexusflow_core.record import Loss
from nexusflow_core.sse import ServerSentEvent, SSEDecoder
from nexusflow_core.translation.answer import Answer, fold
from nexusflow_core.translation.body_text import BodyText
from nexusflow_core.translation.error_bodies import (
    ErrorTold,
    read_error_body,
)
from nexusflow_core.translation.errors import failure, filtered, rate_limits
from nexusflow_core.translation.held import HELD_BYTES
from nexusflow_core.translation.ids import answer_id
from nexusflow_core.translation.json_lenient import decode_json
from nexusflow_core.translation.losses import ESTIMATED, Losses, warning
from nexusflow_core.translation.stop_reason import Ending
from nexusflow_core.upstream import Headers, UpstreamRequest, upstream_id

__all__ = ["ChatLeg"]


class ChatLeg:
    """One attempt, translated both ways. See `Leg` for the verbs."""

    def __init__(
        self,
        request: UpstreamRequest,
        call: Call,
        asked: ChatAsked,
        losses: Losses,
    ) -> None:
        self.request = request
        self.losses: Sequence[Loss] = losses.found
        self.head: ResponseHead | None = None
        self.state = LegState.OPEN
        self.failure: NexusFlowError | None = None
        self._upstream_request_id: str | None = None
        self._losses = losses
        self._asked = asked
        self._origin = origin_of(asked.vendor, asked.model, request.upstream, call.credential)
        self._streams = call.stream
        self._started_at = call.started_at
        self._status = 0
        self._headers: Headers = ()
        self._text: BodyText | None = None  # None: the body passes as it is
        self._held = bytearray()  # a sync answer, an error, or a stream that has not shown to be one
        self._decoder = SSEDecoder()
        self._stream: ChatStream | None = None
        self._done = False  # `[DONE]` came before anything that an answer can be made of
        self._refused = False  # by a filter's error, which is told as an answer
        self._answer: Answer | None = None
        self._answer_model: str | None = None

    @property
    def may_ping(self) -> bool:
        return self._stream is not None and self._stream.started and not self._stream.done

    @property
    def facts(self) -> AnswerFacts:
        told = self._stream or self._answer
        if told is None:
            return AnswerFacts(model=self._answer_model, upstream_request_id=self._upstream_request_id)
        return AnswerFacts(
            usage=told.usage() if isinstance(told, ChatStream) else told.usage,
            billing=told.billing,
            estimated=told.estimated,
            model=told.upstream_model if isinstance(told, ChatStream) else self._answer_model,
            stop_reason=told.stop_reason,
            upstream_request_id=self._upstream_request_id,
        )

    def receive_head(self, status: int, headers: Headers) -> None:
        if 300 <= status < 400:
            raise UpstreamProtocolError(
                f"the upstream answered with a redirect ({status}), which is not followed"
            )
        self._status, self._headers = status, headers
        self._text = BodyText(headers)
        self._upstream_request_id = upstream_id(headers, self.request.headers, b"x-request-id", b"request-id")
        if status >= 400:
            self.failure = self._failed(ErrorTold())
        elif self._streams:
            self._stream = ChatStream(self._asked)

    def receive_data(self, data: bytes) -> bytes:
        if self._text is not None:
            return self._read(self._text.feed(data))
        if self._stream is None:
            return self._hold(data)
        if self.head is None:
            self._hold(data)
        try:
            events = self._decoder.feed(data)
        except EventTooLarge:
            return self._broken(AnswerUnusable("the upstream sent an event beyond every bound"))
        if len(events) == 1:
            return self._line(events[0])
        return b"".join([self._line(event) for event in events])

    def _read(self, pieces: Iterable[bytes]) -> bytes:
        """Takes pieces of the body as UTF-8, for as long as it is read at all."""
        out: list[bytes] = []
        text, self._text = self._text, None  # the pieces are plain
        try:
            for piece in pieces:
                out.append(self.receive_data(piece))
                if self.state is LegState.ENDED:
                    break
        except UpstreamProtocolError as error:  # what cannot be inflated
            if self._status < 400:
                return b"".join(out) + self._broken(error)
            text, self._held = BodyText(()), bytearray()  # an error: its status says enough
        finally:
            self._text = text if text is not None and not text.passes else None
        return b"".join(out)

    def receive_eof(self) -> bytes:
        out = self._read(self._text.flush()) if self._text is not None else b""
        self.state = LegState.ENDED
        stream = self._stream
        if stream is None:
            return self._whole()
        out += b"".join([self._line(event) for event in self._decoder.flush()])
        if stream.done or self._refused or self.failure is not None:
            return out
        if not stream.started:
            return out + self._stream_of_one(stream)
        if stream.finish is None:
            return out + self._broken(self._ended_early("the upstream closed the stream early"))
        return out + self._last(stream.finalize())

    def fail(self, error: NexusFlowError) -> bytes | None:
        self.state = LegState.ENDED
        if self._stream is None:
            self.failure = error
            return None
        if self._stream.done or self._refused:
            return b""
        if self._stream.finish is not None and not isinstance(error, InternalError):
            return self._last(self._stream.finalize())  # all that mattered had come
        return self._last(self._stream.fail(error))

    def client_gone(self) -> None:
        if self._stream is not None and self._stream.done:
            self.state = LegState.ENDED

    # Streams

    def _line(self, event: ServerSentEvent) -> bytes:
        stream, data = self._stream, event.data
        if stream is None:
            return b""
        if (words := stream.plain(data)) is not None:
            return words
        if stream.done or self._refused or not data.strip():
            return b""
        if is_done(data):
            if not stream.started or (stream.finish is None and not stream.whole):
                self._done = True
                return b""  # nothing, or an end without a reason: EOF tells
            self._wind_down()  # EOF is at hand: then the connection can be used again
            return self._last(stream.finalize())
        try:
            chunk = decode_chunk(data, in_pieces=True)
        except msgspec.DecodeError as error:
            if stream.finish is not None or is_idle(event):
                return b""
            if b"\n" in data:  # no blank line between the lines of a careless server
                lines = [ServerSentEvent(line, event.event) for line in data.split(b"\n")]
                return b"".join([self._line(line) for line in lines])
            return self._broken(_unread(f"the upstream sent a line that is {error}", data))
        return self._chunk(chunk, error_in(chunk, data, whole=event.event == "error"), stream)

    def _chunk(self, chunk: Chunk, told: ErrorTold | None, stream: ChatStream) -> bytes:
        if told is not None:
            if not stream.started and filtered(told):
                return self._refusal()
            return self._broken(self._failed(told))
        if chunk.choices is None and not chunk.usages() and not stream.started:
            return b""  # JSON, but of some other kind; what it is shows at the end
        out = stream.feed(chunk)
        if self.head is None and stream.started:
            self._held.clear()
            self._publish(b"text/event-stream; charset=utf-8")
        if stream.done:  # a stop string was found here: what the upstream goes on to say costs money
            self.state = LegState.ENDED
            return self._last(out)
        if stream.finish is not None:
            self._wind_down()  # usage may still come, and then the upstream may just be silent
        return out

    def _wind_down(self) -> None:
        if self.state is LegState.OPEN:
            self.state = LegState.WINDING_DOWN

    def _stream_of_one(self, stream: ChatStream) -> bytes:
        """The upstream answered a stream's request with one JSON body: an error mostly."""
        body = bytes(self._held).strip()
        try:
            chunk = decode_chunk(body)
        except msgspec.ValidationError as error:
            raise AnswerUnusable(f"the upstream's answer is {error}") from None
        except msgspec.DecodeError:
            raise self._ended_early("the upstream's stream ended before its first event") from None
        told = error_in(chunk, body, whole=True)
        if told is None:
            chunk.choices = [the_choice(chunk)]
        out = self._chunk(chunk, told, stream)
        if self._refused or stream.done:
            return out
        stream.finish = stream.finish or "stop"
        return out + self._last(stream.finalize())

    def _ended_early(self, message: str) -> UpstreamProtocolError:
        """A stream that says `[DONE]` was not cut off: it is the answer, and nothing can be made of it."""
        return (AnswerUnusable if self._done else UpstreamProtocolError)(message)

    def _last(self, out: bytes) -> bytes:
        if self._stream is not None:
            self._notice(self._stream.noticed)
            if self._stream.estimated:
                self._losses.add("usage", ESTIMATED)
            self.failure = self._stream.failure
        return out

    def _broken(self, error: UpstreamError) -> bytes:
        """Before the first event the error has a status of its own; after it, it is the last event."""
        if self._stream is None or self.head is None:
            raise error
        self.failure, self.state = error, LegState.ENDED
        return self._stream.fail(error)

    # Whole answers

    def _hold(self, data: bytes) -> bytes:
        if len(self._held) + len(data) > HELD_BYTES:
            raise AnswerUnusable("the upstream's answer is larger than every bound")
        self._held += data
        return b""

    def _whole(self) -> bytes:
        body = bytes(self._held).strip()  # OpenRouter pads with blank lines to keep the connection alive
        if self._status >= 400:
            error = read_error_body(body)
            if self._status == 400 and filtered(error):
                return self._refusal()
            raise self._failed(error)
        if is_stream(body):
            return self._of_stream(body)
        try:
            chunk = decode_chunk(body)
        except msgspec.DecodeError as unread:
            raise _unread(f"the upstream's answer is {unread}", body) from None
        if (told := error_in(chunk, body, whole=True)) is not None:
            if filtered(told):
                return self._refusal()
            raise self._failed(told)
        self._answer_model = chunk.model
        answer = translate_answer(chunk, self._asked)
        answer.noticed += unknown_members(message_in(decode_json(body)))
        return self._answered(answer)

    def _of_stream(self, body: bytes) -> bytes:
        """The upstream sent a stream that was not asked for: it is read as one, and told as a whole."""
        inner = self._streaming()
        out = inner.receive_data(body)
        if inner.state is not LegState.ENDED:
            out += inner.receive_eof()
        if inner._refused:
            return self._refusal()
        if inner.failure is not None:
            raise inner.failure
        self._answer_model = inner.facts.model
        stream = inner._stream or ChatStream(self._asked)
        noticed = list(stream.noticed)
        content, how = fold(out, noticed)
        usage = stream.usage() or {}
        return self._answered(Answer(content, how, usage, stream.estimated, stream.billing, noticed))

    def _streaming(self) -> "ChatLeg":
        """A copy of this leg that reads a stream."""
        inner = copy(self)
        inner._losses = Losses()
        inner.losses, inner.state, inner._held = inner._losses.found, LegState.OPEN, bytearray()
        inner._streams, inner._decoder, inner._stream = True, SSEDecoder(), ChatStream(self._asked)
        inner._text = None  # its body is inflated already
        return inner

    def _answered(self, answer: Answer) -> bytes:
        self._answer = answer
        self._notice(answer.noticed)
        if answer.estimated:
            self._losses.add("usage", ESTIMATED)
        return self._message(answer)

    def _refusal(self) -> bytes:
        self._refused = True
        details = {"type": "refusal", "category": None, "explanation": None}
        self.failure = None
        nothing = {"input_tokens": 0, "cache_creation_input_tokens": 0, "cache_read_input_tokens": 0}
        usage = {**nothing, "output_tokens": 0}
        if self._streams:
            self.state = LegState.ENDED
            self._publish(b"text/event-stream; charset=utf-8")
            start = message_start(id=answer_id(self._asked.request_id), model=self._asked.model, usage=usage)
            end = message_delta(stop_reason="refusal", stop_sequence=None, stop_details=details, usage=usage)
            return start + end + message_stop()
        return self._message(Answer([], Ending("refusal", None, details), usage))

    def _message(self, answer: Answer) -> bytes:
        self.state = LegState.ENDED
        self._status = 200
        body = message_body(
            id=answer_id(self._asked.request_id),
            model=self._asked.model,
            content=answer.content,
            stop_reason=answer.how.stop_reason,
            stop_sequence=answer.how.stop_sequence,
            stop_details=answer.how.stop_details,
            usage=answer.usage,
        )
        self._publish(b"application/json", length=len(body))
        return body

    # Both

    def _publish(self, content_type: bytes, *, length: int | None = None) -> None:
        headers = [(b"content-type", content_type), (b"request-id", self._asked.request_id.encode())]
        if length is None:
            headers += [(b"cache-control", b"no-cache"), (b"x-accel-buffering", b"no")]
        else:
            headers.append((b"content-length", str(length).encode()))
        headers += rate_limits(self._headers, self._started_at)
        if (told := warning(self.losses)) is not None:
            headers.append((b"x-nexusflow-warning", told))
        self.head = ResponseHead(200, headers)
        self._headers = ()

    def _notice(self, noticed: Sequence[str]) -> None:
        for what in noticed:
            self._losses.add(f"answer.{what}", "has no place in this answer")

    def _failed(self, told: ErrorTold) -> UpstreamStatus:
        return failure(told, self._status, self._headers, origin=self._origin, now=self._started_at)


def _unread(message: str, data: bytes) -> UpstreamProtocolError:
    """The error of what could not be decoded. An object is an answer of the model's; a page, or nothing, is of
    a server that does not work."""
    kind = AnswerUnusable if data.lstrip()[:1] == b"{" else UpstreamProtocolError
    return kind(message)
