"""Outcome: what is known of a call as it goes. Its record is made of it."""

from typing import Any

from msgspec import Struct, field

from nexusflow_core.call import Call
from nexusflow_core.dialect import AnswerFacts, LegState
from nexusflow_core.errors import NexusFlowError
from nexusflow_core.exchange.attempt import Attempt
from nexusflow_core.record import Attempt as AttemptRecord
from nexusflow_core.routing import ModelRoute, Target
from nexusflow_core.upstream import client_credentials, masked, shortest_with

__all__ = ["MAX_TEXT", "Outcome"]

MAX_TEXT = 256
"""Characters of a name or word that a record keeps, whatever a client or an upstream calls it."""

_LONGEST_READ = 4096
"""Characters of it that are searched for keys."""

_NOTHING = AnswerFacts()


class Outcome(Struct, kw_only=True):
    """How a call has gone so far. `call` loses its body once the answer has begun."""

    call: Call
    route: ModelRoute | None = None
    attempt: Attempt | None = None
    """The current one, or the last."""
    attempts: list[AttemptRecord] = field(default_factory=list[AttemptRecord])
    """Those that have ended."""
    status: int | None = None
    first_byte_at: float | None = None
    error: NexusFlowError | None = None
    """One of ours that the client was told."""
    client_gone: bool = False
    edits: tuple[str, ...] = ()
    """Of ours, beyond those of the request."""
    keys: dict[str, int] = field(default_factory=dict[str, int])
    """Whatever credentials have gone upstream, with the shortest text that can hold each: no record repeats
    them."""
    final: AnswerFacts | None = None
    """The facts of the current attempt, once nothing can change them."""

    def __repr__(self) -> str:
        return f"Outcome({len(self.attempts)} attempts)"

    @property
    def target(self) -> Target | None:
        """Who was asked last."""
        return self.attempt.target if self.attempt is not None else None

    @property
    def failure(self) -> NexusFlowError | None:
        """What the client was told instead of an answer, or at its end."""
        if self.error is not None or self.attempt is None:
            return self.error
        return self.attempt.leg.failure

    @property
    def complete(self) -> bool:
        """True: the client has an answer that came to its own end."""
        ended = self.attempt is not None and self.attempt.leg.state is LegState.ENDED
        return ended and self.failure is None and not self.client_gone

    @property
    def facts(self) -> AnswerFacts:
        """What is known of the answer. Kept once it is final."""
        if self.final is not None:
            return self.final
        if self.attempt is None:
            return _NOTHING
        facts = self.attempt.leg.facts
        if self.attempt.leg.state is LegState.ENDED:
            self.final = facts
        return facts

    def go_to(self, attempt: Attempt) -> None:
        """Makes this attempt the current one."""
        self.attempt, self.final = attempt, None
        if attempt.leg.request is not None:
            for sent in client_credentials(attempt.leg.request.headers):
                key = sent.value.decode("latin-1")
                self.keys[key] = shortest_with(key)

    def end_attempt(self, reason: str, now: float) -> None:
        """The current attempt is over, if it is not yet. `reason` is "" for the one that serves."""
        if self.attempt is not None and not self.attempt.ended:
            told = self.word(reason) or ""
            self.attempts.append(self.attempt.end(self.call.model[:MAX_TEXT], told, now))

    def word(self, value: Any) -> str | None:
        """Returns what an upstream said where a word belongs, without any key that was sent to one; None for
        what is no text."""
        if not isinstance(value, str):
            return None
        text = value[:_LONGEST_READ]
        for key, shortest in self.keys.items():
            if len(text) >= shortest:
                text = masked(text, key)
        return text[:MAX_TEXT]
