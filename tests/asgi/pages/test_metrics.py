"""The metrics page: what Prometheus reads after real calls, parsed by prometheus-client's own parser."""

from __future__ import annotations

import multiprocessing
import sys
from pathlib import Path
from typing import Any

import anyio
import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.parser import text_string_to_metric_families
from starlette.applications import Starlette
from starlette.routing import Mount

from nexusflow_asgi import NexusFlow, TransportResponse
from nexusflow_asgi.pages.metrics import MetricsPage
from nexusflow_asgi.transports.offline import OfflineTransport
from nexusflow_core import ConfigError, Principal, UpstreamUnreachableError
from nexusflow_core.config import decode_config
from nexusflow_core.upstream import UpstreamRequest
from tests.asgi.asking import BODY, MODEL, Answer, ask, offline

TWO = b"""
[upstreams.first]
dialect = "anthropic"
api_key = "env:SIM_KEY"
[upstreams.second]
dialect = "anthropic"
api_key = "env:SIM_KEY"

[[routes]]
model = "claude-*"
targets = ["first", "second"]
retry = { attempts = 2, backoff = 0.0 }
"""


class Broken(OfflineTransport):
    """The simulator, but nobody reaches the upstream `first`."""

    async def send(self, request: UpstreamRequest) -> TransportResponse:
        if request.upstream.name == "first":
            raise UpstreamUnreachableError("refused", reason="refused")
        return await super().send(request)


def scraped(page: Any, accept: bytes = b"") -> dict[str, float]:
    """Each sample as `name{label=value,...}`, without empty labels."""
    got = anyio.run(lambda: ask(page, "/", method="GET", headers=[(b"accept", accept)]))
    assert got.status == 200
    found: dict[str, float] = {}
    for family in text_string_to_metric_families(got.body.decode()):
        for sample in family.samples:
            labels = ",".join(f"{name}={value}" for name, value in sorted(sample.labels.items()) if value)
            found[f"{sample.name}{{{labels}}}"] = sample.value
    return found


def called(app: Any, body: bytes = BODY, **options: Any) -> Answer:
    return anyio.run(lambda: ask(app, body=body, **options))


def test_a_call_is_counted() -> None:
    """Calls, tokens by kind, cost and times; no label of the caller without asking for it."""
    gateway = NexusFlow(config=offline(), transport="offline")
    page = MetricsPage(gateway)
    assert called(gateway).status == 200
    found = scraped(page)
    where = f"model={MODEL},upstream=sim"
    ended = f"ending=complete,endpoint=messages,model={MODEL},status=200,upstream=sim"
    assert found[f"nexusflow_calls_total{{{ended}}}"] == 1
    tokens = {name: value for name, value in found.items() if name.startswith("nexusflow_tokens_total")}
    assert set(tokens) == {f"nexusflow_tokens_total{{kind={kind},{where}}}" for kind in ("input", "output")}
    assert found[f"nexusflow_cost_usd_total{{{where}}}"] > 0
    assert found[f"nexusflow_first_byte_seconds_count{{{where}}}"] == 1
    assert found[f"nexusflow_call_seconds_count{{{where}}}"] == 1
    assert found["nexusflow_calls_running{}"] == 0
    assert found["nexusflow_circuits_open{upstream=sim}"] == 0


def test_refusals_have_their_type() -> None:
    """An invented model becomes no time series."""
    gateway = NexusFlow(config=offline(), transport="offline")
    page = MetricsPage(gateway)
    for number in range(3):
        assert called(gateway, BODY.replace(MODEL.encode(), b"invented-%d" % number)).status == 404
    found = scraped(page)
    assert found["nexusflow_refusals_total{model=(other),type=not_found_error}"] == 3
    assert not [name for name in found if "invented" in name]


def test_failed_attempts_fallbacks_and_circuits() -> None:
    """The upstream that failed, and the one that served instead; after three failures its circuit is open."""
    config = decode_config(TWO)
    config.resolve({"SIM_KEY": "sk-ant-simulated"})
    gateway = NexusFlow(config=config, transport=Broken(), authenticate=lambda scope: Principal("u"))
    page = MetricsPage(gateway)
    for _ in range(3):
        assert called(gateway).status == 200
    found = scraped(page)
    reason = f"nexusflow_failed_attempts_total{{model={MODEL},reason=refused,upstream=first}}"
    assert found[reason] == 3
    assert found[f"nexusflow_fallbacks_total{{model={MODEL},upstream=second}}"] == 3
    assert found["nexusflow_circuits_open{upstream=first}"] == 1
    assert found["nexusflow_circuits_open{upstream=second}"] == 0


