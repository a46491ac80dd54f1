"""OpenTelemetry: a span and metrics for each call, by the semantic conventions for generative AI.

Needs the `otel` extra, which is only the API. SDK, exporters, sampling and the server's span belong to the
host. The conventions are in development; all their names are in this module.
"""

from collections.abc import Iterator, Mapping
from typing import Final

from opentelemetry.metrics import MeterProvider, get_meter
from opentelemetry.trace import SpanKind, Status, StatusCode, TracerProvider, get_tracer

from nexusflow_core.record import CallRecord
from nexusflow_core.usage import Usage

__all__ = ["OpenTelemetryHook"]

_SCOPE: Final = "nexusflow"
_OPERATIONS: Final = {"messages": "chat"}  # the conventions have no name for count_tokens, so ours is used
_TOKEN_BUCKETS: Final = [float(4**power) for power in range(14)]
_SECOND_BUCKETS: Final = [0.01 * 2**power for power in range(14)]
_MAX_MODELS: Final = 200
_BILLION: Final = 1_000_000_000

_Attributes = dict[str, str | bool | int | float]


class OpenTelemetryHook:
    """A hook that reports each finished call: `NexusFlow(..., hooks=[OpenTelemetryHook()])`.

    The span is a child of the current span in the call's task, usually the host's server span. `providers`
    maps an upstream's name to its `gen_ai.provider.name`; by default that is the upstream's name. It never
    reports a body or a key.
    """

    def __init__(
        self,
        *,
        providers: Mapping[str, str] | None = None,
        tracer_provider: TracerProvider | None = None,
        meter_provider: MeterProvider | None = None,
    ) -> None:
        self._providers = dict(providers or {})
        self._models: set[str] = set()  # models with their own time series
        self._tracer = get_tracer(_SCOPE, tracer_provider=tracer_provider)
        meter = get_meter(_SCOPE, meter_provider=meter_provider)
        self._tokens = meter.create_histogram(
            "gen_ai.client.token.usage",
            unit="{token}",
            description="Tokens of a call, by type; input includes tokens read from a cache or written to it",
            explicit_bucket_boundaries_advisory=_TOKEN_BUCKETS,
        )
        self._duration = meter.create_histogram(
            "gen_ai.client.operation.duration",
            unit="s",
            description="From the request's arrival to the end of its answer",
            explicit_bucket_boundaries_advisory=_SECOND_BUCKETS,
        )
        self._first_chunk = meter.create_histogram(
            "gen_ai.client.operation.time_to_first_chunk",
            unit="s",
            description="From the request's arrival to the first byte of a streamed answer",
            explicit_bucket_boundaries_advisory=_SECOND_BUCKETS,
        )
        self._disagreements = meter.create_counter(
            "nexusflow.cache_disagreements",
            unit="{call}",
            description="Calls that read other tokens from the prompt cache than predicted",
        )
        self._cost = meter.create_counter(
            "nexusflow.cost", unit="{USD}", description="Cost of the calls with a known price"
        )

    def after(self, record: CallRecord) -> None:
        """Reports the call, with its start and end times."""
        usage = record.counts()
        common = self._common(record)
        self._trace(record, usage, common)
        self._measure(record, usage, common)

    def _common(self, record: CallRecord) -> _Attributes:
        """Returns attributes of span and metrics. A refused call's model is left out: it may be invented."""
        operation = _OPERATIONS.get(record.endpoint, record.endpoint)
        common: _Attributes = {"gen_ai.operation.name": operation}
        if record.attempts:
            upstream = record.attempts[-1].upstream
            common["gen_ai.provider.name"] = self._providers.get(upstream, upstream)
            common["gen_ai.request.model"] = self._series(record)
        if record.response_model is not None:
            common["gen_ai.response.model"] = record.response_model
        error = record.error_type or (record.ending if record.ending != "complete" else None)
        if error is not None:
            common["error.type"] = error
        return common

    def _series(self, record: CallRecord) -> str:
        """Returns the model of an answered call, else its route; at most 200 different models.

        Anyone can invent names that match a pattern, and each would become a time series.
        """
        model = record.model
        answered = record.ending == "complete"
        if answered and len(self._models) < _MAX_MODELS:
            self._models.add(model)
        return model if model in self._models else record.route or ""

    def _trace(self, record: CallRecord, usage: Usage | None, common: _Attributes) -> None:
        operation = str(common["gen_ai.operation.name"])
        start = round(record.started_at.timestamp() * _BILLION)
        span = self._tracer.start_span(
            f"{operation} {record.model}" if record.model else operation,
            kind=SpanKind.CLIENT,
            attributes={**common, **dict(_span_attributes(record, usage))},
            start_time=start,
        )
        if "error.type" in common:
            span.set_status(Status(StatusCode.ERROR, record.ending))
        span.end(start + round(record.duration * _BILLION))

    def _measure(self, record: CallRecord, usage: Usage | None, common: _Attributes) -> None:
        self._duration.record(record.duration, common)
        if record.stream and record.time_to_first_byte is not None:
            self._first_chunk.record(record.time_to_first_byte, common)
        if usage is not None and record.endpoint == "messages":
            for kind, tokens in (("input", usage.prompt_tokens), ("output", usage.output_tokens)):
                self._tokens.record(tokens, {**common, "gen_ai.token.type": kind})
        if record.cache_disagreement is not None:
            self._disagreements.add(1, common)
        if record.cost_usd is not None:
            self._cost.add(float(record.cost_usd), common)  # good enough for a chart; the record is exact


def _span_attributes(record: CallRecord, usage: Usage | None) -> Iterator[tuple[str, str | bool | int | float]]:
    yield "gen_ai.request.model", record.model
    yield "gen_ai.request.stream", record.stream
    if usage is not None:
        yield "gen_ai.usage.input_tokens", usage.prompt_tokens
        yield "gen_ai.usage.output_tokens", usage.output_tokens
        yield "gen_ai.usage.cache_read.input_tokens", usage.cache_read_tokens
        written = usage.cache_write_5m_tokens + usage.cache_write_1h_tokens
        yield "gen_ai.usage.cache_write.input_tokens", written
    if record.status is not None:
        yield "http.response.status_code", record.status
    yield "nexusflow.request_id", record.request_id
    yield "nexusflow.ending", record.ending
    yield "nexusflow.attempts", len(record.attempts)
    for name, value in (
        ("nexusflow.upstream_request_id", record.upstream_request_id),
        ("nexusflow.route", record.route),
        ("nexusflow.principal", record.principal),
        ("nexusflow.cost_usd", record.cost_usd),
        ("gen_ai.conversation.id", record.metadata.get("session") or record.session_id),
        ("gen_ai.usage.cost", None if record.cost_usd is None else float(record.cost_usd)),
        ("gen_ai.agent.id", record.agent_id),
        ("nexusflow.error_code", record.error_code),
        ("nexusflow.upstream_cache_miss", record.upstream_cache_miss),
        ("nexusflow.cache_miss", record.cache_miss),
        ("nexusflow.cache_disagreement", record.cache_disagreement),
    ):
        if value is not None:
            yield name, value
    for key, value in record.metadata.items():
        yield f"nexusflow.metadata.{key}", value
