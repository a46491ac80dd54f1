"""AnthropicDialect: relays calls to Anthropic, clouds that serve Claude, and vendors of its protocol."""

from collections.abc import Callable, Mapping
from datetime import datetime
from functools import partial

from nexusflow_core.call import Call
from nexusflow_core.counting import NOT_COUNTED, EstimateLeg
from nexusflow_core.dialect import Leg, UpstreamDialect
from nexusflow_core.dialects.anthropic.cloud_errors import cloud_error, origin_of
from nexusflow_core.dialects.anthropic.door_refusals import refused_parts
from nexusflow_core.dialects.anthropic.doors import DOORS, price_endpoint
from nexusflow_core.dialects.anthropic.reframed import ReframedLeg
from nexusflow_core.dialects.anthropic.relay import RelayLeg
from nexusflow_core.dialects.anthropic.request import is_third_party, relayed_request
from nexusflow_core.errors import AuthenticationFailedError, NotFoundError
from nexusflow_core.messages import read_body
from nexusflow_core.peek import thread_of, thread_refused
from nexusflow_core.prices import BUILTIN_VENDORS
from nexusflow_core.routing import Target
from nexusflow_core.upstream import Credential, Headers, Upstream, UpstreamRequest
from nexusflow_core.upstream.sigv4 import signed_headers
from nexusflow_core.usage import Billing

__all__ = ["AnthropicDialect"]

_ANTHROPICS_KEY = b"sk-ant-"


class AnthropicDialect(UpstreamDialect):
    """Anthropic, clouds that serve Claude, and other vendors that speak its protocol. Calls are relayed."""

    path = "/v1/messages"
    endings = ("/v1/messages", "/v1")
    default_base_url: str | None = "https://api.anthropic.com"
    options = frozenset(
        "count_tokens thinking threads door region project workspace resource headers betas".split()
    )

    def __init__(self, others: Callable[[], Mapping[str, str | None]] = dict) -> None:
        """`others` returns the vendors of another protocol, of which several speak this one too."""
        self._others = others

    @property
    def vendors(self) -> Mapping[str, str | None]:
        return {name: name for name in BUILTIN_VENDORS} | dict(self._others())

    def open(self, call: Call, target: Target, at: datetime) -> Leg:
        """Returns a RelayLeg, or an EstimateLeg for a count where a cloud has none.

        Raises InvalidRequestError for a query or header that cannot be sent, NotFoundError for such a count.
        """
        upstream, third_party = target.upstream, is_third_party(call, target)
        if call.may_have("thread") and thread_of(call.text) and not _keeps_threads(upstream):
            raise thread_refused()
        counting = call.endpoint == "count_tokens"
        estimates = counting and target.options.count_tokens == "estimate"
        door = DOORS.get(upstream.door) if upstream.door is not None else None
        if counting and door is not None and not door.counts_tokens:
            if not estimates:
                raise NotFoundError(NOT_COUNTED)
            return EstimateLeg(read_body(call.text, call.max_values), call.request_id)
        request = relayed_request(call, target, third_party=third_party)
        request.headers = self.sign(request, upstream, call.credential, at)
        estimate_from = call if estimates and call.seen is not None else None
        if door is None:
            return RelayLeg(
                request,
                call.request_id,
                started_at=call.started_at,
                third_party=third_party,
                counting=counting,
                estimate_from=estimate_from,
            )
        reframed = door.envelope is not None and door.envelope.in_event_stream
        return (ReframedLeg if reframed else RelayLeg)(
            request,
            call.request_id,
            started_at=call.started_at,
            third_party=third_party,
            counting=counting,
            estimate_from=estimate_from,
            foreign_error=partial(cloud_error, origin=origin_of(call, upstream), now=at),
            billing=_billing(upstream, target.model or call.model),
            refused_parts=partial(refused_parts, call, upstream),
        )

    def sign(
        self, request: UpstreamRequest, upstream: Upstream, credentials: Credential | None, at: datetime
    ) -> Headers:
        """Returns the headers with the credential, or with AWS's signature. Raises AuthenticationFailedError.

        A client's key for Anthropic itself is refused at a cloud's door: it would reach a stranger.
        """
        if (signing := upstream.signing) is not None and upstream.fetched is None:
            keys, scope = signing.keys(), (signing.region, signing.service)
            headers, body = request.headers, request.body
            return signed_headers(request.method, request.url, headers, body, keys=keys, scope=scope, at=at)
        forwarded = upstream.door is not None and credentials is not None and not upstream.own_credential
        if forwarded and credentials is not None and credentials.value.startswith(_ANTHROPICS_KEY):
            raise AuthenticationFailedError(
                "this model is served by a cloud, which takes its own keys: an Anthropic key is not sent there"
            )
        return super().sign(request, upstream, credentials, at)

    def decodes(self, call: Call) -> bool:
        """True if the body may contain marked thinking."""
        return call.marked

    def price_vendor(self, upstream: Upstream) -> str | None:
        """Returns the vendor whose prices apply. Anthropic is recognised by its address or a door."""
        own = upstream.door is not None or upstream.base_url == self.default_base_url
        if upstream.vendor is None and upstream.prices is None and own:
            return "anthropic"
        return super().price_vendor(upstream)


def _keeps_threads(upstream: Upstream) -> bool:
    """True if the upstream stores threads: by its setting, else only Anthropic. Others ignore `thread`."""
    own = upstream.base_url == AnthropicDialect.default_base_url
    return own if upstream.threads is None else upstream.threads


def _billing(upstream: Upstream, model: str) -> Billing:
    """Returns what the target says about its prices: the answer names only the plain model."""
    endpoint, flags = price_endpoint(upstream, model)
    return Billing(endpoint=endpoint, flags=flags)
