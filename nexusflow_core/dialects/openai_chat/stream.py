"""A Chat Completions stream as a Messages stream: reads chunks, whatever a vendor makes of them."""

from typing import Any

from nexusflow_core.dialects.openai_chat.asked import Asked
from nexusflow_core.dialects.openai_chat.calls import CallSlot, CallSlots
from nexusflow_core.dialects.openai_chat.counts import UsageTap
from nexusflow_core.dialects.openai_chat.ending import ending, unknown_finish
from nexusflow_core.dialects.openai_chat.pieces import HELD_BYTES, Held, Pieces
from nexusflow_core.dialects.openai_chat.reasoning import ThinkTags, parts, reasoning_text
from nexusflow_core.dialects.openai_chat.schema import (
    Choice,
    Chunk,
    Delta,
    ToolCall,
    plain_text,
    utf8_length,
)
from nexusflow_core.dialects.openai_chat.stops import StopFinder
from nexusflow_core.dialects.openai_chat.unrepeated import Unrepeated
from nexusflow_core.dialects.openai_chat.writer import MessageWriter
from nexusflow_core.errors import NexusFlowError, UpstreamProtocolError
from nexusflow_core.usage import Billing

__all__ = ["ChatStream"]

_NO_STOPS = StopFinder(())
"""One for all streams that look for none: it keeps nothing."""

_MAX_CALLS = 256
"""Parallel calls of one answer; what comes beyond is no model's doing."""


