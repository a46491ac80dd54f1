"""NexusFlow's core: wire formats, routing and metering of model calls, without any I/O."""

from nexusflow_core.budgets import Cap
from nexusflow_core.call import Call, Principal
from nexusflow_core.config import CacheSettings, Config, Limits, decode_config
from nexusflow_core.costing import Cost, CostLine, cost, cost_batch, cost_of_sum, rates_table
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
