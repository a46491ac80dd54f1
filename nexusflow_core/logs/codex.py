"""Reads sessions of Codex CLI: `rollout-*.jsonl`, one file per session.

Source: Codex's rollout lines. A `token_count` event follows each answer. It has the session's totals so far,
and the counts of the last answer. The same totals may be repeated, and a forked session repeats the lines of
its parent.
"""

from collections.abc import Iterator
from typing import Any

import msgspec
from msgspec import Raw, Struct
from msgspec.structs import astuple

from nexusflow_core.errors import InvalidUsageError
from nexusflow_core.logs.entry import Entry, NotAnEntryError, Skipped, read_moment
from nexusflow_core.untyped import MALFORMED
from nexusflow_core.usage import Usage
from nexusflow_core.usage.counts import Count

__all__ = ["CodexSession"]


class _Line(Struct):
    type: str = ""
    timestamp: str | None = None
    payload: Raw = Raw(b"null")


class _Tokens(Struct):
    input_tokens: Count = 0
    cached_input_tokens: Count = 0
    cache_write_input_tokens: Count = 0
    output_tokens: Count = 0
    reasoning_output_tokens: Count = 0


class _Info(Struct):
    total_token_usage: _Tokens | None = None
    last_token_usage: _Tokens | None = None


class _Payload(Struct):
    """The members of a payload that are read. Which ones exist depends on the line's type."""

    type: str = ""
    id: str | None = None
    model: str | None = None
    model_provider: str | None = None
    session_id: str | None = None
    parent_thread_id: str | None = None
    info: _Info | None = None


_line = msgspec.json.Decoder(_Line)
_payload = msgspec.json.Decoder(_Payload)


class CodexSession:
    """Reads the lines of one session, in order."""

    def __init__(self) -> None:
        self._session: str | None = None
        self._agent: str | None = None
        self._provider: str | None = None
        self._model: str | None = None
        self._total: _Tokens | None = None

    def take(self, value: bytes) -> Iterator[Entry | Skipped]:
        """Yields the call that a line completes, if any, or a Skipped with the reason."""
        try:
            parsed = _line.decode(value)
            match parsed.type:
                case "session_meta":
                    self._meta(_payload.decode(parsed.payload))
                case "turn_context":
                    self._model = _payload.decode(parsed.payload).model or self._model
                case "event_msg" if b'"token_count"' in bytes(parsed.payload):
                    payload = _payload.decode(parsed.payload)
                    if payload.type == "token_count" and payload.info is not None:
                        yield from self._counted(parsed.timestamp, payload.info)
                case _:
                    pass
        except (*MALFORMED, NotAnEntryError, InvalidUsageError) as error:
            yield Skipped.because(error)

    def finish(self) -> Iterator[Entry | Skipped]:
        """Yields nothing: each line was read at once."""
        yield from ()

    def _meta(self, parsed: _Payload) -> None:
        if self._session is None:  # a forked session has its parent's line too, after its own
            self._session, self._provider = parsed.session_id or parsed.id, parsed.model_provider
            self._agent = parsed.id if parsed.parent_thread_id else None

    def _counted(self, timestamp: str | None, info: _Info) -> Iterator[Entry]:
        tokens = self._since(info)
        if info.total_token_usage is not None:
            self._total = info.total_token_usage
        if tokens is None or not any(astuple(tokens)):
            return
        if timestamp is None:
            raise NotAnEntryError("no time: it has no `timestamp`")
        if self._model is None:
            raise NotAnEntryError("no turn_context before it names the model")
        total = self._total or tokens
        yield Entry(
            models=(self._model,),
            at=read_moment(timestamp),
            id=f"codex:{timestamp}:{total.input_tokens}:{total.output_tokens}",
            upstream=self._provider,
            usage=_usage(tokens),
            session=self._session,
            agent=self._agent,
            vendor="openai" if self._provider in (None, "openai") else None,
        )

    def _since(self, info: _Info) -> _Tokens | None:
        """Returns the counts since the last event: the growth of the totals, or what the event itself says.

        The first event of a file says it itself: its totals may begin in another file. So does an event whose
        totals are smaller than before. Returns None for repeated totals.
        """
        total, last, before = info.total_token_usage, info.last_token_usage, self._total
        if total is None or before is None:
            return last or total
        if total == before:
            return None
        grown = [now - then for now, then in zip(astuple(total), astuple(before), strict=True)]
        return last or total if min(grown) < 0 else _Tokens(*grown)


def _usage(parsed: _Tokens) -> Usage:
    """Returns the usage. The input includes cached and written tokens, the output includes reasoning."""
    counts: dict[str, Any] = {
        "input_tokens": parsed.input_tokens,
        "output_tokens": parsed.output_tokens,
        "input_tokens_details": {
            "cached_tokens": parsed.cached_input_tokens,
            "cache_write_tokens": parsed.cache_write_input_tokens,
        },
        "output_tokens_details": {"reasoning_tokens": parsed.reasoning_output_tokens},
    }
    return Usage.from_wire(counts, "openai-responses")
