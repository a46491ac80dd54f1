"""OpenTelemetry as a host sees it: spans and metrics of real calls, in the SDK's own memory."""

from __future__ import annotations

from typing import Any

import anyio
import pytest
from msgspec.structs import replace
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import HistogramDataPoint, InMemoryMetricReader, NumberDataPoint
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode
from starlette.types import Receive, Scope, Send

from nexusflow_asgi import NexusFlow
from nexusflow_asgi.otel import OpenTelemetryHook
from nexusflow_core import CallRecord, Principal
from tests.asgi.asking import BODY, MODEL, Answer, ask, offline

STREAM = BODY.replace(b'"model"', b'"stream":true,"model"')
CACHED = {
    "input_tokens": 50,
    "cache_read_input_tokens": 1000,
    "cache_creation_input_tokens": 200,
    "output_tokens": 7,
}


class Telemetry:
    """A host's SDK with everything kept in memory, and a gateway that reports to it."""

    def __init__(self, *, upstream_usage: dict[str, int] | None = None, **options: Any) -> None:
        self._spans, self._reader = InMemorySpanExporter(), InMemoryMetricReader()
        self.tracers = TracerProvider()
        self.tracers.add_span_processor(SimpleSpanProcessor(self._spans))
        hook = OpenTelemetryHook(
            providers={"sim": "anthropic"},
            tracer_provider=self.tracers,
            meter_provider=MeterProvider([self._reader]),
        )
        self.hook = _WithUsage(hook, upstream_usage) if upstream_usage else hook
        self.records: list[CallRecord] = []
        self.gateway = NexusFlow(
            **{"config": offline(), "transport": "offline", "hooks": [self.hook, self], **options}
        )

    def after(self, record: CallRecord) -> None:
        self.records.append(record)

    @property
    def spans(self) -> list[ReadableSpan]:
        return list(self._spans.get_finished_spans())

    def points(self, name: str) -> list[Any]:
        data = self._reader.get_metrics_data()
        return [
            point
            for resource in (data.resource_metrics if data else ())
            for scope in resource.scope_metrics
            for metric in scope.metrics
            if metric.name == name
            for point in metric.data.data_points
        ]


class _WithUsage:
    """Reports each record with a usage that the simulator does not give."""

    def __init__(self, hook: OpenTelemetryHook, usage: dict[str, int]) -> None:
        self._hook, self._usage = hook, usage

    def after(self, record: CallRecord) -> None:
        self._hook.after(replace(record, usage=self._usage))


def called(telemetry: Telemetry, body: bytes = BODY, **options: Any) -> Answer:
    return anyio.run(lambda: ask(telemetry.gateway, body=body, **options))


def attributes(span: ReadableSpan) -> dict[str, Any]:
    return dict(span.attributes or {})


def test_a_span() -> None:
    """One client span a call: named by the conventions, with the times and the figures of the record."""
    telemetry = Telemetry()
    assert called(telemetry).status == 200
    [span], [record] = telemetry.spans, telemetry.records
    assert (span.name, span.kind, span.status.status_code) == (
        f"chat {MODEL}",
        SpanKind.CLIENT,
        StatusCode.UNSET,
    )
    assert attributes(span) == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "anthropic",
        "gen_ai.request.model": MODEL,
        "gen_ai.response.model": MODEL,
        "gen_ai.request.stream": False,
        "gen_ai.usage.input_tokens": record.usage["input_tokens"],
        "gen_ai.usage.output_tokens": record.usage["output_tokens"],
        "gen_ai.usage.cache_read.input_tokens": 0,
        "gen_ai.usage.cache_write.input_tokens": 0,
        "http.response.status_code": 200,
        "nexusflow.request_id": record.request_id,
        "nexusflow.upstream_request_id": record.upstream_request_id,
        "nexusflow.ending": "complete",
        "nexusflow.attempts": 1,
        "nexusflow.route": MODEL,
        "nexusflow.cost_usd": record.cost_usd,
        "gen_ai.usage.cost": float(record.cost_usd or 0),
    }
    assert span.start_time == pytest.approx(record.started_at.timestamp() * 1e9, abs=1000)
    assert span.end_time - span.start_time == pytest.approx(record.duration * 1e9, abs=1000)


def test_cached_tokens_are_part_of_the_input() -> None:
    """As the conventions want it, unlike Anthropic's own `input_tokens`."""
    telemetry = Telemetry(upstream_usage=CACHED)
    called(telemetry)
    found = attributes(telemetry.spans[0])
    assert found["gen_ai.usage.input_tokens"] == 1250
    assert found["gen_ai.usage.cache_read.input_tokens"] == 1000
    assert found["gen_ai.usage.cache_write.input_tokens"] == 200
    sums = {p.attributes["gen_ai.token.type"]: p.sum for p in telemetry.points("gen_ai.client.token.usage")}
    assert sums == {"input": 1250, "output": 7}


