"""Reader of OpenTelemetry GenAI spans in OTLP JSON: a line of the collector's file exporter, or an export.

Source: the semantic conventions for generative AI. `gen_ai.usage.input_tokens` includes cached and written
tokens. Spans of agents repeat the sums of the calls below them, so only spans of model calls count.
"""

from collections.abc import Iterator, Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any

import msgspec
from msgspec import Struct, field

from nexusflow_core.errors import InvalidUsageError
from nexusflow_core.logs.entry import Entry, NotAnEntryError, Skipped, rounded_cost, unix_moment
from nexusflow_core.untyped import object_of
from nexusflow_core.usage import Usage

__all__ = ["read_spans"]

_OPERATIONS = frozenset({"chat", "text_completion", "generate_content", "embeddings", "completion", "messages"})
_NANO = 10**9
_READ = (
    "gen_ai.usage.cache_read.input_tokens",
    "gen_ai.usage.cache_read_input_tokens",
    "gen_ai.usage.cached_tokens",
)
_WRITTEN = (
    "gen_ai.usage.cache_creation.input_tokens",
    "gen_ai.usage.cache_write.input_tokens",
    "gen_ai.usage.cache_creation_input_tokens",
)
_INPUT = ("gen_ai.usage.input_tokens", "gen_ai.usage.prompt_tokens")
_OUTPUT = ("gen_ai.usage.output_tokens", "gen_ai.usage.completion_tokens")
_REASONING = ("gen_ai.usage.reasoning.output_tokens", "gen_ai.usage.reasoning_tokens")
_PROVIDER = ("gen_ai.provider.name", "gen_ai.system")
_VENDORS: Mapping[str, str] = {
    "anthropic": "anthropic",
    "openai": "openai",
    "gcp.gemini": "google",
    "gcp.gen_ai": "google",
    "deepseek": "deepseek",
    "mistral_ai": "mistral",
    "x_ai": "xai",
}
"""Vendors by their names in the conventions. Other providers' models are searched by name alone."""


class _Attribute(Struct):
    key: str = ""
    value: Any = None


class _Span(Struct, rename="camel"):
    trace_id: str = ""
    span_id: str = ""
    start_time_unix_nano: str | int = 0
    attributes: list[_Attribute] = field(default_factory=list[_Attribute])


class _Scope(Struct):
    spans: list[_Span] = field(default_factory=list[_Span])


class _Resource(Struct):
    attributes: list[_Attribute] = field(default_factory=list[_Attribute])


class _Group(Struct, rename="camel"):
    resource: _Resource = field(default_factory=_Resource)
    scope_spans: list[_Scope] = field(default_factory=list[_Scope])


class _Export(Struct, rename="camel"):
    resource_spans: list[_Group] | None = None
    scope_spans: list[_Scope] | None = None
    resource: _Resource = field(default_factory=_Resource)


_export = msgspec.json.Decoder(_Export)


def read_spans(value: bytes, at: datetime | None = None) -> Iterator[Entry | Skipped]:
    """Yields the model calls among the spans of an export, or of one `resourceSpans` of it."""
    export = _export.decode(value)
    groups = (
        export.resource_spans
        if export.resource_spans is not None
        else [_Group(export.resource, export.scope_spans or [])]
    )
    for group in groups:
        service = _values(group.resource.attributes).get("service.name")
        for scope in group.scope_spans:
            for span in scope.spans:
                yield _read(span, service if isinstance(service, str) else None)


def _read(span: _Span, service: str | None) -> Entry | Skipped:
    found = _values(span.attributes)
    operation = found.get("gen_ai.operation.name")
    counts = any(name in found for name in (*_INPUT, *_OUTPUT))
    if not counts or (isinstance(operation, str) and operation not in _OPERATIONS):
        return Skipped("not a span of a model call", expected=True)
    try:
        return _entry(span, found, service)
    except (NotAnEntryError, InvalidUsageError) as error:
        return Skipped.because(error)


def _entry(span: _Span, found: Mapping[str, Any], service: str | None) -> Entry:
    models = [found.get("gen_ai.response.model"), found.get("gen_ai.request.model")]
    names = tuple(dict.fromkeys(name for name in models if isinstance(name, str) and name))
    if not names:
        raise NotAnEntryError("the span has neither gen_ai.response.model nor gen_ai.request.model")
    provider = _text(found, *_PROVIDER)
    return Entry(
        models=names,
        at=_moment(span.start_time_unix_nano),
        id=_text(found, "gen_ai.response.id") or f"{span.trace_id}:{span.span_id}",
        upstream=provider,
        usage=_usage(found),
        session=_text(found, "gen_ai.conversation.id", "session.id"),
        agent=_text(found, "gen_ai.agent.id", "gen_ai.agent.name"),
        vendor=_VENDORS.get(provider or ""),
        logged_femto_usd=_cost(found.get("gen_ai.usage.cost")),
        metadata={} if service is None else {"service": service},
    )


def _usage(found: Mapping[str, Any]) -> Usage:
    usage: dict[str, Any] = {
        "prompt_tokens": _count(found, _INPUT),
        "completion_tokens": _count(found, _OUTPUT),
        "prompt_tokens_details": {
            "cached_tokens": _count(found, _READ),
            "cache_write_tokens": _count(found, _WRITTEN),
        },
        "completion_tokens_details": {"reasoning_tokens": _count(found, _REASONING)},
    }
    return Usage.from_wire(usage, "openai-chat")


def _values(attributes: list[_Attribute]) -> dict[str, Any]:
    """Returns scalar attributes by name. OTLP writes each with its type, and integers as text."""
    found: dict[str, Any] = {}
    for attribute in attributes:
        for kind, value in object_of(attribute.value).items():
            if kind == "intValue":
                found[attribute.key] = int(value) if str(value).isdecimal() and len(str(value)) < 19 else value
            elif kind in ("stringValue", "doubleValue"):
                found[attribute.key] = value
    return found


def _count(found: Mapping[str, Any], names: tuple[str, ...]) -> Any:
    return next((found[name] for name in names if name in found), None)


def _text(found: Mapping[str, Any], *names: str) -> str | None:
    return next((value for name in names if isinstance(value := found.get(name), str) and value), None)


def _cost(value: object) -> int | None:
    """Returns a cost in femto-dollars. The shortest text of a float is what the program had."""
    return rounded_cost(Decimal(repr(value))) if isinstance(value, (int, float)) else None


def _moment(nanoseconds: str | int) -> datetime:
    try:
        return unix_moment(int(nanoseconds), _NANO)
    except ValueError:
        raise NotAnEntryError(f"startTimeUnixNano is {str(nanoseconds)[:40]!r}, not a number") from None
