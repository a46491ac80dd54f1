"""The seam between an exchange and a wire protocol: how to talk to one kind of upstream, without any I/O."""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from enum import Enum, auto
from typing import Any, Protocol, TypeAlias

from msgspec import Struct

from nexusflow_core.call import Call
from nexusflow_core.errors import NexusFlowError
from nexusflow_core.record import Loss
from nexusflow_core.routing import Target
from nexusflow_core.upstream import AuthScheme, Credential, Headers, KeptHeaders, Upstream, UpstreamRequest
from nexusflow_core.usage import Billing

__all__ = ["AnswerFacts", "Leg", "LegState", "OpenLeg", "ResponseHead", "UpstreamDialect"]


class ResponseHead(Struct, frozen=True):
    """Status and headers of an answer. Header names are in lower case."""

    status: int
    headers: Headers


class LegState(Enum):
    """The progress of an attempt's answer."""

    OPEN = auto()
    """More of the answer is expected."""
    WINDING_DOWN = auto()
    """The stop reason has arrived. Usage or the last line may follow within the grace period: this is not the
    end, and usage and failure can still change."""
    ENDED = auto()
    """The client gets nothing more. Close the upstream now. Usage and failure are final."""


class AnswerFacts(Struct, frozen=True, kw_only=True):
    """The known facts of an answer. They are final once the leg is ENDED."""

    usage: dict[str, Any] | None = None
    """Token counts by the wire's names (`input_tokens`, ...), unknown members included; None before any."""
    billing: Billing | None = None
    """Facts that the price depends on and that `usage` has no member for."""
    estimated: bool = False
    """True if `usage` is our estimate, because the upstream sent none."""
    model: str | None = None
    """The model that the answer names."""
    stop_reason: str | None = None
    """In Anthropic's words, such as `end_turn`."""
    cache_miss: str | None = None
    """The reason why the provider's prompt cache missed."""
    upstream_request_id: str | None = None


class Leg(Protocol):
    """One attempt at one target, with all its state. Upstream bytes go in, client bytes come out.

    `receive_*` raise UpstreamError only while `head` is None: the client then sees nothing of the attempt.
    """

    head: ResponseHead | None
    """None while nothing may be sent to the client."""
    state: LegState
    failure: NexusFlowError | None
    """The reason why the answer is incomplete: the upstream's error, or the one given to `fail`. While `head`
    is None, it is the upstream's error answer, still being read. None once ENDED means a complete answer."""

    @property
    def request(self) -> UpstreamRequest | None:
        """The request to send. None: the leg answers by itself; only `receive_eof` is called."""
        ...

    @property
    def may_ping(self) -> bool:
        """True if a ping may be sent to the client now. A relayed leg passes only the upstream's own pings."""
        ...

    @property
    def losses(self) -> Sequence[Loss]:
        """Dropped fields of the request, or of the answer."""
        ...

    @property
    def facts(self) -> AnswerFacts:
        """The known facts of the answer. Each access makes a new object."""
        ...

    def receive_head(self, status: int, headers: Headers) -> None:
        """Takes the upstream's status and headers, names in lower case."""
        ...

    def receive_data(self, data: bytes) -> bytes:
        """Takes the next bytes of the body. Returns bytes for the client, possibly none."""
        ...

    def receive_eof(self) -> bytes:
        """Takes the proper end of the body, as HTTP defines it. Returns the last bytes for the client.

        `state` becomes ENDED.
        """
        ...

    def fail(self, error: NexusFlowError) -> bytes | None:
        """Ends an answer that broke off after `head` was sent. Returns bytes that show the client the error.

        They are empty if the answer had ended, and None if its format cannot show an error. `state` becomes
        ENDED, and `failure` the error, unless the answer is complete.
        """
        ...

    def client_gone(self) -> None:
        """Notes that the client left. `state` becomes ENDED only if the client has the answer's end."""
        ...


OpenLeg: TypeAlias = Callable[[Call, Target, datetime], Leg]
"""Opens a call's leg to a target, signed for a UTC moment. Raises CallerError for an impossible call."""


class UpstreamDialect(Protocol):
    """A wire protocol: turns calls into legs. The configuration asks it which settings apply.

    Subclass it: members and methods with a body are defaults.
    """

    path: str
    """The path that is appended to a base URL."""
    endings: tuple[str, ...]
    """Endings of a base URL that would repeat the path."""
    default_base_url: str | None = None
    default_auth: AuthScheme | None = None
    """The header of a configured key, if the configuration does not name one."""
    options: frozenset[str]
    """Settings of upstreams and routes that apply here. Any other one is a configuration error."""

    @property
    def vendors(self) -> Mapping[str, str | None]:
        """Known vendors, each with the vendor whose prices apply; None: prices are searched by model."""
        return {}

    def open(self, call: Call, target: Target, at: datetime) -> Leg:
        """Returns a new Leg, signed for the UTC moment `at`.

        Raises CallerError for a call that this protocol cannot carry.
        """
        ...

    def sign(
        self, request: UpstreamRequest, upstream: Upstream, credentials: Credential | None, at: datetime
    ) -> Headers:
        """Returns the headers of a request with its credential. It is called last, after every edit.

        `credentials` are the client's own. The default is one static header: the configured key, else those.
        """
        static = upstream.credential_header(credentials)
        return request.headers if static is None else _with_credential(request.headers, static)

    def price_vendor(self, upstream: Upstream) -> str | None:
        """Returns the vendor whose prices apply; None: prices are searched by model."""
        vendor = upstream.vendor
        return upstream.prices or (self.vendors.get(vendor, vendor) if vendor is not None else None)

    def decodes(self, call: Call) -> bool:
        """True if `open` decodes the body of this call. Other legs pass it on."""
        return True

    def capabilities(self, upstream: Upstream, model: str) -> dict[str, Any] | None:
        """Returns what a model supports through this protocol, as `capabilities` in Anthropic's model list.

        The dict maps a feature to `{"supported": bool, ...}`. None if it is unknown.
        """
        return None

    def tools_limit(self, upstream: Upstream, model: str) -> str | None:
        """Returns a sentence on a limit of the model's tools, or None without a limit."""
        return None


def _with_credential(headers: Headers, static: tuple[bytes, bytes]) -> Headers:
    if type(headers) is not KeptHeaders:
        return [*headers, static]
    before: KeptHeaders | None = headers.kept.get("with credential")
    if before is not None and before[-1] == static:
        return before
    made = headers.kept["with credential"] = KeptHeaders([*headers, static], {})
    return made
