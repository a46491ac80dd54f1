"""TranslatedDialect: opens calls at upstreams of another protocol. VendorRow: the columns of all vendor tables.

Each dialect has a subclass of both.
"""

import re
from abc import abstractmethod
from datetime import datetime
from functools import lru_cache
from typing import Any, Final, Generic, TypeVar

from msgspec import Struct

from nexusflow_core.call import Call
from nexusflow_core.dialect import Leg, UpstreamDialect
from nexusflow_core.messages import MessagesRequest, read_request
from nexusflow_core.routing import Target
from nexusflow_core.translation.context import RequestFacts
from nexusflow_core.translation.count_leg import Counter, open_count
from nexusflow_core.translation.losses import Losses
from nexusflow_core.translation.thinking import EFFORTS, Thinking
from nexusflow_core.upstream import AuthScheme, Upstream, UpstreamRequest, json_headers

__all__ = ["TranslatedDialect", "VendorRow", "capabilities_of", "fits"]

_AT_ANTHROPIC: Final = ("batch", "citations", "code_execution", "context_management")
"""Capabilities that only Anthropic's models have."""
_SERVER_TOOLS: Final = ("code_execution", "web_search")

_LONGEST_NAME: Final = 200
"""Characters of a model's name that is remembered: callers choose names, and memory is bounded."""

_RequestFacts = TypeVar("_RequestFacts", bound=RequestFacts)


class TranslatedDialect(UpstreamDialect, Generic[_RequestFacts]):
    """A protocol to which calls are translated."""

    default_auth: AuthScheme | None = "bearer"

    @abstractmethod
    def translate(
        self, request: MessagesRequest, call: Call, target: Target, losses: Losses
    ) -> tuple[bytes, _RequestFacts]:
        """Returns the request's body, and facts for the answer's translation. Raises InvalidRequestError."""

    @abstractmethod
    def leg(self, sent: UpstreamRequest, call: Call, facts: _RequestFacts, losses: Losses) -> Leg:
        """Returns the leg of a translated request."""

    def counter(self, call: Call, upstream: Upstream) -> Counter | None:
        """Returns the upstream's token counter, or None."""
        return None

    def streams(self, call: Call, upstream: Upstream) -> bool:
        """Returns whether to request a stream from the upstream."""
        return call.stream

    def open(self, call: Call, target: Target, at: datetime) -> Leg:
        """Returns a leg. Raises InvalidRequestError, and NotFoundError if tokens cannot be counted."""
        upstream = target.upstream
        if call.endpoint == "count_tokens":
            leg = open_count(call, target, self.counter(call, upstream), self._body)
            if leg.request is not None:
                leg.request.headers = self.sign(leg.request, upstream, call.credential, at)
            return leg
        losses = Losses(strict=target.strict)
        messages = call.seen.messages if call.seen is not None else None
        request = read_request(call.text, call.max_values, messages)
        body, facts = self.translate(request, call, target, losses)
        headers = json_headers(stream=self.streams(call, upstream))
        edits = tuple(sorted(call.without))
        sent = UpstreamRequest(upstream, "POST", upstream.base_url + self.path, headers, body, edits)
        sent.headers = self.sign(sent, upstream, call.credential, at)
        return self.leg(sent, call, facts, losses)

    def _body(self, request: MessagesRequest, call: Call, target: Target, losses: Losses) -> bytes:
        return self.translate(request, call, target, losses)[0]


class VendorRow(Struct, frozen=True, kw_only=True):
    """One row of a vendor table, with the columns that all translated dialects share."""

    prices: str | None = None
    """Vendor whose prices apply; None searches all vendors by model name. Hosts of open models have no built-in
    prices: add a price file."""
    vision: bool = True
    """Takes images [docs]."""
    image_urls: bool = True
    """Fetches images by URL [docs]."""
    strict_tools: bool = False
    """Enforces a tool's schema [docs, recorded]."""
    thinking: tuple[Thinking, ...] = ()
    """How to ask for thinking; the first matching pattern counts [docs, recorded]."""
    think_tags: bool = False
    """The text may begin with reasoning in <think>...</think> [recorded]."""
    caches_itself: bool = False
    """Caches prefixes automatically, so dropping a cache marker loses nothing [docs]."""
    unknown_model: str | None = None
    """Words in a 400 that mean an unknown model [recorded]."""
    uncertain: frozenset[str] = frozenset()
    """Columns of this row that neither traffic nor a reference confirms."""

    def thinking_of(self, model: str) -> Thinking | None:
        """Returns the first thinking row that matches the model; None if no row matches."""
        return next((row for row in self.thinking if fits(row.models, model)), None)


def fits(pattern: str | None, model: str) -> bool:
    """Returns True if the start of a model's name matches the pattern. None matches no model."""
    if pattern is None:
        return False
    return _fits(pattern, model) if len(model) <= _LONGEST_NAME else re.match(pattern, model) is not None


@lru_cache(maxsize=2048)
def _fits(pattern: str, model: str) -> bool:
    """Remembers: a call asks for a dozen patterns, and the calls of a process name few models."""
    return re.match(pattern, model) is not None


def capabilities_of(thinking: Thinking | None, *, images: bool, pdf: bool, schemas: bool) -> dict[str, Any]:
    """Returns a model's capabilities. `thinking`: its thinking row; None if no field controls thinking."""
    efforts = dict(thinking.efforts) if thinking is not None else dict[str, str]()
    can_be_off = thinking is None or thinking.off is not None or not thinking.by_default
    return {
        **{name: _supported(False) for name in _AT_ANTHROPIC},
        "effort": {
            **_supported(bool(efforts)),
            **{word: _supported(efforts.get(word) == word) for word in EFFORTS},
        },
        "image_input": _supported(images),
        "pdf_input": _supported(pdf),
        "server_tools": {**_supported(False), **{name: _supported(False) for name in _SERVER_TOOLS}},
        "structured_outputs": _supported(schemas),
        "thinking": {
            **_supported(thinking is not None),
            "types": {
                "adaptive": _supported(thinking is not None),
                "between_tools": _supported(False),
                "disabled": _supported(can_be_off),
                "enabled": _supported(thinking is not None),
            },
        },
    }


def _supported(supported: bool) -> dict[str, Any]:
    return {"supported": supported}
