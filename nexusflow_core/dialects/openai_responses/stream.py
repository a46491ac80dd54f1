"""ResponsesStream: translates a Responses stream, or a whole answer, to a Messages stream."""

import re
from collections.abc import Callable
from functools import lru_cache
from typing import Any, TypeAlias

from nexusflow_core.dialects.openai_responses.hosted import HostedSlot
from nexusflow_core.dialects.openai_responses.message import MessageSlot
from nexusflow_core.dialects.openai_responses.reasoning import ReasoningSlot
from nexusflow_core.dialects.openai_responses.schema import Event, Item, Response, plain_text
from nexusflow_core.dialects.openai_responses.tool_calls import FunctionCallSlot
from nexusflow_core.dialects.openai_responses.vendors import ResponsesRequestFacts
from nexusflow_core.errors import AnswerUnusableError
from nexusflow_core.translation.held import HELD_BYTES, Pieces
from nexusflow_core.translation.slots import Slot, Slots
from nexusflow_core.translation.stop_reason import Stopped
from nexusflow_core.translation.stops import StopFinder
from nexusflow_core.translation.stream import AnswerStream
from nexusflow_core.translation.text_part import AnswerState, TextPart
from nexusflow_core.translation.usage import UsageTap
from nexusflow_core.untyped import is_object, is_zero, object_of
from nexusflow_core.usage.others import web_searches

__all__ = ["ENDS", "ResponsesStream"]

ENDS = frozenset({"response.completed", "response.incomplete", "response.done"})
"""Events that end an answer. They repeat the whole answer."""
_Slot: TypeAlias = Slot[Event, Item]
_SLOTS: dict[str, Callable[[ResponsesRequestFacts, AnswerState], _Slot]] = {
    "message": MessageSlot,
    "reasoning": ReasoningSlot,
    "function_call": FunctionCallSlot,
}
_KINDS = (
    (r"response\.(?:(?:output_text|refusal)\.(?:delta|done)|output_text\.annotation\.added)", "message"),
    (r"response\.content_part\.done", "message"),
    (r"response\.reasoning(?:_summary|_text|_summary_text)?\.(?:delta|done)", "reasoning"),
    (r"response\.function_call_arguments\.(?:delta|done)", "function_call"),
)
"""Pattern of event types, and the type of their item."""
_SILENT = re.compile(
    r"""
    response\.(?:created|queued|in_progress|content_part\.added|reasoning\w*_part\.\w+)
    | response\.(?:\w+_call|mcp|image_generation|code_interpreter|custom_tool|compaction|tool_search)\w*\.[\w.]+
    | response\.mcp_list_tools\.\w+ | keep_?-?alive | ping | codex\.\w+
    """,
    re.X,
)
"""Events without content: keep-alives, and the progress of a vendor's tools."""


_LONGEST = 100


@lru_cache(maxsize=256)
def _kind_of(name: str) -> str | None:
    """Returns the item type of an event type; None for events without content, `unknown` for unknown events."""
    kind = next((kind for pattern, kind in _KINDS if re.fullmatch(pattern, name)), None)
    return kind if kind is not None or not name or _SILENT.fullmatch(name) else "unknown"


