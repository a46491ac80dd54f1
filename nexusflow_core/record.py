"""CallRecord: what happened to one call, for hooks and the log. One a call, refused ones included."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Literal, TypeAlias, cast

import msgspec
from msgspec import Struct, field

from nexusflow_core.untyped import is_list, is_mapping
from nexusflow_core.usage import Billing

__all__ = [
    "MAX_LISTED",
    "SCHEMA_VERSION",
    "Attempt",
    "CallRecord",
    "Ending",
    "Loss",
    "Places",
    "UsageSource",
    "and_more",
]

SCHEMA_VERSION = 1

MAX_LISTED = 100
"""Entries of `dropped`, and of `edits`. One more entry says how many are left out: callers decide how many
there are, and every reader of the log must be able to read the line."""

Ending: TypeAlias = Literal["complete", "error", "client_gone", "refused", "started", "lost"]
"""`complete`: the answer reached its own end. `error`: an upstream's error, or one of ours after the call
had begun. `client_gone`: the client left first. `refused`: by us, before any upstream. In a durable log alone
`started`: from before the upstream was called, another line settles it; and `lost`: the process died."""

UsageSource: TypeAlias = Literal["upstream", "estimated", "partial", "none"]
"""Whose numbers: the upstream's final ones, an estimate of ours, the upstream's before it broke off, none."""


class Loss(Struct, frozen=True):
    """A field of the request that this upstream could not be given: its path, and why."""

    path: str
    why: str


class Places(Struct):
    """Places in a body: the paths of the first ones, and how many there are."""

    first: list[str] = field(default_factory=list[str])
    count: int = 0

    def add(self, path: str) -> None:
        """Counts a place; keeps its path while fewer than MAX_LISTED are kept."""
        self.count += 1
        if len(self.first) < MAX_LISTED:
            self.first.append(path)

    def listed(self, words: Sequence[str] = ()) -> tuple[str, ...]:
        """Returns `words` and then the paths, MAX_LISTED together at most, and `and N more` for the rest."""
        shown = self.first[: MAX_LISTED - len(words)]
        left = self.count - len(shown)
        return (*words, *shown, and_more(left)) if left else (*words, *shown)


def and_more(count: int) -> str:
    """Returns the last entry of a list that was cut."""
    return f"and {count} more"


class Attempt(Struct, frozen=True, kw_only=True):
    """One upstream tried. `status` is None where no answer came; `reason` is "" for the attempt that served.
    `duration` in seconds."""

    upstream: str
    model: str
    status: int | None
    reason: str
    duration: float


class CallRecord(Struct, frozen=True, kw_only=True):
    """Everything worth keeping of one call, never a body and never a key.

    `duration` and `time_to_first_byte` are seconds from the request's arrival; `usage` has the wire's names.
    `cost_usd` is exact decimal text; None where nothing was metered or no price is known (`cost_flags` say so).
    `price_vendor`: whose price rows hold for it, None where anybody's do.
    `billing` is what the bill needs beside the counts. Cache reads saved, and cache writes cost on top, so much
    against the price of input. `session_id`, `agent_id` and `parent_agent_id` are what Claude Code says of
    itself; `error_code` is the error's stable code; `cache_miss` is why the provider's prompt cache missed.
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
    attempts: tuple[Attempt, ...]
    usage: dict[str, Any] | None
    usage_source: UsageSource
    service_tier: str | None
    speed: str | None
    inference_geo: str | None
    dropped: tuple[Loss, ...]
    edits: tuple[str, ...]
    cost_usd: str | None = None
    price_row: str | None = None
    cost_flags: tuple[str, ...] = ()
    billing: Billing | None = None
    cache_saved_usd: str | None = None
    cache_write_extra_usd: str | None = None
    stop_reason: str | None = None
    price_vendor: str | None = None
    session_id: str | None = None
    agent_id: str | None = None
    parent_agent_id: str | None = None
    error_code: str | None = None
    cache_miss: str | None = None

    def as_dict(self) -> dict[str, Any]:
        """Returns the record as its line in the call log has it: dicts, lists, texts and numbers alone, the
        time as ISO 8601 text. Any JSON encoder takes it, and FastAPI."""
        found: dict[str, Any] = _plain(msgspec.to_builtins(self))
        return found


def _plain(value: Any) -> Any:
    """What JSON has: lists, not tuples."""
    if is_mapping(value):
        return {name: _plain(member) for name, member in value.items()}
    if isinstance(value, tuple) or is_list(value):
        return [_plain(member) for member in cast(Iterable[Any], value)]
    return value
