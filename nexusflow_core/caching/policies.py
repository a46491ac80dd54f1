"""Policies for placing breakpoints, and the cost of a sequence of requests under each."""

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from enum import Enum
from typing import Any, Final

from msgspec import Struct

from nexusflow_core.caching.counters import Counter, RecordedCounter
from nexusflow_core.caching.prediction import Prediction
from nexusflow_core.caching.rules import ANTHROPIC, Rules
from nexusflow_core.caching.simulator import CacheSimulator
from nexusflow_core.costing import cost
from nexusflow_core.errors import UnknownModelError
from nexusflow_core.prices import PriceBook
from nexusflow_core.untyped import is_list, is_object, list_of, object_of
from nexusflow_core.usage import Usage

__all__ = ["Outcome", "Policy", "Sent", "marked", "replay"]

_MARK = "cache_control"


class Policy(Enum):
    """Where breakpoints stand. `ALL_5M` and `ALL_1H` keep the places that were sent, and change the lifetime.

    `AUTOMATIC` adds the top-level breakpoint if fewer than the allowed number are set.
    """

    AS_SENT = "as sent"
    NONE = "none"
    LAST_BLOCK = "last block"
    TOOLS_SYSTEM_LAST = "tools, system, last block"
    ALL_5M = "all 5m"
    ALL_1H = "all 1h"
    AUTOMATIC = "automatic"


class Sent(Struct, frozen=True):
    """A request, the times when it was sent and when its answer began, and its usage if known."""

    request: Mapping[str, Any]
    at: datetime
    answered_at: datetime | None = None
    usage: Usage | None = None
    session: str | None = None


class Outcome(Struct):
    """Tokens read and written over all requests under a policy, and their cost.

    `estimated`: requests with a size that is not exactly known. `femto_usd`: the cost of the prompts, without
    the answers; None if a model has no price.
    """

    policy: Policy
    requests: int = 0
    estimated: int = 0
    read: int = 0
    write_5m: int = 0
    write_1h: int = 0
    uncached: int = 0
    femto_usd: int | None = 0


def marked(request: Mapping[str, Any], policy: Policy) -> dict[str, Any]:
    """Returns a Messages API request with a policy's breakpoints instead of its own."""
    return _POLICIES[policy](request)


def replay(
    requests: Iterable[Sent],
    policy: Policy,
    *,
    rules: Rules = ANTHROPIC,
    counter: Counter | None = None,
    book: PriceBook | None = None,
) -> Outcome:
    """Returns the outcome of these requests under a policy. They must be in the order in which they were sent.

    `counter` gives the sizes of prefixes; one that has learned from the requests' usage is the most exact.
    Raises InvalidRequestError for breakpoints that the API refuses.
    """
    simulator = CacheSimulator(rules, counter if counter is not None else RecordedCounter(), book)
    outcome = Outcome(policy)
    for sent in requests:
        request = marked(sent.request, policy)
        found = simulator.step(request, at=sent.at, answered_at=sent.answered_at, session=sent.session)
        _add(outcome, found, str(request.get("model") or ""), sent.at, book)
    return outcome


def _add(outcome: Outcome, found: Prediction, model: str, at: datetime, book: PriceBook | None) -> None:
    usage = Usage(
        input_tokens=found.uncached.best,
        cache_read_tokens=found.read.best,
        cache_write_5m_tokens=found.write_5m.best,
        cache_write_1h_tokens=found.write_1h.best,
    )
    counts = found.read, found.write_5m, found.write_1h, found.uncached
    outcome.requests += 1
    outcome.estimated += not all(count.exact for count in counts)
    outcome.read += usage.cache_read_tokens
    outcome.write_5m += usage.cache_write_5m_tokens
    outcome.write_1h += usage.cache_write_1h_tokens
    outcome.uncached += usage.input_tokens
    try:
        if outcome.femto_usd is not None:
            outcome.femto_usd += cost(usage, model=model, at=at, book=book).femto_usd
    except UnknownModelError:
        outcome.femto_usd = None


def _bare(request: Mapping[str, Any]) -> dict[str, Any]:
    """Returns a copy without breakpoints."""
    return _changed(request, lambda mark: None)


def _last_block(request: Mapping[str, Any]) -> dict[str, Any]:
    return {**_bare(request), _MARK: {"type": "ephemeral"}}


def _automatic(request: Mapping[str, Any]) -> dict[str, Any]:
    count = 0

    def counted(mark: dict[str, Any]) -> dict[str, Any]:
        nonlocal count
        count += 1
        return mark

    found = _changed(request, counted)
    if count >= ANTHROPIC.breakpoints or _MARK in request:
        return dict(request)
    return {**found, _MARK: {"type": "ephemeral"}}


def _tools_system_last(request: Mapping[str, Any]) -> dict[str, Any]:
    """Returns a copy with breakpoints on the last tool, the last system block, and the last block of all."""
    bare = _last_block(request)
    system = bare.get("system")
    if isinstance(system, str) and system:
        bare["system"] = [{"type": "text", "text": system}]
    for member in ("tools", "system"):
        if blocks := [object_of(block) for block in list_of(bare.get(member))]:
            bare[member] = [*blocks[:-1], {**blocks[-1], _MARK: {"type": "ephemeral"}}]
    return bare


def _lifetimes(ttl: str) -> "Callable[[Mapping[str, Any]], dict[str, Any]]":
    return lambda request: _changed(request, lambda mark: {**mark, "ttl": ttl})


def _changed(
    request: Mapping[str, Any], change: "Callable[[dict[str, Any]], dict[str, Any] | None]"
) -> dict[str, Any]:
    """Returns a copy in which `change` replaces each breakpoint, or removes it with None."""

    def holder(value: Any) -> Any:
        if not is_object(value):
            return value
        found = {name: member for name, member in value.items() if name != _MARK}
        if is_list(found.get("content")):
            found["content"] = [holder(part) for part in found["content"]]
        if is_object(mark := value.get(_MARK)) and (new := change(mark)) is not None:
            found[_MARK] = new
        return found

    changed: dict[str, Any] = holder(dict(request))
    for member in ("tools", "system", "messages"):
        if is_list(changed.get(member)):
            changed[member] = [holder(block) for block in changed[member]]
    return changed


_POLICIES: Final[Mapping[Policy, "Callable[[Mapping[str, Any]], dict[str, Any]]"]] = {
    Policy.AS_SENT: dict,
    Policy.NONE: _bare,
    Policy.LAST_BLOCK: _last_block,
    Policy.TOOLS_SYSTEM_LAST: _tools_system_last,
    Policy.ALL_5M: _lifetimes("5m"),
    Policy.ALL_1H: _lifetimes("1h"),
    Policy.AUTOMATIC: _automatic,
}