class ChatStream:
    """Takes chunks, gives bytes. `done` once the last event, or an error event, is out."""

    def __init__(self, asked: Asked) -> None:
        self.finish: str | None = None
        self.upstream_model: str | None = None
        self.stop_reason: str | None = None
        self.failure: NexusFlowError | None = None  # what the error event said
        self.noticed: list[str] = []  # what of the answer had no place in Anthropic's form
        self._asked = asked
        self._vendor = asked.vendor
        self._held = Held()
        self._writer = MessageWriter(asked, self._held)
        self._stops = StopFinder(asked.stop_here, asked.echo) if asked.stop_here or asked.echo else _NO_STOPS
        self._tags = ThinkTags(self._held) if asked.vendor.think_tags else None
        self._searches = bool(asked.stop_here)
        self._unrepeated = Unrepeated() if asked.vendor.cumulative_reasoning else None
        self._calls: CallSlots | None = None
        self._refusal = Pieces(self._held)
        self._tap = UsageTap(asked)
        self._native: str | None = None
        self._stop_text: Any = None
        self._written = 0  # bytes of all that was said

    @property
    def started(self) -> bool:
        return self._writer.started

    @property
    def done(self) -> bool:
        return self._writer.done

    @property
    def estimated(self) -> bool:
        """Whether the usage is a guess of ours, the upstream having told none."""
        return self.started and self._tap.estimated

    @property
    def billing(self) -> Billing | None:
        return self._tap.billing()

    def usage(self) -> dict[str, Any] | None:
        """Usage in Anthropic's names: the upstream's, else an estimate once there is something to estimate."""
        return self._tap.usage(self._written) if self.started else self._tap.counts()

    def plain(self, data: bytes) -> bytes | None:
        """The event of a data line that goes on with the open text and brings nothing else, as nearly all do;
        None for any other line, or where it may not simply go on. `feed` would do the same."""
        if not self._writer.in_text or self._searches or self._tags is not None:
            return None
        if (found := plain_text(data)) is None:
            return None
        text, model = found
        if model:
            self.upstream_model = model
        if not text:
            return b""
        self._written += len(text) if text.isascii() else len(text.encode())
        return self._writer.more_text(text)

    def feed(self, chunk: Chunk) -> bytes:
        """The events of one chunk. Its failure, if it has one, is the caller's to see."""
        if self.done:
            return b""
        self._tap.take(chunk)
        if chunk.model:
            self.upstream_model = chunk.model
        if chunk.citations:
            self._notice("citations")
        out: list[bytes] = []
        if not self.started:
            self._start(out)
        for choice in chunk.choices or ():
            if not choice.index:
                self._choice(choice, out)
        if self._stops.found is not None:
            out.append(self.finalize())
        elif self._held.bytes > HELD_BYTES:
            out.append(
                self.fail(UpstreamProtocolError("the upstream's answer is held back beyond every bound"))
            )
        return b"".join(out)

    def finalize(self) -> bytes:
        """The end: what waits, the ending, the true usage."""
        if self.done:
            return b""
        out: list[bytes] = []
        named = True
        if self._unrepeated is not None:
            self._think(self._unrepeated.flush(), out)
        if self._stops.found is None:
            self._flush_text(out)
        if self._stops.found is None:
            named = self._writer.drain(out)
        else:
            self._writer.stop(out)
        if not named:
            return b"".join(out) + self.fail(UpstreamProtocolError("a tool call without a name"))
        how = ending(
            self.finish,
            native=self._native,
            stop_text=self._stop_text,
            refusal=self._refusal.take(),
            calls=self._calls is not None and bool(self._calls.all),
            found=self._stops.found,
        )
        if isinstance(how, NexusFlowError):
            return b"".join(out) + self.fail(how)
        if unknown_finish(self.finish):
            self._notice("finish_reason")
        self.stop_reason = how.stop_reason
        self._writer.end(how, self.usage() or {}, out)
        return b"".join(out)

    def fail(self, error: NexusFlowError) -> bytes:
        """The one error event that ends a stream which went wrong."""
        if not self.done:
            self.failure = error
        return self._writer.fail(error)

    # One chunk

    def _start(self, out: list[bytes]) -> None:
        known = self._tap.usage(0)
        usage = {name: count for name, count in known.items() if name != "output_tokens_details"}
        usage["output_tokens"] = 1
        self._writer.start(usage, out)

    def _notice(self, what: str) -> None:
        if what not in self.noticed:
            self.noticed.append(what)

    def _choice(self, choice: Choice, out: list[bytes]) -> None:
        delta = choice.delta or choice.message
        whole = choice.delta is None
        if whole and delta is not None:  # a whole message: each of its calls is one of its own
            for number, call in enumerate(delta.tool_calls or ()):
                call.index = number if call.index is None else call.index
        if delta is not None:
            self._delta(delta, out, whole=whole)
        if choice.finish_reason and self.finish is None:
            self.finish = choice.finish_reason
        self._native = choice.native_finish_reason or self._native
        if (stop := choice.stop_string()) is not None:
            self._stop_text = stop

    def _delta(self, delta: Delta, out: list[bytes], *, whole: bool) -> None:
        if delta.reasoning_content or delta.reasoning or delta.reasoning_details:
            self._reasoning(delta, out, whole=whole)
        if self._unrepeated is not None and (delta.content or delta.refusal or delta.tool_calls):
            self._think(self._unrepeated.flush(), out)
        content = delta.content
        if isinstance(content, str):
            if content:
                self._text(content, out)
        elif content:
            self._content(delta, content, out)
        for what in delta.unplaced():
            self._notice(what)
        if delta.refusal and self._past_text(out):
            self._refusal.add(delta.refusal)
            self._say(delta.refusal, out)
        if delta.tool_calls:
            for call in delta.tool_calls:
                self._call(call, out)
        if delta.function_call is not None:
            self._call(ToolCall(index=0, function=delta.function_call), out)

    # Words

    def _reasoning(self, delta: Delta, out: list[bytes], *, whole: bool) -> None:
        text = reasoning_text(delta)
        if self._unrepeated is not None:
            text = self._unrepeated.feed(text)
        elif self._vendor.replay == "reasoning_details":
            self._writer.details.add(delta.reasoning_details, whole=whole)
        self._think(text, out)

    def _content(self, delta: Delta, content: list[Any] | dict[str, Any], out: list[bytes]) -> None:
        if isinstance(content, dict):
            self._text(delta.text(), out)
            return
        for piece in parts(content):
            if piece.thinking:
                self._think(piece.text, out)
            else:
                self._text(piece.text, out)

    def _text(self, text: str, out: list[bytes]) -> None:
        if self._tags is None:
            self._say(self._stops.feed(text), out)
            return
        for piece in self._tags.feed(text):
            if piece.thinking:
                self._think(piece.text, out)
            else:
                self._tags = None  # they stand at the beginning only
                self._say(self._stops.feed(piece.text), out)

    def _flush_text(self, out: list[bytes]) -> None:
        """What the tags and the stop strings held back."""
        for piece in self._tags.flush() if self._tags is not None else ():
            if piece.thinking:
                self._think(piece.text, out)
            else:
                self._say(self._stops.feed(piece.text), out)
        if self._stops.found is None:
            self._say(self._stops.flush(), out)

    def _past_text(self, out: list[bytes]) -> bool:
        """Whether anything may follow the text: what was held back goes out, and may be a stop string."""
        if self._stops.found is None:
            self._flush_text(out)
        return self._stops.found is None

    def _say(self, text: str, out: list[bytes]) -> None:
        if text:
            self._written += utf8_length(text)
            self._writer.text(text, out)

    def _think(self, text: str, out: list[bytes]) -> None:
        if text:
            self._written += utf8_length(text)
            self._writer.thinking(text, out)

    # Calls

    def _call(self, call: ToolCall, out: list[bytes]) -> None:
        if self._calls is None:
            self._calls = CallSlots(self._held)
        slot, function = self._calls.find(call), call.function
        if slot is None and self._past_text(out):
            slot = self._begin(call, self._calls)
        if slot is None or slot.ignored or function is None or self._stops.found is not None:
            return
        was_ready = slot.ready
        if function.name:
            slot.call_it(function.name)
        if signature := call.thought_signature():
            slot.thought_signature = signature
            self._held.bytes += len(signature)
        fragment = slot.add(function.text())
        self._written += utf8_length(fragment)
        if self._writer.arguments(slot, fragment, out):
            return
        if slot.closed:
            if fragment.strip():  # its block is closed: the client cannot be given it any more
                self._notice("tool_calls.arguments")
        elif slot.ready and not was_ready:
            self._writer.advance(out)

    def _begin(self, call: ToolCall, calls: CallSlots) -> CallSlot:
        many = len(calls.all) >= _MAX_CALLS
        if many:
            self._notice("tool_calls")
        slot = calls.begin(call, ignored=many or (self._asked.one_call and bool(calls.all)))
        if not slot.ignored:
            self._writer.queue(slot)
        return slot
