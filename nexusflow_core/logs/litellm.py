"""Reader of LiteLLM's spend logs: rows of `LiteLLM_SpendLogs`, from `/spend/logs` or a database export.

Source: LiteLLM's schema. `prompt_tokens` includes cached and written tokens. The split is in `metadata`, which
may be JSON inside a string.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import msgspec
from msgspec import Struct

from nexusflow_core.logs.entry import AnyAmount, Entry, read_moment, rounded_cost, texts
from nexusflow_core.untyped import MALFORMED, object_of
from nexusflow_core.usage import Usage

__all__ = ["read_spend_log"]

_OWN_PRICES = frozenset(
    {"openai", "anthropic", "gemini", "mistral", "deepseek", "xai", "cohere", "azure", "azure_ai", "vertex_ai"}
)
"""Providers whose models cost the same under their plain name."""


class _Row(Struct):
    request_id: str
    startTime: str
    model: str
    call_type: str = ""
    prompt_tokens: int = 0
    completion_tokens: int = 0
    total_tokens: int = 0
    spend: AnyAmount = None
    api_key: str | None = None
    user: str | None = None
    team_id: str | None = None
    end_user: str | None = None
    organization_id: str | None = None
    model_group: str | None = None
    custom_llm_provider: str | None = None
    session_id: str | None = None
    agent_id: str | None = None
    cache_hit: str | bool | None = None
    metadata: dict[str, Any] | str | None = None


_row = msgspec.json.Decoder(_Row)
_object = msgspec.json.Decoder(dict[str, Any])


def read_spend_log(value: bytes, at: datetime | None = None) -> Entry:
    """Returns the entry of a spend log row. Its key is the key's alias, else its hash.

    An answer from LiteLLM's own cache is a call without usage. Raises InvalidUsageError or msgspec's errors.
    """
    row = _row.decode(value)
    more = _metadata(row.metadata)
    cached = str(row.cache_hit).lower() == "true"
    counted = not cached and (row.prompt_tokens or row.completion_tokens or row.spend)
    alias = more.get("user_api_key_alias")
    return Entry(
        models=_models(row),
        at=_moment(row.startTime),
        id=row.request_id,
        upstream=row.custom_llm_provider or None,
        route=row.model_group or None,
        usage=_usage(row, more) if counted else None,
        key=alias if isinstance(alias, str) and alias else row.api_key or None,
        session=row.session_id,
        agent=row.agent_id,
        batch="batch" in row.call_type,
        logged_femto_usd=rounded_cost(row.spend),
        metadata=texts(
            team=more.get("user_api_key_team_alias") or row.team_id,
            user=row.user,
            end_user=row.end_user,
            organization=row.organization_id,
        ),
    )


def _usage(row: _Row, more: Mapping[str, Any]) -> Usage:
    counted = {
        "prompt_tokens": row.prompt_tokens,
        "completion_tokens": row.completion_tokens,
        **{name: value for name, value in object_of(more.get("additional_usage_values")).items() if value},
        **object_of(more.get("usage_object")),
    }
    return Usage.from_wire({name: value for name, value in counted.items() if value is not None}, "openai-chat")


def _models(row: _Row) -> tuple[str, ...]:
    """Returns the model under its provider's name, and its plain name where that has the same price."""
    provider = row.custom_llm_provider
    if not provider or row.model.startswith(f"{provider}/"):
        return (row.model,)
    return (f"{provider}/{row.model}", row.model) if provider in _OWN_PRICES else (f"{provider}/{row.model}",)


def _metadata(value: dict[str, Any] | str | None) -> dict[str, Any]:
    if isinstance(value, str):
        try:
            return _object.decode(value)
        except MALFORMED:
            return {}
    return value or {}


def _moment(text: str) -> datetime:
    """Returns a time of LiteLLM's, which is in UTC even where it does not say so."""
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return read_moment(text)
    return read_moment(text) if found.tzinfo else found.replace(tzinfo=UTC)
