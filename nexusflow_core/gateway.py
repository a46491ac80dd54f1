"""Gateway: a configuration at work. Calls go in, exchanges come out; the model list is answered here."""

from datetime import UTC, date, datetime, time
from typing import Any

from nexusflow_core.call import Call
from nexusflow_core.config import Config
from nexusflow_core.dialect import Leg
from nexusflow_core.dialects import DIALECTS
from nexusflow_core.errors import NexusFlowError, UnknownModel
from nexusflow_core.exchange import Exchange
from nexusflow_core.prices import ModelPrices, PriceBook, usd
from nexusflow_core.resilience import CircuitMemory, CircuitStore, Health
from nexusflow_core.routing import Route, Router, Target

__all__ = ["Gateway"]

_UNKNOWN_DATE = date(1970, 1, 1)  # what Anthropic itself gives where a release date is not known


class Gateway:
    """Pure: no clock, no socket. `config` must be resolved; `book` defaults to the built-in prices. What
    targets cool down is kept in `circuits`, a table of this gateway's own by default."""

    def __init__(
        self, config: Config, book: PriceBook | None = None, circuits: CircuitStore | None = None
    ) -> None:
        self.config = config
        self.book = book or PriceBook.builtin()
        self._router = Router(config.routes)
        self._health = Health(CircuitMemory() if circuits is None else circuits)

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

    def models(self, at: datetime) -> list[dict[str, Any]]:
        """Every model that a route names, or that a pattern matches and the price book knows, in Anthropic's
        shape with the price of the moment; in the order of the routes."""
        infos: dict[str, dict[str, Any]] = {}
        for route in self._router.routes:
            for id in [route.model] if route.exact else self._known(route):
                if id not in infos:
                    infos[id] = self._info(id, route, at)
        return list(infos.values())

    def model(self, model: str, at: datetime) -> dict[str, Any]:
        """One model that a route serves. Raises NotFound."""
        return self._info(model, self._router.find(model), at)

    def _known(self, route: Route) -> list[str]:
        """The models of the price book that this pattern, and no earlier route, serves today."""
        vendor = route.targets[0].upstream.prices
        return [
            model.row.id
            for model in self.book.models()
            if (vendor is None or model.vendor == vendor)
            and model.row.status != "retired"
            and self._router.serves(model.row.id)
            and self._router.find(model.row.id) is route
        ]

    def _info(self, id: str, route: Route, at: datetime) -> dict[str, Any]:
        target = route.targets[0]
        model, vendor = target.model or id, target.upstream.prices
        info: dict[str, Any] = {"type": "model", "id": id, "display_name": id}
        try:
            known = self.book.find(model, vendor)
        except UnknownModel:
            return {**info, "created_at": _timestamp(_UNKNOWN_DATE)}
        return {
            **info,
            "created_at": _timestamp(known.row.released or _UNKNOWN_DATE),
            "lifecycle": known.row.status,
            "max_input_tokens": known.row.context_window,
            "max_tokens": known.row.max_output,
            "price": self._price(known, model, vendor, at),
        }

    def _price(self, known: ModelPrices, model: str, vendor: str | None, at: datetime) -> dict[str, Any] | None:
        """Dollars per million tokens, exact, of a short prompt at this moment."""
        try:
            price = self.book.price(model, at, 0, vendor=vendor)
        except UnknownModel:
            return None
        rates = ("input", "output", "cache_read", "cache_write_5m", "cache_write_1h")
        per_million = {name: _per_million(getattr(price, name)) for name in rates}
        return {"currency": "USD", "per": 1_000_000, **per_million, "row": price.row, "as_of": known.as_of}


def _open_leg(call: Call, target: Target) -> Leg:
    return DIALECTS[target.upstream.dialect].open(call, target)


def _per_million(femto: int | None) -> str | None:
    return None if femto is None else f"{usd(femto * 1_000_000):f}"


def _timestamp(day: date) -> str:
    return datetime.combine(day, time(), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
