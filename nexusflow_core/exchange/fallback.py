"""Fallback: opens the attempts of a call, and decides after a failed one while the client has seen nothing."""

import zlib
from math import inf

from msgspec.structs import replace

from nexusflow_core.call import Call
from nexusflow_core.dialect import Leg, OpenLeg
from nexusflow_core.errors import InternalError, InvalidRequestError, NexusFlowError, UpstreamError, kept
from nexusflow_core.exchange.attempt import Attempt
from nexusflow_core.exchange.outcome import Outcome
from nexusflow_core.messages.marks import has_signed_thinking, without_signed_thinking
from nexusflow_core.peek import continues_thread
from nexusflow_core.prices.model_id import same_claude
from nexusflow_core.resilience import Failure, Health, Plan, Step, failure_of
from nexusflow_core.routing import ModelRoute, Target
from nexusflow_core.upstream import Credential, Headers, derived, header

__all__ = ["Fallback"]


class Fallback:
    """Chooses the targets of one call, and opens attempts there. Without a route it chooses none.

    The plan is made once a target has failed, in this call or in another: most calls need none.

    `cause`: the failure of the previous attempt. `words`: the last failed attempt with an error body, and that
    body. `unsent`: the same, until another attempt begins.
    """

    __slots__ = (
        "_begun",
        "_credential",
        "_health",
        "_open_leg",
        "_outcome",
        "_ping",
        "_plan",
        "_started",
        "cause",
        "unsent",
        "words",
    )

    def __init__(
        self, outcome: Outcome, health: Health | None, open_leg: OpenLeg, *, started: float, ping: float
    ) -> None:
        self.cause: UpstreamError | None = None
        self.words: tuple[Attempt, bytes] | None = None
        self.unsent: tuple[Attempt, bytes] | None = None
        self._outcome = outcome
        self._open_leg = open_leg
        self._started = started
        self._ping = ping
        # count_tokens says nothing about a target's health
        self._health = health if outcome.call.endpoint == "messages" else None
        self._credential = outcome.call.credential
        self._plan: Plan | None = None
        self._begun = False  # the first target has been chosen without a plan

    def first(self, now: float) -> Step | None:
        """Returns the first attempt, or None."""
        route = self._outcome.route
        if route is None:
            return None
        if self._health is None or self._health.calm:
            self._begun = True
            return Step(route.targets[0], now)
        plan = self._plan = self._plan_of(route)
        return plan.first(now)

    def open(self, step: Step | None, now: float) -> Attempt | NexusFlowError:
        """Opens the attempt of a step, or of a replacement if its target cannot carry the call.

        Returns the error to answer with if no target can.
        """
        first: NexusFlowError | None = None
        while step is not None:
            try:
                return self._open_at(step.target, now)
            except NexusFlowError as error:
                first = first or kept(error)
            step = self.instead(now)
        return self.cause or first or InternalError("no target")

    def after(self, attempt: Attempt, error: UpstreamError, body: bytes, now: float) -> Step | None:
        """Returns the attempt after this failure; None makes it the answer. `body` is the error answer's."""
        step = self._without_thinking(error, body, now) or self._without_refused(error, now)
        if step is not None:
            self.cause = kept(error)
            return step
        plan = self._planned()
        if attempt.ended or plan is None:
            return None
        self.cause = kept(error)
        failure = self._failure(attempt, error, now)
        if failure is None:
            plan.served(now)
            return None
        return plan.after(failure, now)

    def instead(self, now: float) -> Step | None:
        """Returns a replacement for a target that cannot carry the call, or None."""
        plan = self._planned()
        return plan.instead(now, failed=self.cause is not None) if plan is not None else None

    def cannot_carry(self, error: UpstreamError, body: bytes) -> bool:
        """True if a replacement target answers that it cannot serve this call."""
        return self.cause is not None and _refuses_choice(error, body)

    def served(self, now: float) -> None:
        """Notes that the answer has begun."""
        if self._health is not None and not self._health.calm and (plan := self._planned()) is not None:
            plan.served(now)

    def broke(self, attempt: Attempt, error: NexusFlowError, now: float) -> None:
        """Notes that the answer broke off after its head was sent."""
        failure = self._failure(attempt, error, now)
        if failure is not None and (plan := self._planned()) is not None:
            plan.broke(failure, now)

    def abandoned(self) -> None:
        """Notes that the client left, or the gateway ended the call."""
        if self._health is not None and not self._health.calm and (plan := self._planned()) is not None:
            plan.abandoned()

    def _planned(self) -> Plan | None:
        """Returns the plan; None before the first target was chosen."""
        route = self._outcome.route
        if self._plan is None and self._begun and route is not None:
            self._plan = self._plan_of(route)
            self._plan.begin()
        return self._plan

    def _plan_of(self, route: ModelRoute) -> Plan:
        call = self._outcome.call
        one = len(route.targets) == 1 or not (call.may_have("thread") and continues_thread(call.text))
        return Plan(
            route.targets if one else route.targets[:1],  # only one provider has a thread's history
            route.retry,
            self._health,
            model=call.model,
            started=self._started,
            spent=derived(call.headers, "spent", _spent),
            jitter=zlib.crc32(call.request_id.encode()) / 2**32,
            caller=_caller(call, self._credential),
        )

    def _open_at(self, target: Target, now: float) -> Attempt:
        """Opens an attempt at this target. Raises the error that prevents it."""
        outcome = self._outcome
        route = outcome.route
        leg = self._open_leg(outcome.call, target, outcome.moment(now - self._started))
        if route is not None and _would_be_refused(outcome.call, route, target, leg):
            raise InvalidRequestError("thinking: signed by another model than the one that is available")
        latest = self._started + route.retry.deadline if route is not None else inf
        attempt = Attempt(target, leg, now, latest=latest, ping=self._ping)
        outcome.go_to(attempt)
        self.unsent = None
        return attempt

    def _without_thinking(self, error: UpstreamError, body: bytes, now: float) -> Step | None:
        """Returns the same target again for the call without signed thinking, or None.

        None if the refusal has another reason, or if the same bytes would be sent again.
        """
        outcome = self._outcome
        strips = outcome.route is not None and outcome.route.thinking == "strip" and not outcome.edits
        if not (strips and error.status == 400 and _refuses_thinking(body)):
            return None
        stripped, edits = _without_thinking(outcome.call)
        plan = self._planned() if edits else None
        step = plan.once_more(now) if plan is not None else None
        if step is not None:
            outcome.call, outcome.edits = stripped, edits
        return step

    def _without_refused(self, error: UpstreamError, now: float) -> Step | None:
        """Returns the same target again for the call without the part that it refuses, or None.

        Reasoning of earlier turns is left out only where the route strips thinking.
        """
        outcome, parts = self._outcome, frozenset(error.refuses)
        if parts <= outcome.call.without or outcome.route is None or (plan := self._planned()) is None:
            return None
        strips = "reasoning" not in parts or outcome.route.thinking == "strip"
        step = plan.once_more(now) if strips else None
        if step is not None:
            outcome.call = replace(outcome.call, without=outcome.call.without | parts)
        return step

    def _failure(self, attempt: Attempt, error: NexusFlowError, now: float) -> Failure | None:
        if not isinstance(error, UpstreamError):
            return None
        return failure_of(error, attempt.headers, self._outcome.moment(now - self._started))


