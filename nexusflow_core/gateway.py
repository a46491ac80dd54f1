"""Gateway: a configuration at work. Calls go in, exchanges come out; the model list is answered here."""

from contextlib import AbstractContextManager
from datetime import datetime
from typing import Any

from nexusflow_core.call import Call
from nexusflow_core.config import Config
from nexusflow_core.dialect import Leg
from nexusflow_core.dialects import DIALECTS
from nexusflow_core.errors import NexusFlowError
from nexusflow_core.exchange import Exchange
from nexusflow_core.model_list import Listed
from nexusflow_core.prices import PriceBook
from nexusflow_core.resilience import CircuitMemory, CircuitStore, Health
from nexusflow_core.routing import Router, Target

__all__ = ["Gateway"]


class Gateway:
    """Pure: no clock, no socket. `config` must be resolved; `book` defaults to the built-in prices. What
    targets cool down is kept in `circuits`, a table of this gateway's own by default. It is read and written
    under `lock`, which a host gives whose threads have an event loop each."""

    def __init__(
        self,
        config: Config,
        book: PriceBook | None = None,
        circuits: CircuitStore | None = None,
        lock: AbstractContextManager[Any] | None = None,
    ) -> None:
        self.config = config
        self.book = book or PriceBook.builtin()
        self._router = Router(config.routes)
        self._listed: dict[str, Listed] = {}  # the models of the list, once it was asked for
        self._health = Health(CircuitMemory() if circuits is None else circuits, lock)

    def open(self, call: Call, *, started: float, refusal: NexusFlowError | None = None) -> Exchange:
        """The exchange of a call, to be started. Never raises: a call that is refused, by `refusal` or
        because no route serves its model, gets that error as its answer."""
        route = None
        if refusal is None:
            try:
                route = self._router.find(call.model)
            except NexusFlowError as error:
                refusal = error
        return Exchange(
            call,
            route,
            started=started,
            open_leg=_open_leg,
            book=self.book,
            health=self._health,
            ping=self.config.limits.ping_seconds,
            refusal=refusal,
        )

    def decodes(self, call: Call) -> bool:
        """Returns whether opening this call decodes its body, which takes time in proportion to it."""
        if not self._router.serves(call.model):
            return False
        target = self._router.find(call.model).targets[0]
        return DIALECTS[target.upstream.dialect].decodes(call)

    def models(self, at: datetime) -> list[dict[str, Any]]:
        """Returns every model that a route names, or that a pattern matches and the price book knows, in
        Anthropic's shape with the price of the moment; in the order of the routes. Only prices are looked up
        anew with each call."""
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
        """One model that a route serves. Raises NotFoundError."""
        return Listed(model, self._router.find(model), self.book).info(at)

    def _known(self) -> dict[str, list[str]]:
        """The models of the price book by the pattern that serves them; those of any vendor where the pattern
        sends them all to one model."""
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


def _open_leg(call: Call, target: Target, at: datetime) -> Leg:
    return DIALECTS[target.upstream.dialect].open(call, target, at)
