"""NexusFlow's core: wire formats, routing and metering of model calls, without any I/O."""

import importlib
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from nexusflow_core.budgets import Cap
    from nexusflow_core.call import Call, Principal
    from nexusflow_core.config import CacheSettings, Config, Limits, decode_config
    from nexusflow_core.costing import Cost, CostLine, cost
    from nexusflow_core.costing.batch import cost_batch
    from nexusflow_core.costing.rates import rates_table
    from nexusflow_core.costing.sums import cost_of_sum
    from nexusflow_core.dialect import ResponseHead
    from nexusflow_core.errors import (
        AuthenticationFailedError,
        CallerError,
        CapReachedError,
        ConfigError,
        GatewayError,
        InvalidRequestError,
        InvalidUsageError,
        NexusFlowError,
        NotFoundError,
        OverloadedError,
        PermissionDeniedError,
        RateLimitedError,
        UnknownModelError,
        UpstreamError,
        UpstreamProtocolError,
        UpstreamStatusError,
        UpstreamTimeoutError,
        UpstreamUnreachableError,
    )
    from nexusflow_core.exchange import Exchange
    from nexusflow_core.gateway import Gateway
    from nexusflow_core.prices import ModelPrices, Price, PriceBook, UnitPrice
    from nexusflow_core.record import AttemptRecord, CallRecord, Loss
    from nexusflow_core.routing import ModelRoute, Retry, Router, Target, TargetOptions
    from nexusflow_core.sse import ServerSentEvent, SSEDecoder, encode_sse
    from nexusflow_core.upstream import Credential, Headers, Secret, Timeouts, Upstream, UpstreamRequest
    from nexusflow_core.usage import Billing, Iteration, Usage

__all__ = [
    "AttemptRecord",
    "AuthenticationFailedError",
    "Billing",
    "CacheSettings",
    "Call",
    "CallRecord",
    "CallerError",
    "Cap",
    "CapReachedError",
    "Config",
    "ConfigError",
    "Cost",
    "CostLine",
    "Credential",
    "Exchange",
    "Gateway",
    "GatewayError",
    "Headers",
    "InvalidRequestError",
    "InvalidUsageError",
    "Iteration",
    "Limits",
    "Loss",
    "ModelPrices",
    "ModelRoute",
    "NexusFlowError",
    "NotFoundError",
    "OverloadedError",
    "PermissionDeniedError",
    "Price",
    "PriceBook",
    "Principal",
    "RateLimitedError",
    "ResponseHead",
    "Retry",
    "Router",
    "SSEDecoder",
    "Secret",
    "ServerSentEvent",
    "Target",
    "TargetOptions",
    "Timeouts",
    "UnitPrice",
    "UnknownModelError",
    "Upstream",
    "UpstreamError",
    "UpstreamProtocolError",
    "UpstreamRequest",
    "UpstreamStatusError",
    "UpstreamTimeoutError",
    "UpstreamUnreachableError",
    "Usage",
    "cost",
    "cost_batch",
    "cost_of_sum",
    "decode_config",
    "encode_sse",
    "rates_table",
]

if not TYPE_CHECKING:  # a type checker reads the imports above, and so reports a misspelt name
    _MODULES: Final = {
        "budgets": "Cap",
        "call": "Call Principal",
        "config": "CacheSettings Config Limits decode_config",
        "costing": "Cost CostLine cost",
        "costing.batch": "cost_batch",
        "costing.rates": "rates_table",
        "costing.sums": "cost_of_sum",
        "dialect": "ResponseHead",
        "errors": """
            AuthenticationFailedError CallerError CapReachedError ConfigError GatewayError
            InvalidRequestError InvalidUsageError NexusFlowError NotFoundError OverloadedError
            PermissionDeniedError RateLimitedError UnknownModelError UpstreamError UpstreamProtocolError
            UpstreamStatusError UpstreamTimeoutError UpstreamUnreachableError
        """,
        "exchange": "Exchange",
        "gateway": "Gateway",
        "prices": "ModelPrices Price PriceBook UnitPrice",
        "record": "AttemptRecord CallRecord Loss",
        "routing": "ModelRoute Retry Router Target TargetOptions",
        "sse": "ServerSentEvent SSEDecoder encode_sse",
        "upstream": "Credential Headers Secret Timeouts Upstream UpstreamRequest",
        "usage": "Billing Iteration Usage",
    }
    _MODULE_OF: Final = {name: module for module, names in _MODULES.items() for name in names.split()}

    def __getattr__(name: str) -> Any:
        """Imports the module of a public name on first use: most programs need few of them."""
        if (module := _MODULE_OF.get(name)) is not None:
            value = getattr(importlib.import_module(f"{__name__}.{module}"), name)
            globals()[name] = value
            return value
        if name in _MODULES:  # as the imports above would leave it
            return importlib.import_module(f"{__name__}.{name}")
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

    def __dir__() -> list[str]:
        """Returns the public names too that are not imported yet."""
        return sorted({*globals(), *__all__})
