"""Gateway: a configuration in use. It turns calls into exchanges, and answers the model list."""

from contextlib import AbstractContextManager
from datetime import datetime
from typing import Any

from msgspec.structs import replace

from nexusflow_core.call import Call
from nexusflow_core.config import Config
from nexusflow_core.dialect import Leg
from nexusflow_core.dialects import DIALECTS
from nexusflow_core.errors import NexusFlowError
from nexusflow_core.exchange import Exchange
from nexusflow_core.exchange.cache_watch import CacheView, CacheWatch
from nexusflow_core.model_list import Listed
from nexusflow_core.prices import PriceBook
from nexusflow_core.resilience import CircuitMemory, Health
from nexusflow_core.routing import ModelRoute, Router, Target

__all__ = ["Gateway"]


class Gateway:
    """Pure: it has no clock and no socket. `config` must be resolved; `book` defaults to the built-in prices.

    `lock` guards the health of targets; a host whose threads have an event loop each must pass one.
    """

    def __init__(
        self,
        config: Config,
        book: PriceBook | None = None,
        lock: AbstractContextManager[Any] | None = None,
    ) -> None:
        self.config = config
        self.book = book or PriceBook.builtin()
        self._router = Router(config.routes)
        for target in (target for route in config.routes for target in route.targets):
            DIALECTS[target.upstream.dialect]  # loaded now, so that no call waits for it
        self._listed: dict[str, Listed] = {}  # the models of the list, built on first use
        self._health = Health(CircuitMemory(), lock)
        self._cache = _doctor(self.book, lock) if config.cache.doctor else None

    def open(self, call: Call, *, started: float, refusal: NexusFlowError | None = None) -> Exchange:
        """Returns the exchange of a call. Call its `start` next. `started` is the call's arrival, in seconds.

        Never raises. With a `refusal`, or if no route serves the model, the exchange answers with that error.
        """
        route = None
        if refusal is None:
            try:
                route = self._route(call)
            except NexusFlowError as error:
                refusal = error
        return Exchange(
            call,
            route,
            started=started,
            open_leg=_open_leg,
            book=self.book,
            health=self._health,
            cache=CacheView(self._cache, header=self.config.cache.header) if self._cache else None,
            ping=self.config.limits.ping_seconds,
            refusal=refusal,
        )

    def first_target(self, model: str) -> Target | None:
        """Returns the target that is asked first for `model`, or None if no route serves it."""
        return self._router.find(model).targets[0] if self._router.serves(model) else None

    def _route(self, call: Call) -> ModelRoute:
        """Returns the route of a call. Raises NotFoundError.

        A call that is served as another model asks each target for that model by name.
        """
        if call.served_as is None:
            return self._router.find(call.model)
        route = self._router.find(call.served_as)
        named = [target if target.model else replace(target, model=call.served_as) for target in route.targets]
        return replace(route, targets=tuple(named))

    def decodes(self, call: Call) -> bool:
        """True if opening this call decodes its body, which takes time in proportion to its size."""
        if not self._router.serves(call.model):
            return False
        target = self._route(call).targets[0]
        return DIALECTS[target.upstream.dialect].decodes(call)

    def models(self, at: datetime) -> list[dict[str, Any]]:
        """Returns all models in Anthropic's shape, with their prices at `at`, in the order of the routes.

        These are the models that a route names, and those in the price book that a pattern matches. A model has
        the members of `model`.
        """
        if not self._listed:
            known = self._known()
            for route in self._router.routes:
                if not route.targets:
                    continue
                for id in [route.model] if route.exact else known.get(route.model, ()):
                    if id not in self._listed:
                        self._listed[id] = Listed(id, route, self.book)
        return [model.info(at) for model in self._listed.values()]

    def model(self, model: str, at: datetime) -> dict[str, Any]:
        """Returns one served model in Anthropic's shape. Raises NotFoundError.

        Members: `type`, `id`, `display_name`, `created_at`, `lifecycle`. If known also `capabilities`,
        `deprecated_at`, `retires_at`, `max_input_tokens`, `max_tokens`, and `price` (USD per million tokens).
        """
        return Listed(model, self._router.find(model), self.book).info(at)

    def circuits(self, now: float) -> dict[str, int]:
        """Returns how many targets of each upstream cool down. `now` is in the seconds of `started`."""
        open_targets = self._health.open_targets(now)
        return {
            name: sum(target.startswith(f"{name}/") for target in open_targets)
            for name in self.config.upstreams
        }

    def _known(self) -> dict[str, list[str]]:
        """Returns the ids of known models by their route's pattern.

        If a pattern sends all names to one model, these are models of any vendor.
        """
        known: dict[str, list[str]] = {}
        for model in self.book.models():
            if model.row.status == "retired" or not self._router.serves(model.row.id):
                continue
            route = self._router.find(model.row.id)
            target = route.targets[0]
            vendor = target.upstream.prices if target.model is None else None
            if vendor is None or model.vendor == vendor:
                known.setdefault(route.model, []).append(model.row.id)
        return known


def _doctor(book: PriceBook, lock: AbstractContextManager[Any] | None) -> CacheWatch:
    """Returns the doctor. Its package is loaded only where it is switched on."""
    from nexusflow_core.caching.doctor import CacheDoctor

    return CacheDoctor(book, lock)


def _open_leg(call: Call, target: Target, at: datetime) -> Leg:
    return DIALECTS[target.upstream.dialect].open(call, target, at)
