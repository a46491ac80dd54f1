"""Orders: the instructions of an exchange to the caller's I/O. Each `until` is in seconds of its clock."""

from typing import TypeAlias

from msgspec import Struct

from nexusflow_core.sse import encode_sse
from nexusflow_core.upstream import UpstreamRequest

__all__ = ["CLOSE", "PING", "Close", "Order", "Read", "Send", "Sleep"]

PING = encode_sse(b'{"type": "ping"}', "ping")
"""Sent to a client while its upstream is silent."""


class Send(Struct, frozen=True):
    """Send this request, then call `receive_head` or `transport_failed`. At `until` call `on_timer`."""

    request: UpstreamRequest
    until: float


class Read(Struct):
    """Read from the upstream, then call `receive_data`, `receive_eof` or `transport_failed`. At `until` call
    `on_timer`. One object serves a whole leg; its `until` moves on."""

    until: float


class Sleep(Struct, frozen=True):
    """Close the upstream and wait. At `until` call `on_timer`."""

    until: float


class Close(Struct, frozen=True):
    """Close the upstream and finish the answer. `whole` False: cut the connection to the client, since a proper
    end would make the broken body look complete."""

    whole: bool = True


CLOSE = Close()
"""The order of every call whose answer is whole."""


Order: TypeAlias = Send | Read | Sleep | Close
