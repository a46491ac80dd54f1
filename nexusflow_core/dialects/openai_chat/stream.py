"""ChatStream: translates a Chat Completions stream to a Messages stream."""

from nexusflow_core.dialects.openai_chat.schema import Choice, Chunk, Delta, plain_text
from nexusflow_core.dialects.openai_chat.tool_calls import StreamCalls
from nexusflow_core.dialects.openai_chat.vendors import ChatRequestFacts
from nexusflow_core.dialects.openai_chat.words import StreamWords
from nexusflow_core.errors import AnswerUnusableError
from nexusflow_core.translation.held import HELD_BYTES
from nexusflow_core.translation.stop_reason import End, Stopped, end_of
from nexusflow_core.translation.stream import AnswerStream
from nexusflow_core.translation.usage import UsageTap
from nexusflow_core.untyped import is_zero

__all__ = ["ChatStream", "ChatUsage"]

_FAILURES = (End.FAILED, End.LATE, End.BUSY)


class ChatStream(AnswerStream["ChatUsage"]):
    """Takes chunks, and returns the bytes of Messages events."""

    def __init__(self, facts: ChatRequestFacts) -> None:
        super().__init__(facts, ChatUsage(facts))
        self.finish: str | None = None
        """The last finish reason with a meaning, or the first that reports a failure."""
        self._facts = facts
        self._words = StreamWords(facts, self._writer, self._held, self.noticed)
        self._text_written = self._words.text_written
        self._calls: StreamCalls | None = None
        self._native: str | None = None
        self._stop_text: str | None = None
        self._deltas = False  # True once a delta had content

    @property
    def finished(self) -> bool:
        return self.finish is not None

    @property
    def whole(self) -> bool:
        """True if the content may be a whole answer, although no finish reason confirms it."""
        calls = self._calls
        return (calls is None or calls.whole) and (self._words.any or (calls is not None and calls.any))

    @property
    def written(self) -> int:
        return self._words.written + (self._calls.written if self._calls is not None else 0)

    def plain(self, data: bytes) -> bytes | None:
        """Returns the event of a data line that only continues the open text, which most do; else None.

        `feed` would return the same, more slowly.
        """
        writer = self._writer
        if not writer.in_text or self._words.closely:
            return None
        if not (text := plain_text(data)):
            return None if text is None else b""
        self._text_written.size += len(text) if text.isascii() else len(text.encode())
        return writer.more(text)

    def feed(self, chunk: Chunk) -> bytes:
        """Returns the events of one chunk. The caller handles a failure in it."""
        if self.done:
            return b""
        self._tap.take(chunk)
        if chunk.model:
            self.upstream_model = chunk.model
        if not is_zero(chunk.citations):
            self._words.notice("citations")
        out: list[bytes] = []
        if not self.started:
            self._start(out)
        for choice in chunk.choices or ():
            if not choice.index:
                self._choice(choice, chunk, out)
        if self._words.found is not None:
            out.append(self.finalize())
        elif self._held.bytes > HELD_BYTES:
            out.append(self._overfull())
        return b"".join(out)

    def finalize(self) -> bytes:
        """Returns the end of the stream: waiting text, ending and final usage."""
        if self.done:
            return b""
        out: list[bytes] = []
        words, calls = self._words, self._calls
        named = True
        words.flush(out)
        if words.found is None:
            named = self._writer.drain(out)
        else:
            self._writer.stop(out)
        if not named:
            return b"".join(out) + self.fail(AnswerUnusableError("a tool call without a name"))
        stopped = Stopped(
            finish=self.finish,
            native=self._native,
            text=self._stop_text,
            refusal=words.refusal(),
            calls=calls is not None and calls.any,
            found=words.found,
        )
        return self._end(stopped, out, whole=calls is None or calls.whole)

    # One chunk

    def _choice(self, choice: Choice, chunk: Chunk, out: list[bytes]) -> None:
        delta, message = choice.delta, choice.message
        finish, _ = end_of(choice.finish_reason)
        plain = self._deltas and message is None  # most chunks: then the check can be skipped
        says = delta is not None and (plain or not delta.says_nothing())
        if delta is not None and (says or message is None):
            self._delta(delta, out)
            self._deltas = self._deltas or says
        if message is not None and (not says or finish is not None):
            if self._deltas or finish is not None or chunk.object == "chat.completion":
                self._whole(message, out)
            else:
                self._delta(message, out)  # some servers call a delta `message`
        if finish is not None and end_of(self.finish)[0] not in _FAILURES:
            self.finish = choice.finish_reason
        self._native = choice.native_finish_reason or self._native
        if (stop := choice.stop_string()) is not None:
            self._stop_text = stop

    def _delta(self, delta: Delta, out: list[bytes]) -> None:
        self._words.take(delta, out)
        if delta.tool_calls or delta.function_call is not None:
            self._begun_calls().take(delta, out)

    def _whole(self, message: Delta, out: list[bytes]) -> None:
        """Writes the parts of a whole message that its deltas did not contain."""
        self._words.take_whole(message, out, behind_deltas=self._deltas)
        if self._words.found is None and (message.tool_calls or message.function_call is not None):
            self._begun_calls().take_whole(message, out)

    def _begun_calls(self) -> StreamCalls:
        if self._calls is None:
            self._calls = StreamCalls(self._facts, self._writer, self._words, self._held)
        return self._calls


class ChatUsage(UsageTap):
    """Reads usage from chunks, or from a whole answer."""

    def __init__(self, facts: ChatRequestFacts) -> None:
        row = facts.vendor
        super().__init__(facts.vendor_name, facts.prompt_tokens, output_by_total=row.output_by_total)

    def take(self, chunk: Chunk) -> None:
        """Takes a chunk, or a whole answer."""
        if isinstance(chunk.service_tier, str):
            self.service_tier = chunk.service_tier
        has_usage = chunk.usage or chunk.x_groq  # most chunks have text and nothing else
        for choice in chunk.choices or ():
            message = choice.delta or choice.message
            if message is not None and (message.reasoning_content or message.reasoning):
                self.thinks = True
            has_usage = has_usage or choice.usage
        for usage in chunk.usages() if has_usage else ():
            self.add(usage)
