"""ReframedLeg: Claude's events come inside AWS's event stream, and go out as server-sent events.

The JSON of each event passes byte for byte; only the envelope is new.
"""

import binascii
import re
from base64 import b64decode
from typing import Final

import msgspec
from msgspec import Struct

from nexusflow_core.aws_eventstream import EventStreamDecoder, Frame
from nexusflow_core.counting import counted
from nexusflow_core.dialect import LegState
from nexusflow_core.dialects.anthropic.relay import RelayLeg
from nexusflow_core.errors import NexusFlowError, UpstreamProtocolError, UpstreamStatusError
from nexusflow_core.messages.events import error_event
from nexusflow_core.sse import encode_sse
from nexusflow_core.untyped import MALFORMED
from nexusflow_core.upstream import Headers, header

__all__ = ["ReframedLeg"]

_MEDIA_TYPE: Final = b"application/vnd.amazon.eventstream"
_ENVELOPE: Final = frozenset((b"content-type", b"content-length", b"x-amzn-bedrock-content-type"))

_NAME = re.compile(r"[a-z_]{1,50}")


class _Chunk(Struct):
    bytes: str = ""


class _Event(Struct):
    type: str = ""


class _Tokens(Struct):
    inputTokens: int


_NO_COUNTER: Final = b"support counting tokens"
_tokens = msgspec.json.Decoder(_Tokens)
_chunk = msgspec.json.Decoder(_Chunk)
_event = msgspec.json.Decoder(_Event)


class ReframedLeg(RelayLeg):
    """One attempt behind AWS's event stream. An answer or error of another type passes as at `RelayLeg`."""

    _frames: EventStreamDecoder | None = None

    @property
    def may_ping(self) -> bool:  # type: ignore[override]  # a relayed leg never may, and is asked at each chunk
        """True between events: the framing is ours, and this cloud sends no pings."""
        return self._frames is not None and self.head is not None and self.state is LegState.OPEN

    def receive_head(self, status: int, headers: Headers) -> None:
        kind = (header(headers, b"content-type") or b"").partition(b";")[0].strip().lower()
        if status < 400 and kind == _MEDIA_TYPE:
            self._frames = EventStreamDecoder()
            kept = [pair for pair in headers if pair[0] not in _ENVELOPE]
            headers = [*kept, (b"content-type", b"text/event-stream; charset=utf-8")]
        super().receive_head(status, headers)

    def receive_data(self, data: bytes) -> bytes:
        if self._frames is None:
            return super().receive_data(data)
        out: list[bytes] = []
        for frame in self._frames.feed(data):
            out.append(self._take(frame))
            if self.state is LegState.ENDED:
                return b"".join(out)
        if self._frames.damage is not None:
            out.append(self._break_off(self._frames.damage))
        return b"".join(out)

    def receive_eof(self) -> bytes:
        if self._counting and self._held is not None:
            return self._count(b"".join(self._held))
        tap = self._tap
        if self._frames is None or self.state is LegState.ENDED:
            return super().receive_eof()
        if self._frames.pending or tap is None or not tap.ended:
            return self._break_off(UpstreamProtocolError("the upstream's stream ended early"))
        return super().receive_eof()

    def _count(self, body: bytes) -> bytes:
        """Returns the count in Anthropic's shape. A model that has no counter is one without count_tokens."""
        status, _ = self._received
        if status < 400:
            try:
                tokens = _tokens.decode(body).inputTokens
            except MALFORMED:
                raise UpstreamProtocolError("the upstream's answer has no token count") from None
            self.state = LegState.ENDED
            self.head, body = counted(tokens, self._request_id)
            return body
        if status == 400 and _NO_COUNTER in body:
            self._uncounted, self.failure = True, None
        return super().receive_eof()

    def _take(self, frame: Frame) -> bytes:
        """Returns the bytes of one frame for the client. Raises UpstreamStatusError before the first event."""
        kind = frame.headers.get(":message-type")
        if kind in ("exception", "error"):
            return self._break_off(self._exception(frame))
        if kind != "event":
            return self._break_off(_damaged("a message of an unknown type"))
        if frame.headers.get(":event-type") != "chunk":
            return b""  # InvokeModel knows no other event
        event = _framed(frame)
        if event is None:
            return self._break_off(_damaged("an event that cannot be read"))
        return super().receive_data(event) if event else b""

    def _break_off(self, error: NexusFlowError) -> bytes:
        """Ends the answer with this error. Raises it if the client has seen nothing yet."""
        if self.head is None:
            raise error
        self.state, self.failure = LegState.ENDED, error
        return error_event(error, self._request_id)

    def _exception(self, frame: Frame) -> UpstreamStatusError:
        """Returns the failure in a frame. Its name is that of the error answer, with a small first letter."""
        name = frame.headers.get(":exception-type") or frame.headers.get(":error-code") or ""
        body = frame.payload or msgspec.json.encode({"message": frame.headers.get(":error-message", name)})
        kind = (b"x-amzn-errortype", (name[:1].upper() + name[1:]).encode())
        found = self._foreign_error(502, [kind], body) if self._foreign_error is not None else None
        if found is not None:
            self._note_refused(found, body)
        return found or UpstreamStatusError(502, "api_error", "the upstream's stream broke off")


def _damaged(what: str) -> UpstreamProtocolError:
    return UpstreamProtocolError(f"the upstream's event stream has {what}")


def _framed(frame: Frame) -> bytes | None:
    """Returns the event of a frame as a server-sent event, b"" for one without a type, or None."""
    try:
        data = b64decode(_chunk.decode(frame.payload).bytes, validate=True)
        name = _event.decode(data).type
    except (*MALFORMED, binascii.Error):
        return None
    if not _NAME.fullmatch(name):
        return b""
    return encode_sse(data.replace(b"\r", b"\n"), name)  # outside of strings, where JSON allows no CR
