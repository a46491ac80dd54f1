"""TranslatedLeg: one attempt whose answer a dialect translates to Anthropic's form."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from copy import copy
from typing import Any, Generic, Self, TypeVar

import msgspec

from nexusflow_core.call import Call
from nexusflow_core.dialect import AnswerFacts, LegState, ResponseHead
from nexusflow_core.errors import (
    AnswerUnusableError,
    EventTooLargeError,
    InternalError,
    NexusFlowError,
    UpstreamError,
    UpstreamProtocolError,
    UpstreamStatusError,
)
from nexusflow_core.messages.events import message_body, message_delta, message_start, message_stop
from nexusflow_core.record import Loss
from nexusflow_core.sse import ServerSentEvent, SSEDecoder, is_stream
from nexusflow_core.translation.answer import Answer, fold
from nexusflow_core.translation.body_text import BodyText
from nexusflow_core.translation.context import RequestFacts
from nexusflow_core.translation.error_bodies import ReportedFailure, read_error_body
from nexusflow_core.translation.errors import Origin, failure, filtered, rate_limits
from nexusflow_core.translation.held import HELD_BYTES
from nexusflow_core.translation.ids import answer_id
from nexusflow_core.translation.losses import ESTIMATED, Losses, warning
from nexusflow_core.translation.stop_reason import Ending
from nexusflow_core.translation.stream import AnswerStream, is_idle, unread
from nexusflow_core.translation.usage import TOTALS
from nexusflow_core.upstream import Headers, UpstreamRequest, upstream_id

__all__ = ["TranslatedLeg"]

_Stream = TypeVar("_Stream", bound=AnswerStream[Any])

_EVENTS = b"text/event-stream; charset=utf-8"


class TranslatedLeg(ABC, Generic[_Stream]):
    """Holds whole answers, publishes the head, refuses, breaks off and finishes. See `Leg` for the verbs.

    A dialect implements four methods: `begin` makes its stream, `decode` reads one event, `finish` reads the
    body of a stream without events, `answer` reads a whole answer.
    """

    def __init__(
        self, request: UpstreamRequest, call: Call, facts: RequestFacts, losses: Losses, origin: Origin
    ) -> None:
        self.request = request
        self.losses: Sequence[Loss] = losses.found
        self.head: ResponseHead | None = None
        self.state = LegState.OPEN
        self.failure: NexusFlowError | None = None
        self._upstream_request_id: str | None = None
        self._losses = losses
        self._request_id, self._model = facts.request_id, facts.model
        self._origin = origin
        self._streams = call.stream
        self._started_at = call.started_at
        self._status = 0
        self._headers: Headers = ()
        self._text: BodyText | None = None  # None: the body passes unchanged
        self._held = bytearray()  # a sync answer, an error, or a body not yet recognised as a stream
        self._decoder = SSEDecoder()
        self._stream: _Stream | None = None
        self._refused = False  # True after a content filter's error, which becomes a refusal
        self._answer: Answer | None = None
        self._answer_model: str | None = None

    # A dialect implements these

    @abstractmethod
    def begin(self) -> _Stream:
        """Returns a new stream."""

    @abstractmethod
    def decode(self, event: ServerSentEvent) -> bytes:
        """Takes an event of the stream. Returns bytes for the client."""

    @abstractmethod
    def finish(self, body: bytes, stream: _Stream) -> bytes:
        """Handles the end of a body that never began the stream: a whole answer, or an error.

        Returns bytes for the client. Raises UpstreamError.
        """

    @abstractmethod
    def answer(self, body: bytes) -> Answer | ReportedFailure:
        """Returns the answer in a body, or its error. Sets `_answer_model`. Raises UpstreamError."""

    def reported_error(self, body: bytes) -> ReportedFailure:
        """Returns the error in the body of an error answer. A dialect may know more of its vendors' codes."""
        return read_error_body(body)

    # The verbs

    @property
    def may_ping(self) -> bool:
        return self._stream is not None and self._stream.started and not self._stream.done

    @property
    def facts(self) -> AnswerFacts:
        source = self._stream or self._answer
        if source is None:
            return AnswerFacts(model=self._answer_model, upstream_request_id=self._upstream_request_id)
        return AnswerFacts(
            usage=source.usage if isinstance(source, Answer) else source.usage(),
            billing=source.billing,
            estimated=source.estimated,
            model=self._answer_model if isinstance(source, Answer) else source.upstream_model,
            stop_reason=source.stop_reason,
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
            self.failure = self._failed(ReportedFailure())
        elif self._streams:
            self._stream = self.begin()

    def receive_data(self, data: bytes) -> bytes:
        if self._text is not None:
            return self._read(self._text.feed(data))
        if (stream := self._stream) is None:
            return self._hold(data)
        if self.head is None:
            self._hold(data)
        elif (line := self._decoder.only_line(data)) is not None and (words := stream.plain(line)) is not None:
            return words  # most chunks continue the open text
        try:
            events = self._decoder.feed(data)
        except EventTooLargeError:
            return self._broken(AnswerUnusableError("the upstream sent an event beyond every bound"))
        plain = stream.plain
        return b"".join(
            [words if (words := plain(event.data)) is not None else self.decode(event) for event in events]
        )

    def receive_eof(self) -> bytes:
        out = self._read(self._text.flush()) if self._text is not None else b""
        self.state = LegState.ENDED
        stream = self._stream
        if stream is None:
            return self._whole()
        out += b"".join([self.decode(event) for event in self._decoder.flush()])
        if stream.done or self._refused or self.failure is not None:
            return out
        if not stream.started:
            return out + self.finish(bytes(self._held).strip(), stream)
        if not stream.finished:
            return out + self._broken(self._ended_early("the upstream closed the stream early"))
        return out + self._last(stream.finalize())

    def fail(self, error: NexusFlowError) -> bytes | None:
        self.state = LegState.ENDED
        if self._stream is None:
            self.failure = error
            return None
        if self._stream.done or self._refused:
            return b""
        if self._stream.finished and not isinstance(error, InternalError):
            return self._last(self._stream.finalize())  # everything important had arrived
        return self._last(self._stream.fail(error))

    def client_gone(self) -> None:
        if self._stream is not None and self._stream.done:
            self.state = LegState.ENDED

    def _read(self, pieces: Iterable[bytes]) -> bytes:
        """Takes pieces of the body as UTF-8, until the answer has ended. Returns bytes for the client."""
        out: list[bytes] = []
        text, self._text = self._text, None  # the pieces are already decoded
        try:
            for piece in pieces:
                out.append(self.receive_data(piece))
                if self.state is LegState.ENDED:
                    break
        except UpstreamProtocolError as error:  # the body cannot be inflated
            if self._status < 400:
                return b"".join(out) + self._broken(error)
            text, self._held = BodyText(()), bytearray()  # an error answer: its status suffices
        finally:
            self._text = text if text is not None and not text.passes else None
        return b"".join(out)

    # Streams

    def _passed(self, out: bytes, stream: _Stream) -> bytes:
        """Returns a stream's bytes after an event. Publishes the head with its first, notes its end."""
        self._begun(stream)
        if stream.done:  # a stop string was found here: further output would cost money
            self.state = LegState.ENDED
            return self._last(out)
        if stream.finished:
            self._wind_down()  # usage may still come, but the upstream may also just be silent
        return out

    def _begun(self, stream: _Stream) -> None:
        """Publishes the head once the stream has an event for the client."""
        if self.head is None and stream.started:
            self._held.clear()
            self._publish(_EVENTS)

    def _undecoded(self, event: ServerSentEvent, error: msgspec.DecodeError) -> bytes:
        """Handles data that cannot be decoded: an idle line, several lines, or an unusable answer."""
        if is_idle(event):
            return b""
        if b"\n" in event.data:  # the server omits the blank lines between events
            lines = [ServerSentEvent(line, event.event) for line in event.data.split(b"\n")]
            return b"".join([self.decode(line) for line in lines])
        return self._broken(unread(f"the upstream sent a line that is {error}", event.data))

    def _failed_with(self, reported: ReportedFailure, stream: _Stream) -> bytes:
        """Returns the bytes for an error inside the upstream's stream, or raises it."""
        if not stream.started and filtered(reported):
            return self._refusal()
        return self._broken(self._failed(reported))

    def _wind_down(self) -> None:
        if self.state is LegState.OPEN:
            self.state = LegState.WINDING_DOWN

    def _ended_early(self, message: str) -> UpstreamProtocolError:
        """Returns the error of a stream that ended before its answer."""
        return UpstreamProtocolError(message)

    def _last(self, out: bytes) -> bytes:
        if self._stream is not None:
            self._notice(self._stream.noticed)
            if self._stream.estimated:
                self._losses.add("usage", ESTIMATED)
            self.failure = self._stream.failure
        return out

    def _broken(self, error: UpstreamError) -> bytes:
        """Returns the error as the last event of the stream. Raises it if no event was sent before."""
        if self._stream is None or self.head is None:
            raise error
        self.failure, self.state = error, LegState.ENDED
        return self._stream.fail(error)

    # Whole answers

    def _hold(self, data: bytes) -> bytes:
        if len(self._held) + len(data) > HELD_BYTES:
            raise AnswerUnusableError("the upstream's answer is larger than every bound")
        self._held += data
        return b""

    def _whole(self) -> bytes:
        body = bytes(self._held).strip()  # some upstreams send blank lines to keep the connection alive
        if self._status >= 400:
            error = self.reported_error(body)
            if self._status == 400 and filtered(error):
                return self._refusal()
            raise self._failed(error)
        if is_stream(body):
            return self._of_stream(body)
        answer = self.answer(body)
        if isinstance(answer, Answer):
            return self._answered(answer)
        if filtered(answer):
            return self._refusal()
        raise self._failed(answer)

    def _of_stream(self, body: bytes) -> bytes:
        """Returns the whole answer in a stream that was not requested."""
        stream = self.begin()
        inner = self._reading(stream)
        out = inner.receive_data(body)
        if inner.state is not LegState.ENDED:
            out += inner.receive_eof()
        if inner._refused:
            return self._refusal()
        if inner.failure is not None:
            raise inner.failure
        self._answer_model = stream.upstream_model
        noticed = list(stream.noticed)
        content, ending = fold(out, noticed)
        return self._answered(
            Answer(content, ending, stream.usage() or {}, stream.estimated, stream.billing, noticed)
        )

    def _reading(self, stream: _Stream) -> Self:
        """Returns a copy of this leg that reads a stream."""
        inner = copy(self)
        inner._losses = Losses()
        inner.losses, inner.state, inner._held = inner._losses.found, LegState.OPEN, bytearray()
        inner._streams, inner._decoder, inner._stream = True, SSEDecoder(), stream
        inner._text = None  # its body is already inflated
        return inner

    def _answered(self, answer: Answer) -> bytes:
        self._answer = answer
        self._notice(answer.noticed)
        if answer.estimated:
            self._losses.add("usage", ESTIMATED)
        return self._message(answer)

    def _refusal(self) -> bytes:
        self._refused = True
        self.failure = None
        usage: dict[str, Any] = dict.fromkeys(TOTALS, 0)
        ending = Ending("refusal", None, {"type": "refusal", "category": None, "explanation": None})
        if not self._streams:
            return self._message(Answer([], ending, usage))
        self.state = LegState.ENDED
        self._publish(_EVENTS)
        start = message_start(id=answer_id(self._request_id), model=self._model, usage=usage)
        end = message_delta(
            stop_reason=ending.stop_reason, stop_sequence=None, stop_details=ending.stop_details, usage=usage
        )
        return start + end + message_stop()

    def _message(self, answer: Answer) -> bytes:
        self.state = LegState.ENDED
        self._status = 200
        body = message_body(
            id=answer_id(self._request_id),
            model=self._model,
            content=answer.content,
            stop_reason=answer.ending.stop_reason,
            stop_sequence=answer.ending.stop_sequence,
            stop_details=answer.ending.stop_details,
            usage=answer.usage,
        )
        self._publish(b"application/json", length=len(body))
        return body

    # Streams and whole answers

    def _publish(self, content_type: bytes, *, length: int | None = None) -> None:
        headers = [(b"content-type", content_type), (b"request-id", self._request_id.encode())]
        if length is None:
            headers += [(b"cache-control", b"no-cache"), (b"x-accel-buffering", b"no")]
        else:
            headers.append((b"content-length", str(length).encode()))
        headers += rate_limits(self._headers, self._started_at)
        if (dropped := warning(self.losses)) is not None:
            headers.append((b"x-nexusflow-warning", dropped))
        self.head = ResponseHead(200, headers)
        self._headers = ()

    def _notice(self, noticed: Sequence[str]) -> None:
        for what in noticed:
            self._losses.add(f"answer.{what}", "has no place in this answer")

    def _failed(self, reported: ReportedFailure) -> UpstreamStatusError:
        return failure(reported, self._status, self._headers, origin=self._origin, now=self._started_at)
