"""Gateway: a configuration at work. Calls go in, exchanges come out; the model list is answered here."""

from typing import Any

from nexusflow_core.call import Call
from nexusflow_core.config import Config
from nexusflow_core.dialect import Leg
from nexusflow_core.dialects import DIALECTS
from nexusflow_core.errors import NexusFlowError
from nexusflow_core.exchange import Exchange
from nexusflow_core.routing import Router, Target

__all__ = ["Gateway"]

_UNKNOWN_DATE = "1970-01-01T00:00:00Z"  # what Anthropic itself gives where a release date is not known


class Gateway:
    """Pure: no clock, no socket. `config` must be resolved."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self._router = Router(config.routes)

    def open(self, call: Call, *, started: float, refusal: NexusFlowError | None = None) -> Exchange:
        """The exchange of a call, to be started. Never raises: a call that is refused, by `refusal` or
        because no route serves its model, gets that error as its answer."""
        route = None
        if refusal is None:
            try:
                route = self._router.find(call.model)
            except NexusFlowError as error:
                refusal = error
        return Exchange(call, route, started=started, open_leg=_open_leg, refusal=refusal)

    def models(self) -> list[dict[str, Any]]:
        """Every model with a route of its own name, in Anthropic's shape, in the order of the file."""
        return [_model_info(route.model) for route in self._router.routes if route.exact]

    def model(self, model: str) -> dict[str, Any]:
        """One model that a route serves. Raises NotFound."""
        self._router.find(model)
        return _model_info(model)


def _open_leg(call: Call, target: Target) -> Leg:
    return DIALECTS[target.upstream.dialect].open(call, target)


def _model_info(model: str) -> dict[str, Any]:
    return {"type": "model", "id": model, "display_name": model, "created_at": _UNKNOWN_DATE}
