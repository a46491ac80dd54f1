"""What of a call its plan goes by."""

import zlib
from datetime import datetime, timedelta

from nexusflow_core.call import Call
from nexusflow_core.resilience import Health, Plan
from nexusflow_core.routing import ModelRoute
from nexusflow_core.threads import continues_thread
from nexusflow_core.upstream import header

__all__ = ["moment", "plan_of"]


def plan_of(call: Call, route: ModelRoute, health: Health | None, started: float) -> Plan:
    """How the attempts of this call will be spent."""
    retries = header(call.headers, b"x-stainless-retry-count") or b""
    one = len(route.targets) == 1 or not continues_thread(call.text)
    return Plan(
        route.targets if one else route.targets[:1],  # a thread's history lies at one provider
        route.retry,
        health if call.endpoint == "messages" else None,  # an auxiliary call tells nothing
        model=call.model,
        started=started,
        spent=int(retries) if retries.isdigit() and len(retries) < 4 else 0,
        jitter=zlib.crc32(call.request_id.encode()) / 2**32,
        caller=_caller(call),
    )


def _caller(call: Call) -> str:
    """Who calls, by the name that authentication gave or by a credential of its own; "" where neither is."""
    if call.principal is not None:
        return f"principal {call.principal.id}"
    return f"credential {call.credential.value!r}" if call.credential is not None else ""


def moment(call: Call, seconds: float) -> datetime:
    """The time of day so many seconds into the call."""
    return call.started_at + timedelta(seconds=seconds)
