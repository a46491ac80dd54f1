"""A relayed call through the whole gateway in one process: our server, the app, the core, and our client.

Both sockets are replaced by objects that keep what is written. So the cost is that of Python alone: the
kernel's part is the same for every gateway.
"""

import asyncio
import logging
import os
import socket
from collections.abc import Callable
from typing import Any

from benchmarks.samples import ANSWER, GATEWAY_KEY, SMALL_REQUEST, UPSTREAM_KEY, head

__all__ = ["served_call"]

_REQUEST = (
    b"POST /v1/messages HTTP/1.1\r\nhost: 127.0.0.1:8787\r\naccept: */*\r\ncontent-type: application/json\r\n"
    b"anthropic-version: 2023-06-01\r\nx-api-key: %b\r\ncontent-length: %d\r\n\r\n%b"
) % (GATEWAY_KEY.encode(), len(SMALL_REQUEST), SMALL_REQUEST)

_ANSWER = head("content-type: application/json", f"content-length: {len(ANSWER)}") + ANSWER


_CONFIG = b"""
[upstreams.claude]
dialect = "anthropic"
base_url = "http://127.0.0.1:9"
api_key = "env:BENCHMARK_UPSTREAM_KEY"

[[routes]]
model = "claude-*"
targets = ["claude"]

[auth]
keys = ["env:BENCHMARK_GATEWAY_KEY"]
"""


class _Wire(asyncio.Transport):
    """One end of a connection. `on_write` gets all bytes that are written to it."""

    def __init__(self, on_write: Callable[[bytes], object]) -> None:
        self._socket, self._other = socket.socketpair()
        super().__init__({"socket": self._socket})
        self.write = on_write  # type: ignore[method-assign,assignment]

    def is_closing(self) -> bool:
        return False

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...

    def get_write_buffer_size(self) -> int:
        return 0


def served_call() -> Callable[[], object]:
    """Returns a function that serves one call: from the bytes of its request to the bytes of its answer."""
    import uvicorn
    from uvicorn.server import ServerState

    from nexusflow_asgi import NexusFlow
    from nexusflow_asgi.cli.console import Console, ConsoleHook
    from nexusflow_asgi.cli.log_lines import AttemptsHook
    from nexusflow_asgi.server import GatewayProtocol
    from nexusflow_asgi.transports.h1 import H1Transport
    from nexusflow_asgi.transports.h1.connection import Connection
    from nexusflow_core import decode_config

    loop = asyncio.new_event_loop()

    class Transport(H1Transport):
        """Our client, whose connections are not opened."""

        async def _connected(self, origin: Any) -> Connection:
            connection = Connection(loop, self._pool.forget)
            connection.connection_made(_Wire(lambda request: loop.call_soon(connection.data_received, _ANSWER)))
            self._pool.add(connection)
            return connection

    os.environ["BENCHMARK_GATEWAY_KEY"] = GATEWAY_KEY
    os.environ["BENCHMARK_UPSTREAM_KEY"] = UPSTREAM_KEY
    config = decode_config(_CONFIG)

    async def begin() -> GatewayProtocol:
        transport = Transport(config.upstreams["claude"])
        hooks = [AttemptsHook(), ConsoleHook(Console(logging.Formatter()))]
        app = NexusFlow(config=config, transport=transport, hooks=hooks, upstream_server_headers=True)
        protocol = GatewayProtocol(
            uvicorn.Config(app, log_config=None, proxy_headers=False, interface="asgi3"), ServerState(), {}
        )
        protocol.connection_made(_Wire(lambda answer: loop.stop()))
        return protocol

    protocol = loop.run_until_complete(begin())

    def walk() -> None:
        loop.call_soon(protocol.data_received, _REQUEST)
        loop.run_forever()

    return walk
