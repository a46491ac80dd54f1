"""Builds the Plan of a call."""

import zlib
from datetime import datetime, timedelta

from nexusflow_core.call import Call
from nexusflow_core.resilience import Health, Plan
from nexusflow_core.routing import ModelRoute
from nexusflow_core.threads import continues_thread
from nexusflow_core.upstream import header

__all__ = ["moment", "plan_of"]


def plan_of(call: Call, route: ModelRoute, health: Health | None, started: float) -> Plan:
    """Returns the plan of attempts for this call."""
    retries = header(call.headers, b"x-stainless-retry-count") or b""
    one = len(route.targets) == 1 or not continues_thread(call.text)
    return Plan(
        route.targets if one else route.targets[:1],  # only one provider has a thread's history
        route.retry,
        health if call.endpoint == "messages" else None,  # count_tokens says nothing about a target's health
        model=call.model,
        started=started,
        spent=int(retries) if retries.isdigit() and len(retries) < 4 else 0,
        jitter=zlib.crc32(call.request_id.encode()) / 2**32,
        caller=_caller(call),
    )


def _caller(call: Call) -> str:
    """Returns a name of the caller, from its authentication or its own credential; "" without either."""
    if call.principal is not None:
        return f"principal {call.principal.id}"
    return f"credential {call.credential.value!r}" if call.credential is not None else ""


def moment(call: Call, seconds: float) -> datetime:
    """Returns the UTC moment this many seconds after the call's start."""
    return call.started_at + timedelta(seconds=seconds)
