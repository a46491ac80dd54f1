"""The record of a call, from what its exchange and its last leg know in the end."""

from collections.abc import Sequence
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from nexusflow_core.call import Call
from nexusflow_core.dialect import AnswerFacts, Leg, LegState
from nexusflow_core.errors import NexusFlowError
from nexusflow_core.exchange.metering import CallCost, price_call
from nexusflow_core.prices import PriceBook
from nexusflow_core.record import Attempt, CallRecord, Ending, UsageSource
from nexusflow_core.routing import Route, Target
from nexusflow_core.upstream import client_credentials, masked

__all__ = ["MAX_TEXT", "Outcome", "begun", "cost_of", "settle"]

MAX_TEXT = 256
"""Characters of a name or word that a record keeps, whatever a client or an upstream calls it."""

_LONGEST_READ = 4096
"""Characters of it that are searched for keys."""


class Outcome(Struct, kw_only=True):
    """How a call went, as far as it has gone; `settle` reads it once."""

    attempts: list[Attempt]
    target: Target | None = None
    leg: Leg | None = None
    status: int | None = None
    first_byte_at: float | None = None
    error: NexusFlowError | None = None
    """One of ours that the client was told."""
    client_gone: bool = False
    edits: tuple[str, ...] = ()
    """Of ours, beyond those of the leg."""
    keys: tuple[str, ...] = ()
    """Whatever credentials have gone upstream: no record repeats them."""
    final: AnswerFacts | None = None
    """Those of the leg, once nothing can change them."""

    def __repr__(self) -> str:
        return f"Outcome({len(self.attempts)} attempts)"

    @property
    def complete(self) -> bool:
        """True: the client has an answer that came to its own end."""
        leg = self.leg
        ended = leg is not None and leg.state is LegState.ENDED and leg.failure is None
        return ended and self.error is None and not self.client_gone

    @property
    def facts(self) -> AnswerFacts:
        """What is known of the answer."""
        if self.final is not None:
            return self.final
        if self.leg is None:
            return AnswerFacts()
        facts = self.leg.facts
        if self.leg.state is LegState.ENDED:
            self.final = facts
        return facts

    def begin_attempt(self, target: Target, leg: Leg) -> None:
        """Notes who is asked next, and with which credentials."""
        self.target, self.leg, self.final = target, leg, None
        if leg.request is not None:
            sent = {known.value.decode("latin-1") for known in client_credentials(leg.request.headers)}
            self.keys = tuple(sent.union(self.keys))

    def word(self, value: Any) -> str | None:
        """What an upstream said where a word belongs, without any key; None where it is no text."""
        if not isinstance(value, str):
            return None
        text = value[:_LONGEST_READ]
        for key in self.keys:
            if len(text) >= len(key):  # no dress makes it shorter
                text = masked(text, key)
        return text[:MAX_TEXT]

    def end_attempt(self, call: Call, status: int | None, reason: str, duration: float) -> None:
        """Notes the attempt at the current target."""
        if self.target is not None:
            reason = self.word(reason) or ""
            upstream, model = self.target.upstream.name, self.target.model or call.model[:MAX_TEXT]
            made = Attempt(upstream=upstream, model=model, status=status, reason=reason, duration=duration)
            self.attempts.append(made)


def begun(call: Call) -> CallRecord:
    """The record of a call that is about to be made, for a durable log."""
    record = settle(call, None, Outcome(attempts=[]), CallCost(), started=0.0, now=0.0)
    return replace(record, ending="started")


def settle(
    call: Call, route: Route | None, it: Outcome, cost: CallCost, *, started: float, now: float
) -> CallRecord:
    """The record."""
    leg, principal = it.leg, call.principal
    facts = it.facts
    usage = facts.usage or {}
    return CallRecord(
        request_id=call.request_id,
        upstream_request_id=it.word(facts.upstream_request_id),
        started_at=call.started_at,
        duration=now - started,
        time_to_first_byte=None if it.first_byte_at is None else it.first_byte_at - started,
        endpoint=call.endpoint,
        model=call.model[:MAX_TEXT],
        response_model=it.word(facts.model),
        route=route.model if route is not None else None,
        principal=principal.id if principal is not None else None,
        metadata=principal.metadata if principal is not None else {},
        stream=call.stream,
        status=it.status,
        error_type=_error_type(it),
        ending=_ending(it),
        attempts=tuple(it.attempts),
        usage=facts.usage,
        usage_source=_usage_source(it, facts),
        service_tier=it.word((facts.billing and facts.billing.service_tier) or usage.get("service_tier")),
        speed=it.word(usage.get("speed")),
        inference_geo=it.word(usage.get("inference_geo")),
        cost_usd=cost.usd,
        price_row=cost.row,
        cost_flags=cost.flags,
        billing=facts.billing,
        cache_saved_usd=cost.cache_saved_usd,
        cache_write_extra_usd=cost.cache_write_extra_usd,
        stop_reason=it.word(facts.stop_reason),
        price_vendor=it.target.upstream.prices if it.target is not None else None,
        session_id=call.session.session_id,
        agent_id=call.session.agent_id,
        parent_agent_id=call.session.parent_agent_id,
        error_code=_error_code(it),
        cache_miss=it.word(facts.cache_miss),
        dropped=tuple(leg.losses) if leg is not None else (),
        edits=_edits(leg, it.edits),
    )


def cost_of(call: Call, it: Outcome, book: PriceBook) -> CallCost:
    """Returns what the call costs, as far as that is known. To be asked once the answer is over."""
    facts, target = it.facts, it.target
    if facts.usage is None or target is None:
        return CallCost()
    if facts.estimated:
        return CallCost(flags=("estimated_usage",))
    sent = target.model or call.model
    found = price_call(
        facts,
        models=((it.word(facts.model) or sent)[:MAX_TEXT], sent),
        at=call.started_at,
        vendor=target.upstream.prices,
        partial=not it.complete,
        stream=call.stream,
        book=book,
    )
    if call.session.bill_to is None:
        return found
    return replace(found, flags=(*found.flags, f"billed_to_{call.session.bill_to}"))


def _error_code(it: Outcome) -> str | None:
    """The stable code of the error that the client was told, where it has one."""
    error = it.error or (it.leg.failure if it.leg is not None else None)
    return None if error is None or error.details is None else it.word(error.details.get("error_code"))


def _edits(leg: Leg | None, ours: Sequence[str]) -> tuple[str, ...]:
    request = leg.request if leg is not None else None
    return (*request.edits, *ours) if request is not None else tuple(ours)


def _ending(it: Outcome) -> Ending:
    if it.client_gone:
        return "client_gone"
    if it.error is not None and not it.attempts:
        return "refused"
    return "complete" if _error_type(it) is None else "error"


def _error_type(it: Outcome) -> str | None:
    if it.client_gone:
        return None
    error = it.error or (it.leg.failure if it.leg is not None else None)
    return it.word(error.type) if error is not None else None


def _usage_source(it: Outcome, facts: AnswerFacts) -> UsageSource:
    if facts.usage is None:
        return "none"
    if facts.estimated:
        return "estimated"
    return "upstream" if it.complete else "partial"
