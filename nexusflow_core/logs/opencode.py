"""Reader of opencode's messages: `storage/message/<session>/<message>.json`, or rows of its `message` table.

Source: opencode's message schema. The five kinds of tokens do not overlap: `input` excludes the cache, and
`output` excludes reasoning.
"""

from datetime import datetime

import msgspec
from msgspec import Struct

from nexusflow_core.logs.entry import AnyAmount, CountedElsewhereError, Entry, rounded_cost, unix_moment
from nexusflow_core.usage import Usage
from nexusflow_core.usage.counts import Count

__all__ = ["read_message"]

_MILLI = 1000
_VENDORS = {"anthropic": "anthropic", "openai": "openai"}


class _Cache(Struct, frozen=True):
    read: Count = 0
    write: Count = 0


class _Tokens(Struct):
    input: Count = 0
    output: Count = 0
    reasoning: Count = 0
    cache: _Cache = _Cache()


class _Time(Struct):
    created: int | float


class _Message(Struct):
    id: str
    sessionID: str
    role: str
    time: _Time
    modelID: str | None = None
    providerID: str | None = None
    agent: str | None = None
    mode: str | None = None
    cost: AnyAmount = None
    tokens: _Tokens | None = None


_message = msgspec.json.Decoder(_Message)


def read_message(value: bytes, at: datetime | None = None) -> Entry:
    """Returns the entry of an answer. Raises CountedElsewhereError for the user's messages."""
    message = _message.decode(value)
    if message.role != "assistant" or message.tokens is None or not message.modelID:
        raise CountedElsewhereError("not an answer of a model")
    counted = message.tokens
    return Entry(
        models=(message.modelID,),
        at=unix_moment(message.time.created, _MILLI),
        id=message.id,
        upstream=message.providerID,
        usage=Usage(
            input_tokens=counted.input,
            cache_read_tokens=counted.cache.read,
            cache_write_5m_tokens=counted.cache.write,
            output_tokens=counted.output + counted.reasoning,
            reasoning_tokens=counted.reasoning,
            assumed_5m_tokens=counted.cache.write,
        ),
        session=message.sessionID,
        agent=message.agent or message.mode,
        vendor=_VENDORS.get(message.providerID or ""),
        logged_femto_usd=rounded_cost(message.cost),
    )
