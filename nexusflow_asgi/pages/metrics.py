"""MetricsPage: the gateway's metrics for Prometheus. Needs the `pages` extra."""

import importlib
import os
import threading
import time
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from weakref import ref

from starlette.responses import PlainTextResponse, Response
from starlette.types import Receive, Scope, Send

from nexusflow_asgi.app import NexusFlow
from nexusflow_core.errors import ConfigError

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry

__all__ = ["MetricsPage"]

_SHARED: Final = "PROMETHEUS_MULTIPROC_DIR"
"""Names the folder through which the processes of one server share their metrics."""

_EVERY_SECONDS: Final = 1.0


class MetricsPage:
    """An ASGI app that answers `GET` with metrics: `Mount("/metrics", MetricsPage(gateway))`.

    - `labels`: facts of the caller that become labels: "caller" for the caller's id, any other name for a
      member of its metadata. Each has at most `values` different values; the rest is "(other)". They are off by
      default: each value is a time series for every model.
    - `registry`: your own registry, to serve these metrics beside yours; by default a new one.

    Counts calls from now on. With several processes, set PROMETHEUS_MULTIPROC_DIR to an empty folder for all of
    them. Raises ConfigError without the `pages` extra, ValueError for a label that Prometheus does not take.
    """

    def __init__(
        self,
        gateway: NexusFlow,
        *,
        labels: Iterable[str] = (),
        values: int = 200,
        registry: "CollectorRegistry | None" = None,
    ) -> None:
        try:
            from prometheus_client import CollectorRegistry
            from prometheus_client.exposition import choose_encoder
        except ImportError:
            raise ConfigError("", "metrics need the `pages` extra: pip install 'nexusflow[pages]'") from None
        from nexusflow_asgi.pages.instruments import Instruments

        self._choose = choose_encoder
        self._registry = registry or CollectorRegistry()
        self._instruments = Instruments(self._registry, tuple(labels), values)
        self.follow(gateway)
        self._folder = os.environ.get(_SHARED)
        if self._folder is not None:
            _begin_watch(self)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        await self._answer(scope)(scope, receive, send)

    def _answer(self, scope: Scope) -> Response:
        below = scope["path"].removeprefix(scope.get("root_path", "")).strip("/")
        if scope["method"] not in ("GET", "HEAD"):
            return PlainTextResponse("this page is read with GET", 405, {"allow": "GET, HEAD"})
        if below and scope.get("root_path"):
            return PlainTextResponse("not found: the metrics are at the root of this mount", 404)
        accept = next((value for name, value in scope["headers"] if name == b"accept"), b"")
        encode, media_type = self._choose(accept.decode("latin-1"))
        self.measure()
        return Response(
            encode(self._whole()), headers={"content-type": media_type, "cache-control": "no-store"}
        )

    def follow(self, gateway: NexusFlow) -> None:
        """Counts the calls of this gateway too. The gauges are its own from now on."""
        self._gateway = gateway
        gateway.add_hook(self._instruments)

    def measure(self) -> None:
        """Takes the gauges of this moment."""
        self._instruments.measure(self._gateway.state())

    def _whole(self) -> "CollectorRegistry":
        """Returns the registry of this process, or one that adds up all processes."""
        if self._folder is None:
            return self._registry
        from prometheus_client import CollectorRegistry

        shared: Any = importlib.import_module("prometheus_client.multiprocess")  # it is not typed
        for pid in _dead(self._folder):
            shared.mark_process_dead(pid, self._folder)  # else its gauges would be added for ever
        whole = CollectorRegistry()
        shared.MultiProcessCollector(whole, self._folder)
        return whole


def _begin_watch(page: MetricsPage) -> None:
    """Takes the gauges once a second: another process answers the scrape. Ends with the page."""
    own = ref(page)

    def watch() -> None:
        while (alive := own()) is not None:
            alive.measure()
            del alive
            time.sleep(_EVERY_SECONDS)

    threading.Thread(target=watch, name="nexusflow-metrics", daemon=True).start()


def _dead(folder: str) -> set[int]:
    """Returns the ids of processes that have ended and left gauges behind."""
    names = [file.stem.rpartition("_")[2] for file in Path(folder).glob("gauge_live*_*.db")]
    return {int(pid) for pid in names if pid.isdecimal() and not _is_alive(int(pid))}


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:  # the process has ended
        return False
    except OSError:  # it belongs to another user
        return True
    return True
