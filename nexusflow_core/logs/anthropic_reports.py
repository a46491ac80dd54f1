"""Reader of Anthropic's Admin reports: tokens and costs by time bucket, as the API returns them.

Sources: Usage and Cost Admin API (`usage_report/messages`, `cost_report`), and the Usage and Cost Analytics API
(`analytics/usage`, `analytics/cost`). A page is `{"data": [...]}`; here one element of `data` is read.
"""

from collections.abc import Iterator
from datetime import datetime
from typing import Any

import msgspec
from msgspec import Struct

from nexusflow_core.errors import InvalidUsageError
from nexusflow_core.logs.entry import Entry, NotAnEntryError, Skipped, read_moment, texts
from nexusflow_core.untyped import object_of
from nexusflow_core.usage import Usage

__all__ = ["read_bucket", "read_item"]

_NO_MODEL = "it has no model: download the report with group_by[]=model"


class _Bucket(Struct):
    starting_at: str
    results: list[dict[str, Any]]


class _Item(Struct):
    starting_at: str
    group: dict[str, Any]
    usage: dict[str, Any] | None = None
    cost: dict[str, Any] | None = None


_bucket = msgspec.json.Decoder(_Bucket)
_item = msgspec.json.Decoder(_Item)


def read_bucket(value: bytes, at: datetime | None = None) -> Iterator[Entry | Skipped]:
    """Yields the rows of one time bucket of a usage report or a cost report."""
    parsed = _bucket.decode(value)
    moment = read_moment(parsed.starting_at)
    for row in parsed.results:
        try:
            yield _cost(row, row, moment) if "amount" in row else _usage(row, row, moment)
        except (InvalidUsageError, NotAnEntryError) as error:
            yield Skipped.because(error)


def read_item(value: bytes, at: datetime | None = None) -> Entry:
    """Returns the row of an item of the Analytics API: its dimensions are in `group`."""
    parsed = _item.decode(value)
    moment = read_moment(parsed.starting_at)
    if parsed.cost is not None:
        return _cost(parsed.cost, parsed.group, moment)
    if parsed.usage is None:
        raise NotAnEntryError("it has neither `usage` nor `cost`")
    return _usage(parsed.usage, parsed.group, moment)


def _usage(counts: dict[str, Any], group: dict[str, Any], at: datetime) -> Entry:
    model = group.get("model")
    if not isinstance(model, str):
        raise NotAnEntryError(_NO_MODEL)
    own = {name: value for name, value in counts.items() if name != "total_tokens"}  # analytics repeat the sum
    terms = {name: group.get(name) for name in ("service_tier", "inference_geo", "speed", "context_window")}
    return Entry(
        models=(model,),
        at=at,
        usage=Usage.from_wire({**own, **terms}, "anthropic-usage-report"),
        key=_text(group.get("api_key_id")),
        session=_text(group.get("session_id")),
        agent=_text(group.get("agent_id")),
        vendor="anthropic",
        many_requests=True,
        metadata=_metadata(group),
        calls=_requests(counts),
    )


def _cost(amounts: dict[str, Any], group: dict[str, Any], at: datetime) -> Entry:
    """Returns a row of a cost report. Costs without a model are named after what they were charged for."""
    usage = Usage.from_wire(amounts, "anthropic-cost-report")
    kind = _text(group.get("cost_type"))
    return Entry(
        models=(
            _text(group.get("model")) or (kind if kind not in (None, "tokens") else None) or "(all models)",
        ),
        at=at,
        usage=usage,
        logged_femto_usd=usage.reported_femto_usd,
        key=_text(group.get("api_key_id")),
        vendor="anthropic",
        many_requests=True,
        metadata=_metadata(group),
        calls=_requests(amounts),
    )


def _metadata(group: dict[str, Any]) -> dict[str, str]:
    actor = object_of(group.get("actor"))
    return texts(
        workspace=group.get("workspace_id"),
        product=group.get("product"),
        actor=actor.get("email") or actor.get("id"),
        service_account=group.get("service_account_id"),
        token_type=group.get("token_type"),
        service_tier=group.get("service_tier"),
    )


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def _requests(row: dict[str, Any]) -> int:
    count = row.get("requests")
    return count if isinstance(count, int) and count > 0 else 1
