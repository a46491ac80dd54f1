"""What an exchange asks of whoever does the I/O."""

from typing import TypeAlias

from msgspec import Struct

from nexusflow_core.upstream import UpstreamRequest

__all__ = ["PING", "Close", "Order", "Read", "Send", "Sleep"]

PING = b'event: ping\ndata: {"type": "ping"}\n\n'
"""What the client of a silent upstream hears meanwhile."""


class Send(Struct, frozen=True):
    """Send this request and report `receive_head` or `transport_failed`; at `until`, `on_timer`."""

    request: UpstreamRequest
    until: float


class Read(Struct):
    """Read on from the upstream and report `receive_data`, `receive_eof` or `transport_failed`; at `until`,
    `on_timer`. The object stays the same over a leg, while `until` moves."""

    until: float


class Sleep(Struct, frozen=True):
    """Close the upstream and wait; at `until`, `on_timer`."""

    until: float


class Close(Struct, frozen=True):
    """Close the upstream and finish the answer. `whole` False: the body could not be brought to an end that
    HTTP would take for one, so the connection to the client has to be cut."""

    whole: bool = True


Order: TypeAlias = Send | Read | Sleep | Close
