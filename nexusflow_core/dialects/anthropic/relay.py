"""RelayLeg: sends the client's body unchanged, and returns every byte of the answer."""

import functools
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import TypeAlias

from nexusflow_core.call import Call
from nexusflow_core.counting import ESTIMATED, estimated, is_absent, not_counted
from nexusflow_core.dialect import AnswerFacts, LegState, ResponseHead
from nexusflow_core.dialects.anthropic.tap import (
    Answer,
    ErrorMember,
    StreamTap,
    is_stream,
    may_be_stream,
    read_answer,
)
from nexusflow_core.errors import (
    CallerError,
    NexusFlowError,
    UpstreamProtocolError,
    UpstreamStatusError,
)
from nexusflow_core.messages import read_body
from nexusflow_core.messages.events import error_event
from nexusflow_core.record import Loss
from nexusflow_core.spending import EXHAUSTED, is_exhausted, regained_at
from nexusflow_core.sse import unframed
from nexusflow_core.upstream import (
    Headers,
    UpstreamRequest,
    relayed_response_headers,
    upstream_id,
)
from nexusflow_core.usage import Billing, read_bill

__all__ = ["RelayLeg"]

HELD_BYTES = 16 * 1024 * 1024
"""Bound on the bytes of a sync answer that is held to its end. So a broken one becomes an error with its own
status, and a whole one is metered. A larger answer passes as it arrives, without metering."""

_ENOUGH = 1024
"""Bytes of blanks after which a body is treated as its content type says."""

_REQUEST_IDS = (b"request-id", b"x-amzn-requestid", b"apim-request-id", b"x-vertex-ai-received-request-id")
"""Anthropic's header of an answer's id, then those of the clouds."""

_OPEN, _WINDING_DOWN, _ENDED = LegState.OPEN, LegState.WINDING_DOWN, LegState.ENDED
"""Members of an Enum as names of this module, which are read ten times faster."""

ForeignError: TypeAlias = Callable[[int, Headers, bytes], UpstreamStatusError | None]
"""Reads an error in a cloud's own shape, from status, headers and body. None for Anthropic's shape."""

RefusedParts: TypeAlias = Callable[[bytes], Sequence[str]]
"""Reads which parts of the request a 400 refuses by name, see `Call.without`."""


