"""A bare proxy on uvicorn: `python -m benchmarks.gateways.served client|sockets PORT UPSTREAM_PORT`."""

import sys
from typing import Any

import uvicorn

from benchmarks.gateways.bare_proxy import BareProxy
from benchmarks.gateways.bare_socket_proxy import BareSocketProxy
from benchmarks.samples import UPSTREAM_KEY

__all__: list[str] = []


def _app(kind: str, upstream_port: int) -> Any:
    if kind == "sockets":
        return BareSocketProxy("127.0.0.1", upstream_port, UPSTREAM_KEY)
    return BareProxy(f"http://127.0.0.1:{upstream_port}", UPSTREAM_KEY)


if __name__ == "__main__":
    kind, port, upstream_port = sys.argv[1:]
    uvicorn.run(
        _app(kind, int(upstream_port)),
        port=int(port),
        interface="asgi3",
        loop="uvloop",
        http="httptools",
        ws="none",
        lifespan="off",
        log_level="warning",
        access_log=False,
        server_header=False,
        date_header=False,
        backlog=4096,
        timeout_keep_alive=600,
    )
