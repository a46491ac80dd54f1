"""Upstreams: the address and credential of a call, and the headers that may cross the gateway."""

from nexusflow_core.upstream.address import is_unix, split_url
from nexusflow_core.upstream.headers import (
    Headers,
    header,
    json_headers,
    relayed_request_headers,
    relayed_response_headers,
)
from nexusflow_core.upstream.keys import KeySearch, cleaned, masked, shortest_with
from nexusflow_core.upstream.upstream import (
    AuthScheme,
    AwsSigning,
    Betas,
    Credential,
    Place,
    Secret,
    Timeouts,
    Upstream,
    UpstreamRequest,
    client_credentials,
    upstream_id,
)

__all__ = [
    "AuthScheme",
    "AwsSigning",
    "Betas",
    "Credential",
    "Headers",
    "KeySearch",
    "Place",
    "Secret",
    "Timeouts",
    "Upstream",
    "UpstreamRequest",
    "cleaned",
    "client_credentials",
    "header",
    "is_unix",
    "json_headers",
    "masked",
    "relayed_request_headers",
    "relayed_response_headers",
    "shortest_with",
    "split_url",
    "upstream_id",
]
