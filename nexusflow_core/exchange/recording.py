"""Makes the record of a call from its outcome."""

from msgspec.structs import replace

from nexusflow_core.call import Call
from nexusflow_core.dialect import AnswerFacts
from nexusflow_core.errors import NexusFlowError
from nexusflow_core.exchange.metering import CallCost
from nexusflow_core.exchange.outcome import MAX_TEXT, Outcome
from nexusflow_core.record import CallRecord, Ending, UsageSource

__all__ = ["begun", "record_of"]


def begun(call: Call) -> CallRecord:
    """Returns the record of a call before its first attempt, for a durable log."""
    return replace(record_of(Outcome(call=call), CallCost(), started=0.0, now=0.0), ending="started")


def record_of(outcome: Outcome, cost: CallCost, *, started: float, now: float) -> CallRecord:
    """Returns the record. `started` and `now` are seconds of one clock."""
    call, facts, word, failure = outcome.call, outcome.facts, outcome.word, outcome.failure
    attempt, seen = outcome.attempt, call.seen
    leg = attempt.leg if attempt is not None else None
    principal, session, usage, billing = call.principal, call.session, facts.usage or {}, facts.billing
    request = leg.request if leg is not None else None
    return CallRecord(
        request_id=call.request_id,
        upstream_request_id=word(facts.upstream_request_id),
        started_at=call.started_at,
        duration=now - started,
        time_to_first_byte=None if outcome.first_byte_at is None else outcome.first_byte_at - started,
        endpoint=call.endpoint,
        model=seen.model[:MAX_TEXT] if seen is not None else "",
        response_model=word(facts.model),
        route=outcome.route.model if outcome.route is not None else None,
        principal=principal.id if principal is not None else None,
        metadata=principal.metadata if principal is not None else {},
        scopes=call.scopes if principal is not None else (),
        stream=seen is not None and seen.stream,
        status=outcome.status,
        error_type=None if failure is None or outcome.client_gone else word(failure.type),
        ending=_ending(outcome, failure),
        attempts=tuple(outcome.attempts),
        usage=facts.usage,
        usage_source=_usage_source(outcome, facts),
        service_tier=word((billing and billing.service_tier) or usage.get("service_tier")),
        speed=word(usage["speed"]) if "speed" in usage else None,
        inference_geo=word(usage.get("inference_geo")),
        cost_usd=cost.usd,
        price_row=cost.row,
        cost_flags=cost.flags,
        billing=billing,
        cache_saved_usd=cost.cache_saved_usd,
        cache_write_extra_usd=cost.cache_write_extra_usd,
        stop_reason=word(facts.stop_reason),
        price_vendor=attempt.target.upstream.prices if attempt is not None else None,
        session_id=session.session_id,
        agent_id=session.agent_id,
        parent_agent_id=session.parent_agent_id,
        error_code=None if failure is None else word((failure.details or {}).get("error_code")),
        upstream_cache_miss=None if facts.cache_miss is None else word(facts.cache_miss),
        dropped=tuple(leg.losses) if leg is not None else (),
        edits=(*(request.edits if request is not None else ()), *outcome.edits),
    )


def _ending(outcome: Outcome, failure: NexusFlowError | None) -> Ending:
    if outcome.client_gone:
        return "client_gone"
    if outcome.error is not None and not outcome.attempts:
        return "refused"
    return "complete" if failure is None else "error"


def _usage_source(outcome: Outcome, facts: AnswerFacts) -> UsageSource:
    if facts.usage is None:
        return "none"
    if facts.estimated:
        return "estimated"
    return "upstream" if outcome.complete else "partial"
