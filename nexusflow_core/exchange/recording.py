"""Makes the record of a call from its outcome."""

from msgspec.structs import replace

from nexusflow_core.call import Call
from nexusflow_core.dialect import AnswerFacts
from nexusflow_core.exchange.metering import CallCost
from nexusflow_core.exchange.outcome import MAX_TEXT, Outcome
from nexusflow_core.record import CallRecord, Ending, UsageSource

__all__ = ["begun", "record_of"]


def begun(call: Call) -> CallRecord:
    """Returns the record of a call before its first attempt, for a durable log."""
    return replace(record_of(Outcome(call=call), CallCost(), started=0.0, now=0.0), ending="started")


def record_of(it: Outcome, cost: CallCost, *, started: float, now: float) -> CallRecord:
    """Returns the record. `started` and `now` are seconds of one clock."""
    call, facts, word = it.call, it.facts, it.word
    leg = it.attempt.leg if it.attempt is not None else None
    principal, session, usage, billing = call.principal, call.session, facts.usage or {}, facts.billing
    request = leg.request if leg is not None else None
    return CallRecord(
        request_id=call.request_id,
        upstream_request_id=word(facts.upstream_request_id),
        started_at=call.started_at,
        duration=now - started,
        time_to_first_byte=None if it.first_byte_at is None else it.first_byte_at - started,
        endpoint=call.endpoint,
        model=call.model[:MAX_TEXT],
        response_model=word(facts.model),
        route=it.route.model if it.route is not None else None,
        principal=principal.id if principal is not None else None,
        metadata=principal.metadata if principal is not None else {},
        stream=call.stream,
        status=it.status,
        error_type=_error_type(it),
        ending=_ending(it),
        attempts=tuple(it.attempts),
        usage=facts.usage,
        usage_source=_usage_source(it, facts),
        service_tier=word((billing and billing.service_tier) or usage.get("service_tier")),
        speed=word(usage.get("speed")),
        inference_geo=word(usage.get("inference_geo")),
        cost_usd=cost.usd,
        price_row=cost.row,
        cost_flags=cost.flags,
        billing=billing,
        cache_saved_usd=cost.cache_saved_usd,
        cache_write_extra_usd=cost.cache_write_extra_usd,
        stop_reason=word(facts.stop_reason),
        price_vendor=it.target.upstream.prices if it.target is not None else None,
        session_id=session.session_id,
        agent_id=session.agent_id,
        parent_agent_id=session.parent_agent_id,
        error_code=_error_code(it),
        cache_miss=word(facts.cache_miss),
        dropped=tuple(leg.losses) if leg is not None else (),
        edits=(*(request.edits if request is not None else ()), *it.edits),
    )


def _error_code(it: Outcome) -> str | None:
    """Returns the stable code of the error that the client received, if it has one."""
    error = it.failure
    return None if error is None or error.details is None else it.word(error.details.get("error_code"))


def _ending(it: Outcome) -> Ending:
    if it.client_gone:
        return "client_gone"
    if it.error is not None and not it.attempts:
        return "refused"
    return "complete" if it.failure is None else "error"


def _error_type(it: Outcome) -> str | None:
    if it.client_gone or it.failure is None:
        return None
    return it.word(it.failure.type)


def _usage_source(it: Outcome, facts: AnswerFacts) -> UsageSource:
    if facts.usage is None:
        return "none"
    if facts.estimated:
        return "estimated"
    return "upstream" if it.complete else "partial"
