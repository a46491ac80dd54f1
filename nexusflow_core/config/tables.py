"""The tables of a nexusflow.toml, in the form they are written."""

from typing import Any, Literal

from msgspec import Struct, field

from nexusflow_core.routing import ServerTools, Thinking, ToolImages
from nexusflow_core.upstream import AuthScheme, Betas, Secret, Timeouts

__all__ = ["AuthTable", "LedgerTable", "LogTable", "PricesTable", "RouteTable", "UpstreamTable"]


class UpstreamTable(Struct):
    """`[upstreams.NAME]`."""

    dialect: str
    base_url: str | None = None
    api_key: Secret | None = None
    auth: AuthScheme | None = None
    door: str | None = None
    region: str | None = None
    project: str | None = None
    workspace: str | None = None
    resource: str | None = None
    headers: dict[str, str] = field(default_factory=dict[str, str])
    betas: Betas = "filter"
    optional: bool = False
    vendor: str | None = None
    prices: str | None = None
    strict: bool = False
    images: Literal["send", "omit"] = "send"
    tool_images: ToolImages | None = None
    server_tools: ServerTools = "refuse"
    threads: bool | None = None
    ca_file: str | None = None
    connections: int = 1000
    timeouts: Timeouts = Timeouts()


class RouteTable(Struct):
    """`[[routes]]`."""

    model: str
    targets: list[str]
    strict: bool = False
    server_tools: ServerTools | None = None
    max_tokens: int | None = None
    count_tokens: Literal["estimate"] | None = None
    display_name: str | None = None
    retry: dict[str, Any] = field(default_factory=dict[str, Any])
    thinking: Thinking = "keep"


class AuthTable(Struct):
    """`[auth]`."""

    keys: list[Secret] = field(default_factory=list[Secret])
    anonymous: bool = False
    scopes: dict[str, list[str]] = field(default_factory=dict[str, list[str]])


class LogTable(Struct):
    """`[log]`."""

    calls: str | None = None
    durable: bool = False


class LedgerTable(Struct):
    """`[ledger]`."""

    url: str | None = None


class PricesTable(Struct):
    """`[prices]`."""

    files: list[str] = field(default_factory=list[str])
    genai_prices: bool = False
