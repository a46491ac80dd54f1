"""The seam between an exchange and a wire protocol: how to talk to one kind of upstream, without any I/O."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from enum import Enum, auto
from typing import Any, Protocol

from msgspec import Struct

from nexusflow_core.call import Call
from nexusflow_core.errors import NexusFlowError
from nexusflow_core.record import Loss
from nexusflow_core.routing import Target
from nexusflow_core.upstream import AuthScheme, Credential, Headers, Upstream, UpstreamRequest
from nexusflow_core.usage import Billing

__all__ = ["AnswerFacts", "Leg", "LegState", "ResponseHead", "UpstreamDialect"]


class ResponseHead(Struct, frozen=True):
    """Status and headers of the answer to the client."""

    status: int
    headers: Headers


class LegState(Enum):
    """How far the answer of an attempt has come."""

    OPEN = auto()
    """More of the answer is expected."""
    WINDING_DOWN = auto()
    """The reason why the answer stopped has come. Its usage or its last line may follow, within the grace
    period. This is not the end: usage and failure can still change."""
    ENDED = auto()
    """Nothing more comes for the client: close the upstream now. Usage and failure are final."""


class AnswerFacts(Struct, frozen=True, kw_only=True):
    """What is known of an answer so far. Final once the leg is ENDED."""

    usage: dict[str, Any] | None = None
    """In the wire's names."""
    billing: Billing | None = None
    """What the bill needs and `usage` has no name for."""
    estimated: bool = False
    """True: the usage is an estimate of ours, the upstream gave none."""
    model: str | None = None
    """The model that the answer names."""
    stop_reason: str | None = None
    """In the wire's words."""
    cache_miss: str | None = None
    """Why the provider's prompt cache missed."""
    upstream_request_id: str | None = None


class Leg(Protocol):
    """One attempt at one target, and all state of it. Bytes go in from the upstream, bytes come out for the
    client. `receive_*` raise UpstreamError only while `head` is None: then another Leg may be opened unseen."""

    head: ResponseHead | None
    """None: nothing may go out to the client yet."""
    state: LegState
    failure: NexusFlowError | None
    """Why the answer is not complete: an error of the upstream, or one given to `fail`. While `head` is None:
    the upstream's error answer, which is still being read. None once ENDED: the answer is complete."""

    @property
    def request(self) -> UpstreamRequest | None:
        """What is sent. None: it answers by itself, and is asked for that by `receive_eof` alone."""
        ...

    @property
    def may_ping(self) -> bool:
        """True: a ping may go to the client now. Never on a relayed leg, whose pings are the upstream's own."""
        ...

    @property
    def losses(self) -> Sequence[Loss]:
        """Fields of the request, or of the answer, that did not go along."""
        ...

    @property
    def facts(self) -> AnswerFacts:
        """Returns what is known of the answer by now. Made anew each time."""
        ...

    def receive_head(self, status: int, headers: Headers) -> None:
        """The upstream's status and headers, names in lower case."""
        ...

    def receive_data(self, data: bytes) -> bytes:
        """The next bytes of the body; returns what goes to the client, perhaps nothing yet."""
        ...

    def receive_eof(self) -> bytes:
        """The body ended as HTTP says a body ends. `state` becomes ENDED."""
        ...

    def fail(self, error: NexusFlowError) -> bytes | None:
        """The body broke off after `head` was out: returns the bytes that end it honestly, none where it had
        ended already, None where the format has no way to say it. `state` becomes ENDED, and `failure` the
        error, unless the answer is complete all the same."""
        ...

    def client_gone(self) -> None:
        """The client has left. `state` becomes ENDED only where the client already has the answer's end."""
        ...


class UpstreamDialect(Protocol):
    """A wire protocol: turns calls into legs. The configuration asks it what a setting means here.

    Subclass it: whatever has a body here has a default.
    """

    path: str
    """What is appended to a base URL."""
    endings: tuple[str, ...]
    """Endings of a base URL that would then stand twice."""
    default_base_url: str | None = None
    default_auth: AuthScheme | None = None
    """How a configured key is sent where the configuration does not say."""
    options: frozenset[str]
    """Settings of upstreams and routes that mean something here. Any other of them is a configuration error."""
    vendors: Mapping[str, str | None] = {}
    """Vendors that mean something here, each with the vendor whose prices apply; None: searched by model."""

    def open(self, call: Call, target: Target, at: datetime) -> Leg:
        """Returns a fresh Leg, signed for the moment `at`.

        Raises CallerError for a call that this protocol cannot carry."""
        ...

    def sign(
        self, request: UpstreamRequest, upstream: Upstream, credentials: Credential | None, at: datetime
    ) -> Headers:
        """Returns the headers of a request with the proof of who calls. It comes last, after every edit.

        `credentials` are the client's own. By default one static header: the configured key, else those.
        """
        static = upstream.credential_header(credentials)
        return request.headers if static is None else [*request.headers, static]

    def price_vendor(self, upstream: Upstream) -> str | None:
        """Returns the vendor whose prices apply; None: searched by model."""
        vendor = upstream.vendor
        return upstream.prices or (self.vendors.get(vendor, vendor) if vendor is not None else None)

    def decodes(self, call: Call) -> bool:
        """Returns whether `open` decodes the body of this call, where other legs pass it on."""
        return True

    def capabilities(self, upstream: Upstream, model: str) -> dict[str, Any] | None:
        """Returns what a model can be asked for through this protocol, as Anthropic's model list says it; None
        where that is not known here."""
        return None

    def tools_limit(self, upstream: Upstream, model: str) -> str | None:
        """Returns in a sentence how far a model takes tools here; None where nothing limits them."""
        return None
