"""Upstreams: the address and credential of a call, and the headers that may cross the gateway."""

from nexusflow_core.upstream.address import is_unix, split_url
from nexusflow_core.upstream.fetched import CredentialSource, Fetched, FetchedCredential, fresh_for
from nexusflow_core.upstream.headers import (
    Headers,
    KeptHeaders,
    derived,
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
    authorized,
    client_credentials,
    sent_keys,
    upstream_id,
)

__all__ = [
    "AuthScheme",
    "AwsSigning",
    "Betas",
    "Credential",
    "CredentialSource",
    "Fetched",
    "FetchedCredential",
    "Headers",
    "KeptHeaders",
    "KeySearch",
    "Place",
    "Secret",
    "Timeouts",
    "Upstream",
    "UpstreamRequest",
    "authorized",
    "cleaned",
    "client_credentials",
    "derived",
    "fresh_for",
    "header",
    "is_unix",
    "json_headers",
    "masked",
    "relayed_request_headers",
    "relayed_response_headers",
    "sent_keys",
    "shortest_with",
    "split_url",
    "upstream_id",
]
