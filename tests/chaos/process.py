"""A gateway in a process of its own, so that its memory and descriptors are nobody else's."""

from __future__ import annotations

import contextlib
import os
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]

_SERVER = """
import gc, resource, sys, warnings
import uvicorn
from nexusflow_asgi import NexusFlow

limit = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))
gateway = NexusFlow(config=sys.argv[1], transport=sys.argv[2])
config = uvicorn.Config(gateway, fd=int(sys.argv[3]), http="httptools", log_config=None, lifespan="off",
                        access_log=False, timeout_graceful_shutdown=5)
uvicorn.Server(config).run()
import asyncio
asyncio.run(gateway.aclose())
gc.collect()
"""


class GatewayProcess:
    """`pid` and `port`; what it wrote to stderr, once it has ended."""

    def __init__(self, process: subprocess.Popen[str], port: int) -> None:
        self.process = process
        self.port = port
        self.stderr = ""

    def memory(self) -> int:
        """Bytes that it holds in memory now."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return next(int(line.split()[1]) * 1024 for line in status.split("\n") if line.startswith("VmRSS"))

    def descriptors(self) -> int:
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))


@contextlib.contextmanager
def gateway_process(
    config: str, transport: str, tmp_path: Path, *, server: str = _SERVER
) -> Iterator[GatewayProcess]:
    """Serves this configuration on a free port. Warnings are errors there, and leave their trace on stderr.

    `server` is a program that is given the configuration's path, the transport and a listening socket's number.
    """
    import socket

    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    path = tmp_path / "nexusflow.toml"
    path.write_text(config)
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP) as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(2048)
        process = subprocess.Popen(
            [sys.executable, "-W", "error", "-c", server, path, transport, str(listener.fileno())],
            cwd=ROOT,
            pass_fds=[listener.fileno()],
            stderr=subprocess.PIPE,
            text=True,
        )
        served = GatewayProcess(process, listener.getsockname()[1])
        try:
            yield served
            process.terminate()
            served.stderr = process.communicate(timeout=30)[1]
        finally:
            process.kill()
            process.wait()
            if process.stderr is not None:
                process.stderr.close()


def settled(measure: GatewayProcess, seconds: float = 20.0) -> int:
    """Descriptors once their number stands still, or the time is up."""
    end, before = time.monotonic() + seconds, -1
    while (now := measure.descriptors()) != before and time.monotonic() < end:
        before = now
        time.sleep(0.5)
    return now
