"""Reader of OpenAI's organization reports: usage and costs by time bucket, as the API returns them.

Source: `GET /v1/organization/usage/...` and `/v1/organization/costs`. A page has its buckets in `data`; here
one bucket is read.
"""

from collections.abc import Iterator
from datetime import datetime
from decimal import Decimal
from typing import Any

import msgspec
from msgspec import Struct

from nexusflow_core.errors import InvalidUsageError
from nexusflow_core.logs.entry import Entry, NotAnEntryError, Skipped, rounded_cost, texts, unix_moment
from nexusflow_core.usage import Usage

__all__ = ["CostRow", "read_cost_row", "read_openai_bucket"]

_NOT_TOKENS = {
    "images": "images",
    "audio_speeches": "characters of speech",
    "audio_transcriptions": "seconds of audio",
    "vector_stores": "bytes of vector stores",
    "code_interpreter_sessions": "sessions of the code interpreter",
    "file_searches": "file searches",
    "web_searches": "web searches",
}


class _Row(Struct):
    object: str = ""
    model: str | None = None
    input_tokens: int | None = None
    input_cached_tokens: int | None = None
    input_cache_write_tokens: int | None = None
    input_cache_write_30m_tokens: int | None = None
    input_cache_write_12h_tokens: int | None = None
    input_audio_tokens: int | None = None
    output_tokens: int | None = None
    output_audio_tokens: int | None = None
    num_model_requests: int | None = None
    batch: bool | None = None
    service_tier: str | None = None
    api_key_id: str | None = None
    project_id: str | None = None
    user_id: str | None = None


class _Amount(Struct):
    value: Decimal | None = None
    currency: str | None = None


class _CostMembers(Struct):
    amount: _Amount | None = None
    line_item: str | None = None
    project_id: str | None = None
    api_key_id: str | None = None


class _Bucket(Struct):
    start_time: int
    results: list[msgspec.Raw] | None = None
    result: list[msgspec.Raw] | None = None  # the name in older answers


class CostRow(Struct, frozen=True):
    """A row of a cost report. `line_item` is its model and what was charged: `gpt-5, cached input`."""

    model: str
    charged_for: str | None
    femto_usd: int
    project: str | None = None
    key: str | None = None


_bucket = msgspec.json.Decoder(_Bucket)
_row = msgspec.json.Decoder(_Row)
_cost = msgspec.json.Decoder(_CostMembers)


def read_openai_bucket(value: bytes, at: datetime | None = None) -> Iterator[Entry | Skipped]:
    """Yields the rows of one time bucket of a usage report or a cost report."""
    parsed = _bucket.decode(value)
    moment = unix_moment(parsed.start_time)
    for raw in parsed.results or parsed.result or ():
        try:
            kind = _row.decode(raw).object
            yield (
                _costs(raw, moment) if kind == "organization.costs.result" else _usage(_row.decode(raw), moment)
            )
        except (InvalidUsageError, NotAnEntryError, msgspec.DecodeError) as error:
            yield Skipped.because(error)


def read_cost_row(row: bytes) -> CostRow:
    """Returns a row of a cost report. Raises NotAnEntryError or InvalidUsageError."""
    parsed = _cost.decode(row)
    amount = parsed.amount or _Amount()
    if (amount.currency or "usd").lower() != "usd":
        raise NotAnEntryError(f"currency {(amount.currency or '')[:10]!r}, where only USD is known")
    value = amount.value or Decimal(0)
    femto = rounded_cost(value.copy_abs()) or 0
    model, _, charged_for = (parsed.line_item or "(all models)").partition(", ")
    return CostRow(
        model, charged_for or None, -femto if value < 0 else femto, parsed.project_id, parsed.api_key_id
    )


def _costs(raw: bytes, at: datetime) -> Entry:
    row = read_cost_row(raw)
    return Entry(
        models=(row.model,),
        at=at,
        usage=Usage(reported_femto_usd=row.femto_usd, flags=("provider_reported",)),
        logged_femto_usd=row.femto_usd,
        key=row.key,
        vendor="openai",
        many_requests=True,
        metadata=texts(project=row.project, token_type=row.charged_for),
    )


def _usage(parsed: _Row, at: datetime) -> Entry:
    kind = parsed.object.removeprefix("organization.usage.").removesuffix(".result")
    if kind in _NOT_TOKENS:
        raise NotAnEntryError(f"{_NOT_TOKENS[kind]} are not priced by tokens: the cost report has their costs")
    if parsed.input_tokens is None and parsed.output_tokens is None:
        raise NotAnEntryError("it has neither `input_tokens` nor `output_tokens`")
    if parsed.model is None:
        raise NotAnEntryError("it has no model: download the report with group_by=model")
    return Entry(
        models=(parsed.model,),
        at=at,
        usage=Usage.from_wire(_counts(parsed), "openai-chat"),
        key=parsed.api_key_id,
        vendor="openai",
        batch=bool(parsed.batch),
        many_requests=True,
        calls=max(parsed.num_model_requests or 1, 1),
        metadata=texts(project=parsed.project_id, user=parsed.user_id),
    )


def _counts(parsed: _Row) -> dict[str, Any]:
    """Returns the counts in the form of Chat Completions, whose prompt includes cached and written tokens."""
    details: dict[str, Any] = {
        "cached_tokens": parsed.input_cached_tokens,
        "cache_write_tokens": parsed.input_cache_write_tokens,
        "audio_tokens": parsed.input_audio_tokens,
    }
    if parsed.input_cache_write_30m_tokens or parsed.input_cache_write_12h_tokens:
        details["cache_write_tokens_details"] = {
            "ttl_30m_tokens": parsed.input_cache_write_30m_tokens,
            "ttl_12h_tokens": parsed.input_cache_write_12h_tokens,
        }
    return {
        "prompt_tokens": parsed.input_tokens or 0,
        "completion_tokens": parsed.output_tokens or 0,
        "prompt_tokens_details": details,
        "completion_tokens_details": {"audio_tokens": parsed.output_audio_tokens},
        "service_tier": parsed.service_tier,
    }
