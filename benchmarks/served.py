"""One variant of the gateway benchmark on uvicorn, in a process of its own.

`python -m benchmarks.served VARIANT UPSTREAM_PORT [CALL_LOG]`, where a variant is `bare`, `aiohttp` or `httpx`.
"""

import json
import os
import socket
import sys
from typing import Any

import uvicorn

from benchmarks.bare_proxy import BareProxy
from benchmarks.processes import announce, answer_questions, bound_lifetime
from benchmarks.samples import GATEWAY_KEY, UPSTREAM_KEY
from nexusflow_asgi import NexusFlow
from nexusflow_core import CallRecord, decode_config

__all__ = ["make_app", "server_config"]

_CONFIG = """
[upstreams.upstream]
dialect = "anthropic"
base_url = {base_url}
api_key = "env:BENCHMARK_UPSTREAM_KEY"

[[routes]]
model = "claude-*"
targets = ["upstream"]

[auth]
keys = ["env:BENCHMARK_GATEWAY_KEY"]
"""


class _Discard:
    """The least that asks for a record of each call."""

    def after(self, record: CallRecord) -> None:
        return None


def make_app(variant: str, upstream_port: int, call_log: str | None = None) -> Any:
    """The ASGI app of a variant."""
    base_url = f"http://127.0.0.1:{upstream_port}"
    if variant == "bare":
        return BareProxy(base_url, UPSTREAM_KEY)
    os.environ.update(BENCHMARK_UPSTREAM_KEY=UPSTREAM_KEY, BENCHMARK_GATEWAY_KEY=GATEWAY_KEY)
    text = _CONFIG.format(base_url=json.dumps(base_url))
    if call_log is not None:
        text += f"[log]\ncalls = {json.dumps(call_log)}\n"
    config = decode_config(text.encode())
    return NexusFlow(config=config, transport="httpx" if variant == "httpx" else "aiohttp", hooks=[_Discard()])


def server_config(app: Any) -> uvicorn.Config:
    """The server of every variant."""
    return uvicorn.Config(
        app,
        interface="asgi3",
        loop="uvloop",
        http="httptools",
        ws="none",
        lifespan="off",
        log_level="warning",
        access_log=False,
        server_header=False,
        date_header=False,
        timeout_keep_alive=600,
    )


def _main(variant: str, upstream_port: str, *call_log: str) -> None:
    bound_lifetime()
    server = uvicorn.Server(server_config(make_app(variant, int(upstream_port), *call_log)))
    listener = socket.create_server(("127.0.0.1", 0), backlog=512)
    answer_questions()
    announce(port=listener.getsockname()[1])
    server.run(sockets=[listener])


if __name__ == "__main__":
    _main(*sys.argv[1:])
