"""Reader of OpenRouter's exports: generations, and the daily activity of an account.

Sources: `GET /api/v1/generation` and `GET /api/v1/activity`. Both state what OpenRouter charged, and that bill
overrides every price. The activity's CSV of single generations is read by `columns`.
"""

from datetime import datetime
from decimal import Decimal

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from nexusflow_core.logs.entry import Entry, NotAnEntryError, read_moment, texts
from nexusflow_core.usage import Usage
from nexusflow_core.usage.counts import Count, rounded_femto

__all__ = ["read_activity", "read_generation"]

_FEMTO_PER_USD = 10**15


class _Generation(Struct):
    id: str
    model: str
    created_at: str
    total_cost: Decimal | None = None
    usage: Decimal | None = None
    tokens_prompt: Count | None = None
    tokens_completion: Count | None = None
    native_tokens_prompt: Count | None = None
    native_tokens_completion: Count | None = None
    native_tokens_reasoning: Count | None = None
    native_tokens_cached: Count | None = None
    num_search_results: Count | None = None
    provider_name: str | None = None
    is_byok: bool | None = None
    app_id: int | None = None
    external_user: str | None = None
    session_id: str | None = None


class _Activity(Struct):
    date: str
    model: str | None = None
    model_permaslug: str | None = None
    provider_name: str | None = None
    usage: Decimal | None = None
    byok_usage_inference: Decimal | None = None
    requests: Count | None = None
    prompt_tokens: Count | None = None
    completion_tokens: Count | None = None
    reasoning_tokens: Count | None = None


_generation = msgspec.json.Decoder(_Generation)
_activity = msgspec.json.Decoder(_Activity)


def read_generation(value: bytes, at: datetime | None = None) -> Entry:
    """Returns the entry of a generation, with the counts of the model's own tokenizer."""
    parsed = _generation.decode(value)
    prompt = _first(parsed.native_tokens_prompt, parsed.tokens_prompt)
    output = _first(parsed.native_tokens_completion, parsed.tokens_completion)
    charged = parsed.usage if parsed.total_cost is None else parsed.total_cost
    cached = min(parsed.native_tokens_cached or 0, prompt)
    counted = Usage(
        input_tokens=prompt - cached,
        cache_read_tokens=cached,
        output_tokens=output,
        reasoning_tokens=min(parsed.native_tokens_reasoning or 0, output),
    )
    return Entry(
        models=(parsed.model,),
        at=read_moment(parsed.created_at),
        id=parsed.id,
        upstream=parsed.provider_name,
        usage=_billed(counted, charged, byok=bool(parsed.is_byok)),
        session=parsed.session_id,
        metadata=texts(user=parsed.external_user, app=None if parsed.app_id is None else str(parsed.app_id)),
    )


def read_activity(value: bytes, at: datetime | None = None) -> Entry:
    """Returns the entry of one model and provider on one day: a sum over many requests."""
    parsed = _activity.decode(value)
    model = parsed.model or parsed.model_permaslug
    if not model:
        raise NotAnEntryError("it has neither `model` nor `model_permaslug`")
    counted = Usage(
        input_tokens=parsed.prompt_tokens or 0,
        output_tokens=parsed.completion_tokens or 0,
        reasoning_tokens=min(parsed.reasoning_tokens or 0, parsed.completion_tokens or 0),
    )
    return Entry(
        models=(model,),
        at=read_moment(parsed.date[:10]),
        upstream=parsed.provider_name,
        usage=_billed(counted, parsed.usage, byok=bool(parsed.byok_usage_inference)),
        many_requests=True,
        calls=max(parsed.requests or 1, 1),
    )


def _billed(usage: Usage, cost: Decimal | None, *, byok: bool) -> Usage:
    """Returns the usage with OpenRouter's bill. With the customer's own key, it is only OpenRouter's fee."""
    if cost is None:
        return replace(usage, flags=("bill_missing",))
    femto, flags = rounded_femto(cost, _FEMTO_PER_USD)
    fee = ("byok_fee_only",) if byok else ()
    return replace(usage, reported_femto_usd=femto, flags=("provider_reported", *flags, *fee))


def _first(*counts: int | None) -> int:
    """Returns the first count that is given, or 0."""
    return next((count for count in counts if count is not None), 0)