def _spent(headers: Headers) -> int:
    """Returns the attempts that the client has made before, as the SDKs report them."""
    retries = header(headers, b"x-stainless-retry-count") or b""
    return int(retries) if retries.isdigit() and len(retries) < 4 else 0


def _caller(call: Call, credential: Credential | None) -> str:
    """Returns a name of the caller, from its authentication or its own credential; "" without either."""
    if call.principal is not None:
        return f"principal {call.principal.id}"
    return f"credential {credential.value!r}" if credential is not None else ""


# Signed thinking: a refusal of it is recognised, and the call is sent without it.


def _would_be_refused(call: Call, route: ModelRoute, target: Target, leg: Leg) -> bool:
    """True if falling back would send one model's signed thinking to another model, which refuses it.

    With `thinking = "strip"` it is False: the refusal is awaited.
    """
    if target is route.targets[0]:
        return False
    wanted = route.targets[0].model or call.model
    asked = target.model or call.model
    if route.thinking == "strip" or asked == wanted or same_claude(asked, wanted) or call.seen is None:
        return False
    if leg.request is None:
        return False
    encoded = header(leg.request.headers, b"content-encoding") is not None
    return has_signed_thinking(call.seen.text) and (encoded or has_signed_thinking(leg.request.body))


def _refuses_thinking(body: bytes) -> bool:
    """True if an error answer of status 400 is about the signature of a thinking block."""
    return b"signature" in body and b"thinking" in body


def _refuses_choice(error: UpstreamError, body: bytes) -> bool:
    """True if an error answer is about a forced tool choice, which some model families refuse."""
    return error.status == 400 and (b"tool_choice" in body or "tool_choice" in error.message)


def _without_thinking(call: Call) -> tuple[Call, tuple[str, ...]]:
    """Returns the call without signed thinking, and the edits made; () if nothing changed.

    An edited body is sent uncompressed.
    """
    if call.seen is None:
        return call, ()
    text = without_signed_thinking(call.seen.text)
    if text is call.seen.text:
        return call, ()
    headers = [pair for pair in call.headers if pair[0] != b"content-encoding"]
    edits = ("thinking", "content-encoding") if call.content_encoding else ("thinking",)
    seen = replace(call.seen, text=text, messages=None, models=())  # the places were those of the other text
    return replace(call, headers=headers, body=text, seen=seen), edits
