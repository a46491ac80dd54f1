"""The gateway in a Litestar mount, under each middleware that Litestar has for a host."""

from typing import Any

from litestar import Litestar, asgi
from litestar.config.compression import CompressionConfig
from litestar.config.cors import CORSConfig
from litestar.middleware.session.server_side import ServerSideSessionConfig

from nexusflow_asgi import NexusFlow


def under(**options: Any) -> Litestar:
    gateway = NexusFlow(config="nexusflow.toml")
    mount = asgi("/llm", is_mount=True, copy_scope=True)(gateway)
    return Litestar([mount], lifespan=[gateway.lifespan], **options)


gzip = under(compression_config=CompressionConfig(backend="gzip", minimum_size=1))
brotli = under(compression_config=CompressionConfig(backend="brotli", minimum_size=1))
cors = under(cors_config=CORSConfig(allow_origins=["https://app.example"]))
session = under(middleware=[ServerSideSessionConfig().middleware])
