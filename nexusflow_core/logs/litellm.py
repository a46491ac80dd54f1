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
    it = _row.decode(value)
    more = _metadata(it.metadata)
    cached = str(it.cache_hit).lower() == "true"
    counted = not cached and (it.prompt_tokens or it.completion_tokens or it.spend)
    alias = more.get("user_api_key_alias")
    return Entry(
        models=_models(it),
        at=_moment(it.startTime),
        id=it.request_id,
        upstream=it.custom_llm_provider or None,
        route=it.model_group or None,
        usage=_usage(it, more) if counted else None,
        key=alias if isinstance(alias, str) and alias else it.api_key or None,
        session=it.session_id,
        agent=it.agent_id,
        batch="batch" in it.call_type,
        logged_femto_usd=rounded_cost(it.spend),
        metadata=texts(
            team=more.get("user_api_key_team_alias") or it.team_id,
            user=it.user,
            end_user=it.end_user,
            organization=it.organization_id,
        ),
    )


def _usage(it: _Row, more: Mapping[str, Any]) -> Usage:
    counted = {
        "prompt_tokens": it.prompt_tokens,
        "completion_tokens": it.completion_tokens,
        **{name: value for name, value in object_of(more.get("additional_usage_values")).items() if value},
        **object_of(more.get("usage_object")),
    }
    return Usage.from_wire({name: value for name, value in counted.items() if value is not None}, "openai-chat")


def _models(it: _Row) -> tuple[str, ...]:
    """Returns the model under its provider's name, and its plain name where that has the same price."""
    provider = it.custom_llm_provider
    if not provider or it.model.startswith(f"{provider}/"):
        return (it.model,)
    return (f"{provider}/{it.model}", it.model) if provider in _OWN_PRICES else (f"{provider}/{it.model}",)


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
