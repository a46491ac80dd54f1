"""CallRecord: the outcome of one call, for hooks and the log. Each call has one, refused calls too."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Literal, TypeAlias, cast

import msgspec
from msgspec import Struct, field

from nexusflow_core.errors import InvalidUsageError
from nexusflow_core.untyped import is_list, is_mapping
from nexusflow_core.usage import Billing, Usage, read_metered

__all__ = [
    "MAX_LISTED",
    "SCHEMA_VERSION",
    "AttemptRecord",
    "CallRecord",
    "Ending",
    "Loss",
    "Places",
    "UsageSource",
    "and_more",
]

SCHEMA_VERSION = 1

MAX_LISTED = 100
"""Bound on the entries of `dropped`, and of `edits`; one more entry counts the rest. Callers decide how many
there are, and log readers must be able to read the line."""

Ending: TypeAlias = Literal["complete", "error", "client_gone", "refused", "started", "lost"]
"""`complete`: the answer reached its end. `error`: the upstream or the gateway failed after the call had begun.
`client_gone`: the client left first. `refused`: by the gateway, before any upstream. Only in a durable log:
`started`, written before the upstream is called and replaced by a later line; `lost`: the process died."""

UsageSource: TypeAlias = Literal["upstream", "estimated", "partial", "none"]
"""Origin of the counts: the upstream's final ones, our estimate, the upstream's before it broke off, none."""


class Loss(Struct, frozen=True):
    """A dropped field of the request: its path, and the reason."""

    path: str
    why: str


class Places(Struct):
    """Places in a body: the first paths, and the number of all."""

    first: list[str] = field(default_factory=list[str])
    count: int = 0

    def add(self, path: str) -> None:
        """Counts a place. Keeps its path until MAX_LISTED are kept."""
        self.count += 1
        if len(self.first) < MAX_LISTED:
            self.first.append(path)

    def listed(self, words: Sequence[str] = ()) -> tuple[str, ...]:
        """Returns `words` and then paths, at most MAX_LISTED together, then `and N more` for the rest."""
        shown = self.first[: MAX_LISTED - len(words)]
        left = self.count - len(shown)
        return (*words, *shown, and_more(left)) if left else (*words, *shown)


def and_more(count: int) -> str:
    """Returns the last entry of a list that was cut short."""
    return f"and {count} more"


class AttemptRecord(Struct, frozen=True, kw_only=True):
    """One upstream tried. `status`: None if no answer came. `duration`: seconds.

    `reason`: "" for the attempt that served, else a word such as `refused`, `timeout_error` or `client_gone`.
    """

    upstream: str
    model: str
    status: int | None
    reason: str
    duration: float


class CallRecord(Struct, frozen=True, kw_only=True):
    """The facts of one call, never its body or a key.

    Times are seconds from the request's arrival. Money is exact decimal text in USD. None means unknown or
    not applicable.
    """

    schema: int = SCHEMA_VERSION
    request_id: str
    upstream_request_id: str | None
    started_at: datetime
    duration: float
    time_to_first_byte: float | None
    endpoint: str
    model: str
    response_model: str | None
    route: str | None
    principal: str | None
    metadata: Mapping[str, str]
    stream: bool
    status: int | None
    error_type: str | None
    ending: Ending
    attempts: tuple[AttemptRecord, ...]
    usage: dict[str, Any] | None
    """In the names of the wire."""
    usage_source: UsageSource
    service_tier: str | None
    speed: str | None
    inference_geo: str | None
    dropped: tuple[Loss, ...]
    edits: tuple[str, ...]
    """Changes that the gateway made to a relayed body, 100 entries at most."""
    cost_usd: str | None = None
    """None without usage or without a price; `cost_flags` has the reason."""
    price_row: str | None = None
    cost_flags: tuple[str, ...] = ()
    """Reasons why the cost is unknown or not certain, such as `unknown_price`. docs/costs.md lists all."""
    billing: Billing | None = None
    """Facts that the price depends on, beside the counts."""
    cache_saved_usd: str | None = None
    """Savings of cache reads compared with plain input."""
    cache_write_extra_usd: str | None = None
    """Extra cost of cache writes compared with plain input."""
    stop_reason: str | None = None
    price_vendor: str | None = None
    """The vendor whose prices apply; None searches all vendors."""
    session_id: str | None = None
    """From Claude Code, like the next two."""
    agent_id: str | None = None
    parent_agent_id: str | None = None
    error_code: str | None = None
    """The error's stable code, such as `thread_unsupported_request`."""
    upstream_cache_miss: str | None = None
    """The provider's own reason why its prompt cache missed."""
    cache_miss: str | None = None
    """Our reason, with its place, such as `system_changed system[1]`: only with `[cache] doctor`."""
    cache_disagreement: int | None = None
    """Tokens read from the cache above our prediction, or below it; None where it was right."""
    scopes: tuple[str, ...] = ()
    """The caller's scopes, which caps are set for."""

    def as_dict(self) -> dict[str, Any]:
        """Returns the record as plain dicts, lists, strings and numbers, as in the call log.

        Times are ISO 8601 text. Any JSON encoder accepts it.
        """
        found: dict[str, Any] = _plain(msgspec.to_builtins(self))
        return found

    def counts(self) -> Usage | None:
        """Returns `usage` as counts of tokens; None without one, and for one that is impossible."""
        try:
            return None if self.usage is None else read_metered(self.usage, stream=self.stream)
        except InvalidUsageError:  # `cost_flags` names it
            return None


def _plain(value: Any) -> Any:
    """Returns the value with lists instead of tuples, as JSON has them."""
    if is_mapping(value):
        return {name: _plain(member) for name, member in value.items()}
    if isinstance(value, tuple) or is_list(value):
        return [_plain(member) for member in cast(Iterable[Any], value)]
    return value