class ResponsesStream(AnswerStream["ResponsesUsage"]):
    """Takes events of one answer, and returns the bytes of Messages events."""

    def __init__(self, facts: ResponsesRequestFacts) -> None:
        super().__init__(facts, ResponsesUsage(facts))
        self._facts = facts
        stops = StopFinder(facts.stop_here) if facts.stop_here else None
        self._state = AnswerState(self._writer, self._held, self.noticed, Pieces(self._held), stops)
        self._slots = Slots(self._state, self._new)
        self._finish: str | None = None
        self._open: TextPart | None = None  # the part whose deltas pass unexamined
        self._open_at = 0  # the index of its item

    @property
    def finished(self) -> bool:
        return self._finish is not None

    @property
    def written(self) -> int:
        live = self._slots.live
        part = live.part if isinstance(live, MessageSlot) else None
        open_text = part.written.size if part is not None and not part.closed else 0
        return self._state.written + open_text

    def plain(self, data: bytes) -> bytes | None:
        """Returns the bytes of a delta that continues the open text; None for any other event.

        Most events are such deltas. `feed` returns the same bytes, more slowly.
        """
        part = self._open
        writer = self._writer
        if part is None or not writer.in_text or (found := plain_text(data)) is None:
            return None
        if found.output_index != self._open_at or found.content_index != part.index:
            return None
        if not (text := found.delta):
            return b""
        part.written.add(text)
        return writer.more(text)

    def feed(self, event: Event, size: int) -> bytes:
        """Returns the bytes for one event of `size` bytes. The caller handles errors and the last event."""
        out: list[bytes] = []
        if event.response is not None and isinstance(event.response.model, str):
            self.upstream_model = event.response.model or self.upstream_model
        kind = self._kind(event)
        if kind is not None and not self.done:
            if not self.started:
                self._start(out)
            self._open = None
            try:
                self._slots.give(event, kind, size, out)
            except AnswerUnusableError as error:
                out.append(self.fail(error))
            self._look_at_text()
            if self._state.found is not None:
                out.append(self.finalize())
            elif self._held.bytes > HELD_BYTES:
                out.append(self._overfull())
        return b"".join(out)

    def end(self, response: Response) -> bytes:
        """Returns the missing parts of the whole answer, and the end of the stream."""
        if self.done:
            return b""
        out: list[bytes] = []
        self._open = None
        self._tap.take(response)
        if isinstance(response.model, str):
            self.upstream_model = response.model or self.upstream_model
        if not is_zero(response.input_transformations):
            self._state.notice("input_transformations")
        self._finish = response.finish
        if not self.started:
            self._start(out)
        try:
            self._slots.finish(response.items(), out)
        except AnswerUnusableError as error:
            return b"".join(out) + self.fail(error)
        return b"".join(out) + self.finalize()

    def finalize(self) -> bytes:
        """Returns the end of the stream: end of the open block, stop reason and final usage."""
        if self.done:
            return b""
        out: list[bytes] = []
        state = self._state
        self._writer.stop(out)
        finish = "max_output_tokens" if self._cut_in_silence() else self._finish
        refusal = state.refusal.take()
        calls = state.calls > 0
        stopped = Stopped(finish=finish, refusal="" if calls else refusal, calls=calls, found=state.found)
        return self._end(stopped, out, whole=state.readable)

    # Items

    def _kind(self, event: Event) -> str | None:
        """Returns the type of the event's item; None for events without content. Lists unknown events."""
        name = event.type if isinstance(event.type, str) else ""
        if name in ("response.output_item.added", "response.output_item.done"):
            item = event.its_item()
            return item.type if item is not None else None
        kind = _kind_of(name[:_LONGEST])
        if kind == "unknown":
            self._state.notice(name)
            return None
        return kind

    def _new(self, kind: str) -> _Slot:
        made = _SLOTS.get(kind)
        if made is None:
            return HostedSlot(self._facts, self._state, kind)
        return made(self._facts, self._state)

    def _look_at_text(self) -> None:
        """Sets `_open` if further text of the live part can be written unexamined."""
        live = self._slots.live
        if isinstance(live, MessageSlot) and live.part is not None and self._writer.in_text:
            part = live.part
            if not part.closely and not part.closed:
                self._open, self._open_at = part, live.index

    def _cut_in_silence(self) -> bool:
        """Returns True if the output limit cut an answer that the vendor reports as `completed`."""
        facts = self._facts
        if not facts.vendor.ends_at_limit or self._state.calls or self._finish != "completed":
            return False
        counts = self._tap.counts()
        return counts is not None and counts["output_tokens"] >= facts.most_tokens


class ResponsesUsage(UsageTap):
    """Reads usage from the last event of a stream, or from a whole answer."""

    def __init__(self, facts: ResponsesRequestFacts) -> None:
        super().__init__(facts.vendor_name, facts.prompt_tokens)
        self._searches = 0

    def take(self, response: Response) -> None:
        """Takes the usage, service tier and searches of an answer."""
        if isinstance(response.service_tier, str):
            self.service_tier = response.service_tier
        if is_object(response.usage):
            self.add(response.usage)
        self._searches = web_searches(object_of(response.tool_usage)) or self._searches

    def counts(self) -> dict[str, Any] | None:
        found = super().counts()
        if found is not None and self._searches:
            found["server_tool_use"] = {"web_search_requests": self._searches}
        return found