def test_metrics() -> None:
    """Tokens, duration, time to the first chunk of streams, and the cost, by model and provider."""
    telemetry = Telemetry()
    called(telemetry)
    called(telemetry, STREAM)
    common = {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "anthropic",
        "gen_ai.request.model": MODEL,
        "gen_ai.response.model": MODEL,
    }
    [duration] = telemetry.points("gen_ai.client.operation.duration")
    assert isinstance(duration, HistogramDataPoint)
    assert (dict(duration.attributes), duration.count) == (common, 2)
    assert duration.explicit_bounds[:3] == (0.01, 0.02, 0.04)
    assert duration.explicit_bounds[-1] == 81.92
    [first] = telemetry.points("gen_ai.client.operation.time_to_first_chunk")
    assert (dict(first.attributes), first.count) == (common, 1), "streams only"
    tokens = telemetry.points("gen_ai.client.token.usage")
    assert {point.attributes["gen_ai.token.type"]: point.count for point in tokens} == {"input": 2, "output": 2}
    assert tokens[0].explicit_bounds[-1] == 67108864
    [cost] = telemetry.points("nexusflow.cost")
    assert isinstance(cost, NumberDataPoint)
    assert cost.value == pytest.approx(sum(float(record.cost_usd or 0) for record in telemetry.records))
    assert cost.value > 0


def test_counting_tokens_is_no_chat() -> None:
    """It has a span and a duration, and no usage."""
    telemetry = Telemetry()
    assert called(telemetry, path="/v1/messages/count_tokens").status == 200
    assert telemetry.spans[0].name == f"count_tokens {MODEL}"
    assert telemetry.points("gen_ai.client.token.usage") == []
    [duration] = telemetry.points("gen_ai.client.operation.duration")
    assert duration.attributes["gen_ai.operation.name"] == "count_tokens"


def test_an_error() -> None:
    """Its wire type is the span's and the metrics' `error.type`."""
    telemetry = Telemetry()
    failing = BODY.replace(b"hello", b"simulate error overloaded_error")
    assert called(telemetry, failing).status == 529
    [span] = telemetry.spans
    assert span.status.status_code is StatusCode.ERROR
    assert attributes(span)["error.type"] == "overloaded_error"
    assert attributes(span)["http.response.status_code"] == 529
    [duration] = telemetry.points("gen_ai.client.operation.duration")
    assert duration.attributes["error.type"] == "overloaded_error"


def test_models_that_nobody_serves_make_no_time_series() -> None:
    """The span of a refused call says what was asked for; the metrics do not grow with what is made up."""
    telemetry = Telemetry()
    for number in range(3):
        assert called(telemetry, BODY.replace(MODEL.encode(), b"made-up-%d" % number)).status == 404
    assert [span.name for span in telemetry.spans] == [f"chat made-up-{number}" for number in range(3)]
    [duration] = telemetry.points("gen_ai.client.operation.duration")
    assert dict(duration.attributes) == {"gen_ai.operation.name": "chat", "error.type": "not_found_error"}


def test_the_span_is_a_child_of_the_hosts() -> None:
    """Whatever span the host has made current around us is the parent."""
    telemetry = Telemetry()
    tracer = telemetry.tracers.get_tracer("host")

    async def host(scope: Scope, receive: Receive, send: Send) -> None:
        with tracer.start_as_current_span("POST /llm", kind=SpanKind.SERVER):
            await telemetry.gateway(scope, receive, send)

    anyio.run(lambda: ask(host, body=STREAM))
    ours, server = telemetry.spans
    assert ours.parent is not None
    assert ours.parent.span_id == server.context.span_id
    assert ours.context.trace_id == server.context.trace_id


def test_who_called() -> None:
    """The principal and the host's metadata are there, the session as the conversation's id."""

    async def who(scope: Scope) -> Principal:
        return Principal("alice", {"team": "red", "session": "s-1"})

    telemetry = Telemetry(authenticate=who)
    called(telemetry)
    found = attributes(telemetry.spans[0])
    assert found["nexusflow.principal"] == "alice"
    assert found["nexusflow.metadata.team"] == "red"
    assert found["gen_ai.conversation.id"] == "s-1"


def test_why_the_cache_missed() -> None:
    """Our reason and the upstream's on the span; wrong predictions are counted."""
    telemetry = Telemetry()
    called(telemetry)
    (record,) = telemetry.records
    told = replace(record, cache_miss="cold", upstream_cache_miss="tools_changed", cache_disagreement=-70)
    telemetry.hook.after(told)
    plain, explained = [dict(span.attributes or {}) for span in telemetry.spans]
    names = ("nexusflow.cache_miss", "nexusflow.upstream_cache_miss", "nexusflow.cache_disagreement")
    assert [explained[name] for name in names] == ["cold", "tools_changed", -70]
    assert not plain.keys() & set(names)
    (point,) = telemetry.points("nexusflow.cache_disagreements")
    assert point.value == 1


def test_without_an_sdk() -> None:
    """The API alone does nothing, and harms nothing."""
    gateway = NexusFlow(config=offline(), transport="offline", hooks=[OpenTelemetryHook()])
    assert anyio.run(lambda: ask(gateway)).status == 200


def test_made_up_names_of_a_pattern_make_one_time_series() -> None:
    """Whatever a caller calls a model that its upstream refuses, the metrics speak of the route."""
    telemetry = Telemetry()
    for number in range(5):
        made_up = BODY.replace(MODEL.encode(), b"claude-made-up-%d" % number)
        made_up = made_up.replace(b"hello", b"simulate error not_found_error")
        assert called(telemetry, made_up).status == 404
    points = telemetry.points("gen_ai.client.operation.duration")
    assert [point.attributes["gen_ai.request.model"] for point in points] == ["claude-*"]