class RelayLeg:
    """One attempt whose bytes pass unchanged. See `Leg` for the verbs."""

    may_ping = False
    """Only the upstream's own pings pass."""

    def __init__(
        self,
        request: UpstreamRequest,
        request_id: str,
        *,
        started_at: datetime,
        third_party: bool = False,
        counting: bool = False,
        estimate_from: Call | None = None,
        foreign_error: ForeignError | None = None,
        billing: Billing | None = None,
        refused_parts: RefusedParts | None = None,
    ) -> None:
        self.request = request
        self.losses: Sequence[Loss] = ()
        self.head: ResponseHead | None = None
        self.state = _OPEN
        self.failure: NexusFlowError | None = None
        self._upstream_request_id: str | None = None
        self._request_id = request_id
        self._started_at = started_at
        self._third_party = third_party
        self._counting = counting
        self._estimate_from = estimate_from  # the call, if an estimate may replace a missing count
        self._foreign_error = foreign_error
        self._received: tuple[int, Headers] = (0, ())  # kept for an error in a cloud's own shape
        self._billing = billing  # what the target says about its prices
        self._refused_parts = refused_parts  # reads what a cloud's table does not know
        self._uncounted = False  # True if the upstream has no count_tokens
        self._answer_head: ResponseHead | None = None  # as received; becomes `head` once it may be sent
        self._undecided = False  # True until it is clear whether this is a stream or a whole answer
        self._called_stream = False  # True if the content type says so
        self._encoded = False  # True if the answer is compressed despite our request, and so unreadable
        self._held: list[bytes] | None = []  # the body so far while nothing may go out; None after that
        self._held_bytes = 0
        self._hold_limit = HELD_BYTES  # a larger body is not held
        self._tap: StreamTap | None = None  # set for a stream
        self._answer: Answer | None = None  # the facts of a whole sync body

    @property
    def facts(self) -> AnswerFacts:
        metered = self._tap or self._answer
        if metered is None:
            return AnswerFacts(upstream_request_id=self._upstream_request_id)
        return AnswerFacts(
            usage=metered.usage,
            billing=self._billing or read_bill(self.request.upstream.vendor, metered.usage or {}),
            model=metered.model,
            stop_reason=metered.stop_reason,
            cache_miss=metered.cache_miss,
            upstream_request_id=self._upstream_request_id,
        )

    def receive_head(self, status: int, headers: Headers) -> None:
        if 300 <= status < 400:
            raise UpstreamProtocolError(
                f"the upstream answered with a redirect ({status}), which is not followed"
            )
        if not 200 <= status < 600:
            raise UpstreamProtocolError(f"the upstream answered with status {status}, unknown to HTTP")
        kept = relayed_response_headers(headers)
        if self._foreign_error is not None:
            self._received = status, headers
        self._upstream_request_id = upstream_id(headers, self.request.headers, *_REQUEST_IDS)
        first = dict(reversed(headers))  # of a repeated header the first value counts
        encoding = first.get(b"content-encoding")
        self._encoded = encoding is not None and encoding.strip().lower() not in (b"", b"identity")
        called_stream = _is_event_stream(first.get(b"content-type", b""))
        self._uncounted = self._counting and is_absent(status)
        if status >= 400 and not self._uncounted:
            self.failure = UpstreamStatusError(status, "api_error")
        elif called_stream and self._encoded:
            self._hold_limit = 0  # it cannot be read, and must not be held back
        elif not self._encoded and not self._counting:
            self._undecided = True
            self._called_stream = called_stream
        self._answer_head = ResponseHead(status, kept)

    def _decide(self, head: bytes, *, last: bool = False) -> None:
        """Distinguishes a stream from a whole answer by its first bytes.

        Some upstreams stream as text/plain, or without any type. JSON is never a stream. For other bytes the
        content type decides.
        """
        seen = is_stream(head)
        if seen is None and not last and len(head) < _ENOUGH and may_be_stream(head):
            return
        self._undecided = False
        if self._called_stream if seen is None else seen:
            self._tap = StreamTap(third_party=self._third_party)
            if self._answer_head is not None and b"content-length" in dict(self._answer_head.headers):
                # A broken stream ends in an error event, which a content-length would cut off.
                kept = [pair for pair in self._answer_head.headers if pair[0] != b"content-length"]
                self._answer_head = ResponseHead(self._answer_head.status, kept)

    def receive_data(self, data: bytes) -> bytes:
        tap = self._tap
        if self._held is None:  # nearly every chunk
            if tap is not None and tap.feed(data):
                self._note_end(tap)
            return data
        if self._undecided:
            if self._held:
                data, self._held, self._held_bytes = b"".join((*self._held, data)), [], 0
            self._decide(data)
            tap = self._tap
        if tap is not None and tap.feed(data):
            self._note_end(tap)
        self._held.append(data)
        self._held_bytes += len(data)
        if self._held_bytes > self._hold_limit or (tap is not None and tap.started):
            return self._release()
        return b""

    def receive_eof(self) -> bytes:
        self.state = _ENDED
        if self._undecided:
            self._decide(b"".join(self._held or ()), last=True)
        if self._tap is not None:
            early = UpstreamProtocolError("the upstream's stream ended early")
            return self._end_stream(self._tap, early, clean=True)
        if self._uncounted:
            return self._not_counted()
        if self._held is not None:
            self._read_answer(b"".join(self._held))
        return self._release()

    def fail(self, error: NexusFlowError) -> bytes | None:
        self.state = _ENDED
        if self._undecided:
            self._decide(b"".join(self._held or ()), last=True)
        if self._tap is not None:
            return self._end_stream(self._tap, error, clean=False)
        self.failure = error
        return None

    def client_gone(self) -> None:
        if self.state is _WINDING_DOWN:  # the client has the end of the answer
            self.state = _ENDED

    def _not_counted(self) -> bytes:
        """Returns the upstream's 404, or an estimate instead."""
        if self._estimate_from is None or self._held is None:
            if self._cloud_error(b"".join(self._held or ())) is None:
                return self._release()
            self.head, body = not_counted(self._request_id)
            return body
        try:
            body_read = read_body(self._estimate_from.text, self._estimate_from.max_values)
            self.head, body = estimated(body_read, self._request_id)
        except CallerError:
            return self._release()
        self.losses = (ESTIMATED,)
        return body

    def _release(self) -> bytes:
        """Publishes the head. Returns the held bytes."""
        held, self._held = self._held, None
        self.head = self._answer_head
        return b"".join(held or ())

    def _read_answer(self, body: bytes) -> None:
        """Meters a whole sync body.

        Raises UpstreamProtocolError for a success that is not JSON, UpstreamStatusError for a cloud's error.
        """
        error = self._cloud_error(body)
        if error is not None:
            self._note_refused(error, body)
            self.failure = error
            raise error
        refused = isinstance(self.failure, UpstreamStatusError)
        answer = None if self._encoded else read_answer(unframed(body) if refused else body)
        if isinstance(self.failure, UpstreamStatusError):
            if answer is not None and answer.error is not None:
                self.failure = self._status_of(answer.error, self.failure.status)
                self._note_refused(self.failure, body)
        elif answer is not None:
            self._answer = answer
            if answer.type == "error" and answer.error is not None and self._answer_head is not None:
                self.failure = self._status_of(answer.error, self._answer_head.status)
        elif not self._encoded:
            raise UpstreamProtocolError("the upstream's answer is not a JSON object")

    def _note_refused(self, error: UpstreamStatusError, body: bytes) -> None:
        if error.status == 400 and self._refused_parts is not None:
            error.refuses = self._refused_parts(body)

    def _cloud_error(self, body: bytes) -> UpstreamStatusError | None:
        """Returns the error in a cloud's own shape, or None."""
        return self._foreign_error(*self._received, body) if self._foreign_error is not None else None

    def _status_of(self, member: ErrorMember, status: int) -> UpstreamStatusError:
        words = f"{member.type} {member.code()}"
        message = member.message if isinstance(member.message, str) else ""
        if not is_exhausted(status, words, message):
            return UpstreamStatusError(status, member.type, details=_details(member.code()))
        error = UpstreamStatusError(status, member.type, details=_details(member.code()), reason=EXHAUSTED)
        error.regained_at = regained_at(message, self._started_at)
        return error

    def _end_stream(self, tap: StreamTap, error: NexusFlowError, *, clean: bool) -> bytes:
        """Returns the last bytes of the stream. Unless it came to its own end, they are `error` as an event.

        `clean`: HTTP ended it properly. Then a stop reason is also an end: some upstreams send no message_stop.
        """
        gap = b"\n\n" if tap.inside_event else b""
        tap.flush()
        self._note_end(tap)
        if tap.ended or (clean and tap.stopped) or (tap.blind and isinstance(error, UpstreamProtocolError)):
            return self._release()
        if self.head is None:  # no event was sent, so the failure can have its own status
            raise error
        self.failure = error
        return gap + error_event(error, self._request_id)

    def _note_end(self, tap: StreamTap) -> None:
        if self.state is _OPEN and (tap.ended or tap.stopped):
            self.state = _WINDING_DOWN
        if tap.error_type is not None:
            self.failure = UpstreamStatusError(200, tap.error_type, details=_details(tap.error_code))


@functools.lru_cache(maxsize=64)
def _is_event_stream(content_type: bytes) -> bool:
    """True if the content type says that the body is a stream of events."""
    return content_type.partition(b";")[0].strip().lower() == b"text/event-stream"


def _details(code: str) -> dict[str, str] | None:
    return {"error_code": code} if code else None
