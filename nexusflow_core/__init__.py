"""NexusFlow's core: the wire, the routing and the metering of model calls, without any I/O."""

from nexusflow_core.call import Call, Principal
from nexusflow_core.config import Config, Limits, decode_config
from nexusflow_core.costing import Cost, Line, cost
from nexusflow_core.errors import (
    AuthenticationFailed,
    CallerError,
    ConfigError,
    GatewayError,
    InvalidRequest,
    InvalidUsage,
    NexusFlowError,
    NotFound,
    Overloaded,
    PermissionDenied,
    RateLimited,
    UnknownModel,
    UpstreamError,
)
from nexusflow_core.exchange import Exchange
from nexusflow_core.gateway import Gateway
from nexusflow_core.prices import ModelPrices, Price, PriceBook, Rate
from nexusflow_core.record import Attempt, CallRecord, Loss
from nexusflow_core.routing import Options, Retry, Route, Router, Target
from nexusflow_core.sse import ServerSentEvent, SSEDecoder, encode_sse
from nexusflow_core.upstream import Secret, Timeouts, Upstream
from nexusflow_core.usage import Billing, Iteration, Usage

__all__ = [
    "Attempt",
    "AuthenticationFailed",
    "Billing",
    "Call",
    "CallRecord",
    "CallerError",
    "Config",
    "ConfigError",
    "Cost",
    "Exchange",
    "Gateway",
    "GatewayError",
    "InvalidRequest",
    "InvalidUsage",
    "Iteration",
    "Limits",
    "Line",
    "Loss",
    "ModelPrices",
    "NexusFlowError",
    "NotFound",
    "Options",
    "Overloaded",
    "PermissionDenied",
    "Price",
    "PriceBook",
    "Principal",
    "Rate",
    "RateLimited",
    "Retry",
    "Route",
    "Router",
    "SSEDecoder",
    "Secret",
    "ServerSentEvent",
    "Target",
    "Timeouts",
    "UnknownModel",
    "Upstream",
    "UpstreamError",
    "Usage",
    "cost",
    "decode_config",
    "encode_sse",
]
