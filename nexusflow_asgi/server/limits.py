"""What a connection may take before anybody knows who is at its other end."""

from typing import Final

from msgspec import Struct

__all__ = ["DEFAULT", "ServerLimits"]


class ServerLimits(Struct, frozen=True, kw_only=True):
    """Bounds of a server that strangers may reach.

    `head_bytes`: request line and headers as they arrive, beyond it 431, and as much of a chunked body that is
    no content; `url_bytes`: of these the URL, beyond it 414. `head_seconds`: from the first byte of a head to
    its last. `idle_seconds`: a connection without a request. `waiting`: connections without a request at once;
    the oldest makes room for another. `held_bytes`: what a client may send ahead of its answer.
    `stalled_seconds`: a closing connection whose client takes nothing.
    """

    head_bytes: int = 160 * 1024
    url_bytes: int = 16 * 1024
    head_seconds: float = 30.0
    idle_seconds: float = 30.0
    waiting: int = 512
    held_bytes: int = 64 * 1024
    stalled_seconds: float = 5.0


DEFAULT: Final = ServerLimits()
