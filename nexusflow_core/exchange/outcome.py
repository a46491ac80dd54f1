"""Outcome: the facts of a call so far. The record is made from it."""

import functools
from datetime import datetime, timedelta
from typing import Any

from msgspec import Struct, field

from nexusflow_core.call import Call
from nexusflow_core.dialect import AnswerFacts, LegState
from nexusflow_core.errors import NexusFlowError
from nexusflow_core.exchange.attempt import Attempt
from nexusflow_core.record import AttemptRecord
from nexusflow_core.routing import ModelRoute, Target
from nexusflow_core.upstream import Fetched, derived, masked, sent_keys, shortest_with

__all__ = ["MAX_TEXT", "Outcome"]

MAX_TEXT = 256
"""Bound on the characters of a name or word in a record."""

_LONGEST_READ = 4096
"""Bound on the characters of a text that are searched for keys."""

_AT_ONCE = 0.001
"""Seconds that no signature and no price can tell from none. Adding them takes longer than most of a call."""

_NOTHING = AnswerFacts()
_ENDED = LegState.ENDED


class Outcome(Struct, kw_only=True):
    """The result of a call so far. `call` loses its body once the answer has begun."""

    call: Call
    route: ModelRoute | None = None
    attempt: Attempt | None = None
    """The current attempt, or the last one."""
    attempts: list[AttemptRecord] = field(default_factory=list[AttemptRecord])
    """The ended attempts."""
    status: int | None = None
    first_byte_at: float | None = None
    error: NexusFlowError | None = None
    """An error of the gateway that the client received."""
    client_gone: bool = False
    edits: tuple[str, ...] = ()
    """Edits of a retry, such as removed thinking, beside those of the request."""
    keys: tuple[str, ...] = ()
    """Credentials sent to upstreams. They are masked in records."""
    shortest: int = MAX_TEXT
    """A text of fewer characters can contain none of the keys."""
    fetched: Fetched | None = None
    """Credentials of the current attempt that may be renewed while it lasts."""
    final: AnswerFacts | None = None
    """The facts of the current attempt, once they are final."""

    def __repr__(self) -> str:
        return f"Outcome({len(self.attempts)} attempts)"

    @property
    def target(self) -> Target | None:
        """The target that was asked last."""
        return self.attempt.target if self.attempt is not None else None

    @property
    def failure(self) -> NexusFlowError | None:
        """The error that the client received instead of an answer, or at its end."""
        if self.error is not None or self.attempt is None:
            return self.error
        return self.attempt.leg.failure

    @property
    def complete(self) -> bool:
        """True if the client has a complete answer."""
        ended = self.attempt is not None and self.attempt.leg.state is _ENDED
        return ended and self.failure is None and not self.client_gone

    @property
    def facts(self) -> AnswerFacts:
        """The facts of the answer. Stored once they are final."""
        if self.final is not None:
            return self.final
        if self.attempt is None:
            return _NOTHING
        facts = self.attempt.leg.facts
        if self.attempt.leg.state is _ENDED:
            self.final = facts
        return facts

    def moment(self, seconds: float) -> datetime:
        """Returns the time of day so many seconds into the call."""
        started_at = self.call.started_at
        return started_at if 0 <= seconds < _AT_ONCE else started_at + timedelta(seconds=seconds)

    def go_to(self, attempt: Attempt) -> None:
        """Makes this attempt the current one."""
        upstream, request = attempt.target.upstream, attempt.leg.request
        self.attempt, self.final, self.fetched = attempt, None, upstream.fetched
        if request is not None:
            keys = derived(request.headers, "keys", sent_keys)
            hidden = upstream.hidden() if upstream.headers or upstream.signing else ()
            if self.keys or hidden:
                keys = tuple(dict.fromkeys((*self.keys, *keys, *hidden)))
            self.keys, self.shortest = keys, _shortest_with(keys)

    def end_attempt(self, reason: str, now: float) -> None:
        """Records the current attempt, unless that has been done. `reason` is "" for the one that serves."""
        if self.attempt is not None and not self.attempt.ended:
            word = self.word(reason) or ""
            self.attempts.append(self.attempt.end(self.call.model[:MAX_TEXT], word, now))

    def word(self, value: Any) -> str | None:
        """Returns an upstream's word or name with all sent keys masked; None if it is not a string."""
        if value is None or not isinstance(value, str):
            return None
        if self.fetched is not None:  # fetched since the attempt began
            self.keys = tuple(dict.fromkeys((*self.keys, *self.fetched.secrets())))
            self.shortest = _shortest_with(self.keys)
        if len(value) < self.shortest:
            return value
        return (_masked if len(value) <= MAX_TEXT else _masked.__wrapped__)(value, self.keys)


@functools.lru_cache(maxsize=256)
def _shortest_with(keys: tuple[str, ...]) -> int:
    """Returns the length below which a text can contain none of the keys."""
    return min((shortest_with(key) for key in keys), default=MAX_TEXT)


@functools.lru_cache(maxsize=1024)  # most words come again and again: a model's name, a stop reason
def _masked(text: str, keys: tuple[str, ...]) -> str:
    text = text[:_LONGEST_READ]
    for key in keys:
        text = masked(text, key)
    return text[:MAX_TEXT]