def test_labels_of_the_caller_are_asked_for_and_bounded() -> None:
    """The caller's id and a member of its metadata; beyond their number they are `(other)`."""
    users = iter(range(100))

    def who(scope: Any) -> Principal:
        number = next(users)
        return Principal(f"u{number}", metadata={"team": "red" if number % 2 else 'x"}\n# evil'})

    gateway = NexusFlow(config=offline(), transport="offline", authenticate=who)
    page = MetricsPage(gateway, labels=("caller", "team"), values=2)
    for _ in range(5):
        assert called(gateway).status == 200
    found = {
        name: value for name, value in scraped(page).items() if name.startswith("nexusflow_cost_usd_total")
    }
    callers = {name.partition("caller=")[2].partition(",")[0] for name in found}
    assert callers == {"u0", "u1", "(other)"}
    assert any("team=red" in name for name in found)
    assert any('team=x"}\n# evil' in name for name in found), "a value is escaped, and comes back whole"


@pytest.mark.parametrize("label", ["model", "le", "a-b", "", "__name__", "type"])
def test_a_label_that_is_not_free_is_refused(label: str) -> None:
    """At the start, not at the first scrape."""
    with pytest.raises(ValueError, match="is not a free name"):
        MetricsPage(NexusFlow(config=offline(), transport="offline"), labels=[label])


def test_the_page_in_a_host() -> None:
    """Mounted, it answers at its root only, with GET only, and in OpenMetrics if asked to."""
    gateway = NexusFlow(config=offline(), transport="offline")
    app = Starlette(routes=[Mount("/metrics", MetricsPage(gateway)), Mount("/llm", gateway)])
    got = anyio.run(lambda: ask(app, "/metrics/", method="GET"))
    assert (got.status, got.value(b"cache-control")) == (200, b"no-store")
    assert (got.value(b"content-type") or b"").startswith(b"text/plain; version=")
    assert called(app, path="/llm/v1/messages").status == 200
    assert b"nexusflow_calls_total{" in anyio.run(lambda: ask(app, "/metrics/", method="GET")).body
    assert anyio.run(lambda: ask(app, "/metrics/other", method="GET")).status == 404
    assert anyio.run(lambda: ask(app, "/metrics/")).status == 405
    accept = [(b"accept", b"application/openmetrics-text; version=1.0.0")]
    got = anyio.run(lambda: ask(app, "/metrics/", method="GET", headers=accept))
    assert (got.value(b"content-type") or b"").startswith(b"application/openmetrics-text")
    assert got.body.endswith(b"# EOF\n")


def test_your_own_registry() -> None:
    """The metrics stand among the host's own."""
    registry = CollectorRegistry()
    gateway = NexusFlow(config=offline(), transport="offline")
    MetricsPage(gateway, registry=registry)
    assert called(gateway).status == 200
    labels = {"model": MODEL, "upstream": "sim"}
    assert registry.get_sample_value("nexusflow_first_byte_seconds_count", labels) == 1


def test_a_second_gateway_counts_on_the_same_page() -> None:
    """As after a reload: counts go on, and the gauges are the new one's."""
    first, second = (NexusFlow(config=offline(), transport="offline") for _ in range(2))
    page = MetricsPage(first)
    called(first)
    page.follow(second)
    called(second)
    where = f"ending=complete,endpoint=messages,model={MODEL},status=200,upstream=sim"
    assert scraped(page)[f"nexusflow_calls_total{{{where}}}"] == 2


def test_without_the_extra_the_error_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """What to install."""
    monkeypatch.setitem(sys.modules, "prometheus_client", None)
    with pytest.raises(ConfigError, match=r"pip install 'nexusflow\[pages\]'"):
        MetricsPage(NexusFlow(config=offline(), transport="offline"))


def _process(calls: int, scrape: Any) -> None:
    gateway = NexusFlow(config=offline(), transport="offline")
    page = MetricsPage(gateway)
    for _ in range(calls):
        called(gateway)
    if scrape is not None:
        scrape.put(scraped(page))


def test_processes_add_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A scrape of one process has the calls of all, and the gauges of those alive."""
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", str(tmp_path))
    context = multiprocessing.get_context("spawn")
    found: Any = context.Queue()
    for calls, scrape in ((2, None), (3, found)):
        process = context.Process(target=_process, args=(calls, scrape))
        process.start()
        if scrape is not None:
            samples = found.get(timeout=60)
        process.join(60)
        assert process.exitcode == 0
    where = f"ending=complete,endpoint=messages,model={MODEL},status=200,upstream=sim"
    assert samples[f"nexusflow_calls_total{{{where}}}"] == 5
    assert samples["nexusflow_calls_running{}"] == 0
    assert len(list(tmp_path.glob("gauge_livesum_*.db"))) == 1, "the gauges of the first process are gone"
