"""OpenTelemetry's GenAI spans in OTLP JSON, as the collector's file exporter writes them."""

from typing import Any

from nexusflow_core.logs import Entry, Skipped
from tests.core.logs.independent import dollars, read, total

ATTRIBUTES: dict[str, Any] = {
    "gen_ai.operation.name": "chat",
    "gen_ai.provider.name": "anthropic",
    "gen_ai.request.model": "claude-opus-4-7",
    "gen_ai.response.model": "claude-opus-4-7",
    "gen_ai.response.id": "msg_1",
    "gen_ai.conversation.id": "c1",
    "gen_ai.usage.input_tokens": 10_000,
    "gen_ai.usage.output_tokens": 500,
    "gen_ai.usage.cache_read.input_tokens": 6000,
    "gen_ai.usage.cache_creation.input_tokens": 1000,
    "gen_ai.response.finish_reasons": ["stop"],
}


def typed(value: Any) -> dict[str, Any]:
    match value:
        case int():
            return {"intValue": str(value)}
        case float():
            return {"doubleValue": value}
        case list():
            return {"arrayValue": {"values": [typed(item) for item in value]}}
        case _:
            return {"stringValue": value}


def span(number: int = 1, **changes: Any) -> dict[str, Any]:
    named = {name.replace("__", "."): value for name, value in changes.items()}
    attributes = {name: value for name, value in {**ATTRIBUTES, **named}.items() if value is not None}
    return {
        "traceId": "5b8efff798038103d269b633813fc60c",
        "spanId": f"{number:016x}",
        "name": "chat claude-opus-4-7",
        "kind": 3,
        "startTimeUnixNano": "1763640000000000000",
        "endTimeUnixNano": "1763640002000000000",
        "attributes": [{"key": name, "value": typed(value)} for name, value in attributes.items()],
    }


def export(*spans: dict[str, Any]) -> dict[str, Any]:
    service = {"attributes": [{"key": "service.name", "value": {"stringValue": "shop"}}]}
    return {
        "resourceSpans": [{"resource": service, "scopeSpans": [{"scope": {"name": "x"}, "spans": list(spans)}]}]
    }


def test_the_input_includes_the_cache() -> None:
    """Reads and writes are subtracted once."""
    (entry,) = read(export(span()))
    assert total([entry]) == dollars("anthropic", "claude-opus-4-7", 3000, 6000, 1000, 0, 500)
    assert (entry.id, entry.session, entry.upstream, entry.metadata) == (
        "msg_1",
        "c1",
        "anthropic",
        {"service": "shop"},
    )
    assert entry.at.isoformat() == "2025-11-20T12:00:00+00:00"


def test_only_spans_of_model_calls_count() -> None:
    """An agent's span repeats the sums of the calls below it; a tool's has no tokens."""
    agent = span(2, gen_ai__operation__name="invoke_agent")
    tool = span(3, gen_ai__usage__input_tokens=None, gen_ai__usage__output_tokens=None)
    assert [type(it) for it in read(export(agent, span(1), tool))] == [Entry]


def test_the_names_of_other_versions() -> None:
    """Earlier conventions, and those that this gateway's own spans use."""
    old = span(
        gen_ai__usage__input_tokens=None,
        gen_ai__usage__output_tokens=None,
        gen_ai__usage__prompt_tokens=10_000,
        gen_ai__usage__completion_tokens=500,
        gen_ai__usage__cache_creation__input_tokens=None,
        gen_ai__usage__cache_write__input_tokens=1000,
        gen_ai__provider__name=None,
        gen_ai__system="anthropic",
        gen_ai__response__id=None,
        gen_ai__usage__cost=0.5,
    )
    (entry,) = read(export(old)["resourceSpans"][0])
    assert total([entry]) == dollars("anthropic", "claude-opus-4-7", 3000, 6000, 1000, 0, 500)
    assert entry.id == "5b8efff798038103d269b633813fc60c:0000000000000001"
    assert entry.logged_femto_usd == 5 * 10**14


def test_spans_that_cannot_be_read() -> None:
    """Without a model, or with impossible counts; the others count."""
    nameless = span(1, gen_ai__request__model=None, gen_ai__response__model=None)
    impossible = span(2, gen_ai__usage__cache_read__input_tokens=20_000)
    found = read(export(nameless, impossible, span(3)))
    assert [type(it) for it in found] == [Skipped, Skipped, Entry]
