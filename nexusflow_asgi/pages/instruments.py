"""The counters, histograms and gauges of the metrics page, and how a record changes them."""

import re
from collections.abc import Sequence
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from nexusflow_asgi.app import GatewayState
from nexusflow_core.record import CallRecord

__all__ = ["OTHER", "Instruments"]

OTHER: Final = "(other)"
"""The value of a label once it has as many different values as it may have."""

_LABEL = re.compile(r"[a-zA-Z][a-zA-Z0-9_]*")
_OURS: Final = frozenset(
    "model upstream endpoint status ending type kind reason le quantile job instance".split()
)

_KINDS: Final = {
    "input": "input_tokens",
    "cache_read": "cache_read_tokens",
    "cache_write_5m": "cache_write_5m_tokens",
    "cache_write_1h": "cache_write_1h_tokens",
    "output": "output_tokens",
}
_SECONDS: Final = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 40, 80, 160, 320, 640)
_MODELS: Final = 200
_LONGEST: Final = 100


class _Values:
    """The different values of one label, at most `most`: callers choose them, and each is a time series."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._known: set[str] = set()

    def of(self, value: str | None, *, new: bool = True) -> str:
        """Returns the value, or OTHER for one too many. `new`: a value not seen before is taken."""
        if not value:
            return ""
        value = value[:_LONGEST]
        if value not in self._known:
            if not new or len(self._known) >= self._most:
                return OTHER
            self._known.add(value)
        return value


class Instruments:
    """A hook that counts each call. Raises ValueError for a label that Prometheus does not take."""

    def __init__(self, registry: CollectorRegistry, labels: Sequence[str], values: int) -> None:
        for label in labels:
            if not _LABEL.fullmatch(label) or label in _OURS:
                raise ValueError(
                    f"labels: {label!r} is not a free name: letters, digits and '_', and none of ours"
                )
        self._labels = {label: _Values(values) for label in labels}
        self._models = _Values(_MODELS)
        where = ["model", "upstream", *labels]

        def counter(name: str, about: str, *names: str) -> Counter:
            return Counter(f"nexusflow_{name}", about, [*where, *names], registry=registry)

        def histogram(name: str, about: str) -> Histogram:
            return Histogram(
                f"nexusflow_{name}", about, ["model", "upstream"], registry=registry, buckets=_SECONDS
            )

        def gauge(name: str, about: str, *names: str) -> Gauge:
            return Gauge(f"nexusflow_{name}", about, names, registry=registry, multiprocess_mode="livesum")

        self._calls = counter("calls", "Calls that have ended", "endpoint", "status", "ending")
        self._tokens = counter("tokens", "Tokens of the answers, each in one kind", "kind")
        self._cost = counter("cost_usd", "Cost of the calls with a known price, in USD")
        self._unpriced = counter("unpriced_calls", "Calls with tokens but without a known price")
        self._refusals = counter("refusals", "Calls that the gateway refused", "type")
        self._failed = counter(
            "failed_attempts", "Attempts that failed, whether or not another target served", "reason"
        )
        self._fallbacks = counter("fallbacks", "Calls that another target than the first one served")
        self._first_byte = histogram(
            "first_byte_seconds", "From a request's arrival to the client's first byte"
        )
        self._duration = histogram("call_seconds", "From a request's arrival to the end of its answer")
        self._running = gauge("calls_running", "Calls between their arrival and their record")
        self._waiting = gauge("calls_waiting", "Calls that wait for a slot")
        self._held = gauge("calls_holding", "Running calls that hold a part of a cap")
        self._open = gauge("circuits_open", "Targets of an upstream that cool down after failures", "upstream")

    def after(self, record: CallRecord) -> None:
        """Counts the call."""
        served = record.attempts[-1] if record.attempts else None
        where = {
            "model": self._models.of(record.model, new=record.ending == "complete"),
            "upstream": served.upstream if served else "",
        }
        common = {**where, **{name: values.of(_fact(record, name)) for name, values in self._labels.items()}}
        status = str(record.status or "none")
        self._calls.labels(**common, endpoint=record.endpoint, status=status, ending=record.ending).inc()
        self._spend(record, common)
        self._fail(record, common)
        if record.time_to_first_byte is not None:
            self._first_byte.labels(**where).observe(record.time_to_first_byte)
        self._duration.labels(**where).observe(record.duration)

    def measure(self, state: GatewayState) -> None:
        """Takes the gauges of this moment."""
        self._running.set(state.running)
        self._waiting.set(state.waiting)
        self._held.set(state.holding)
        for upstream, targets in state.circuits.items():
            self._open.labels(upstream=upstream).set(targets)

    def _spend(self, record: CallRecord, common: dict[str, str]) -> None:
        usage = record.counts() if record.endpoint == "messages" else None
        if usage is not None:
            for kind, member in _KINDS.items():
                if tokens := getattr(usage, member):
                    self._tokens.labels(**common, kind=kind).inc(tokens)
        if record.cost_usd is not None:
            self._cost.labels(**common).inc(float(record.cost_usd))  # for a chart; the record is exact
        elif usage is not None:
            self._unpriced.labels(**common).inc()

    def _fail(self, record: CallRecord, common: dict[str, str]) -> None:
        if record.ending == "refused":
            self._refusals.labels(**common, type=record.error_code or record.error_type or "").inc()
        for attempt in record.attempts:
            if attempt.reason:
                self._failed.labels(**{**common, "upstream": attempt.upstream}, reason=attempt.reason).inc()
        if record.attempts and not record.attempts[-1].reason:
            first, last = record.attempts[0], record.attempts[-1]
            if (first.upstream, first.model) != (last.upstream, last.model):
                self._fallbacks.labels(**common).inc()


def _fact(record: CallRecord, label: str) -> str | None:
    return record.principal if label == "caller" else record.metadata.get(label)
