"""Config: what an operator writes in nexusflow.toml, checked, with a path in every complaint."""

import re
import tomllib
from collections.abc import Mapping
from typing import Any, Literal, TypeAlias, TypeVar
from urllib.parse import urlsplit

import msgspec
from msgspec import Struct, field

from nexusflow_core.dialects import DIALECTS, VENDORS
from nexusflow_core.errors import ConfigError
from nexusflow_core.routing import Options, Retry, Route, Router, Target, Thinking, ToolImages
from nexusflow_core.upstream import AuthScheme, Secret, Timeouts, Upstream

__all__ = ["Config", "Limits", "decode_config"]

T = TypeVar("T")

_ServerTools: TypeAlias = Literal["refuse", "drop"]

_ANTHROPIC = "https://api.anthropic.com"


class Limits(Struct, frozen=True, forbid_unknown_fields=True):
    """Bounds on what comes in and stays. `body_bytes`: a request's body, as sent and after inflation;
    `body_seconds`: how long it may take to arrive. `calls` and `calls_per_key`: calls at once in a process, of
    which `queue` more may wait, `queue_seconds` at most. `ping_seconds`: silence towards the client of a
    translated stream."""

    body_bytes: int = 32 * 1024 * 1024
    body_seconds: float = 120.0
    header_bytes: int = 128 * 1024
    calls: int = 5000
    calls_per_key: int = 5000
    queue: int = 1000
    queue_seconds: float = 10.0
    ping_seconds: float = 10.0


class Config(Struct, frozen=True, kw_only=True):
    """Everything that a gateway needs to know. Make it by hand, or from TOML with `decode_config`."""

    upstreams: Mapping[str, Upstream]
    routes: tuple[Route, ...]
    keys: tuple[Secret, ...] = ()
    anonymous: bool = False
    call_log: str | None = None
    durable: bool = False
    price_files: tuple[str, ...] = ()
    limits: Limits = Limits()

    def resolve(self, environ: Mapping[str, str]) -> None:
        """Reads every `env:NAME` from `environ`. Raises ConfigError for one that is missing or empty."""
        for name, upstream in self.upstreams.items():
            if upstream.api_key is not None:
                upstream.api_key.resolve(environ, f"upstreams.{name}.api_key")
        for index, key in enumerate(self.keys):
            key.resolve(environ, f"auth.keys[{index}]")


class _UpstreamTable(Struct, forbid_unknown_fields=True):
    dialect: str
    base_url: str | None = None
    api_key: Secret | None = None
    auth: AuthScheme | None = None
    vendor: str | None = None
    strict: bool = False
    images: Literal["send", "omit"] = "send"
    tool_images: ToolImages | None = None
    server_tools: _ServerTools = "refuse"
    ca_file: str | None = None
    connections: int = 1000
    timeouts: Timeouts = Timeouts()


class _RouteTable(Struct, forbid_unknown_fields=True):
    model: str
    targets: list[str]
    strict: bool = False
    server_tools: _ServerTools | None = None
    max_tokens: int | None = None
    count_tokens: Literal["estimate"] | None = None
    display_name: str | None = None
    retry: dict[str, Any] = field(default_factory=dict[str, Any])
    thinking: Thinking = "keep"


class _AuthTable(Struct, forbid_unknown_fields=True):
    keys: list[Secret] = field(default_factory=list[Secret])
    anonymous: bool = False


class _LogTable(Struct, forbid_unknown_fields=True):
    calls: str | None = None
    durable: bool = False


class _PricesTable(Struct, forbid_unknown_fields=True):
    files: list[str] = field(default_factory=list[str])


class _File(Struct, forbid_unknown_fields=True):
    upstreams: dict[str, Any] = field(default_factory=dict[str, Any])
    routes: list[Any] = field(default_factory=list[Any])
    auth: Any = field(default_factory=dict[str, Any])
    log: Any = field(default_factory=dict[str, Any])
    retry: Any = field(default_factory=dict[str, Any])
    prices: Any = field(default_factory=dict[str, Any])
    limits: Any = field(default_factory=dict[str, Any])


def decode_config(data: bytes) -> Config:
    """A Config from the bytes of a nexusflow.toml. Its secrets are still names: see `Config.resolve`.

    Raises ConfigError, whose `path` says where.
    """
    try:
        tree = tomllib.loads(data.decode())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError("", f"not valid TOML: {error}") from None
    file = _convert(tree, _File, "")
    tables = {
        name: _convert(table, _UpstreamTable, f"upstreams.{name}") for name, table in file.upstreams.items()
    }
    upstreams = {name: _upstream(name, table) for name, table in tables.items()}
    _retry("retry", file.retry)
    routes = tuple(
        _route(index, _convert(table, _RouteTable, f"routes[{index}]"), upstreams, tables, file.retry)
        for index, table in enumerate(file.routes)
    )
    Router(routes)  # refuses two routes of one name
    auth = _convert(file.auth, _AuthTable, "auth")
    log = _convert(file.log, _LogTable, "log")
    if log.durable and log.calls is None:
        raise ConfigError("log.durable", "needs a file: set log.calls")
    return Config(
        upstreams=upstreams,
        routes=routes,
        keys=tuple(auth.keys),
        anonymous=auth.anonymous,
        call_log=log.calls,
        durable=log.durable,
        price_files=tuple(_convert(file.prices, _PricesTable, "prices").files),
        limits=_limits(_convert(file.limits, Limits, "limits")),
    )


def _upstream(name: str, table: _UpstreamTable) -> Upstream:
    path = f"upstreams.{name}"
    if not re.fullmatch(r"[A-Za-z0-9_.-]+", name):
        raise ConfigError(path, "a name has letters, digits, '_', '-' and '.' only")
    dialect = DIALECTS.get(table.dialect)
    if dialect is None:
        raise ConfigError(f"{path}.dialect", f"{table.dialect!r} is not one of {', '.join(DIALECTS)}")
    base_url = table.base_url or dialect.default_base_url
    if base_url is None:
        raise ConfigError(f"{path}.base_url", "is missing")
    base_url = _checked_url(f"{path}.base_url", base_url)
    if table.connections < 1:
        raise ConfigError(f"{path}.connections", "must be at least 1")
    for limit, seconds in msgspec.structs.asdict(table.timeouts).items():
        _check_seconds(f"{path}.timeouts.{limit}", seconds)
    return Upstream(
        name=name,
        dialect=table.dialect,
        base_url=base_url,
        api_key=table.api_key,
        auth=table.auth or dialect.default_auth,
        vendor=table.vendor,
        prices=_price_vendor(table, base_url),
        ca_file=table.ca_file,
        connections=table.connections,
        timeouts=table.timeouts,
    )


def _price_vendor(table: _UpstreamTable, base_url: str) -> str | None:
    if table.vendor is None:
        return "anthropic" if base_url == _ANTHROPIC else None
    return VENDORS[table.vendor].prices if table.vendor in VENDORS else table.vendor


def _route(
    index: int,
    table: _RouteTable,
    upstreams: Mapping[str, Upstream],
    tables: Mapping[str, _UpstreamTable],
    retry: dict[str, Any],
) -> Route:
    path = f"routes[{index}]"
    if not table.model:
        raise ConfigError(f"{path}.model", "is empty")
    if not table.targets:
        raise ConfigError(f"{path}.targets", "is empty: name at least one upstream")
    if table.max_tokens is not None and table.max_tokens < 1:
        raise ConfigError(f"{path}.max_tokens", "must be at least 1")
    targets: list[Target] = []
    for number, text in enumerate(table.targets):
        name, _, model = text.partition("/")
        if name not in upstreams:
            known = ", ".join(upstreams) or "none"
            raise ConfigError(
                f"{path}.targets[{number}]", f"no upstream is called {name!r} (there are: {known})"
            )
        strict, options = table.strict or tables[name].strict, _options(table, tables[name])
        targets.append(Target(upstreams[name], model or None, strict, options))
    return Route(
        table.model,
        tuple(targets),
        display_name=table.display_name,
        retry=_retry(f"{path}.retry", {**retry, **table.retry}),
        thinking=table.thinking,
    )


def _options(route: _RouteTable, upstream: _UpstreamTable) -> Options:
    return Options(
        max_tokens=route.max_tokens,
        count_tokens=route.count_tokens,
        images=upstream.images,
        tool_images=upstream.tool_images,
        server_tools=route.server_tools or upstream.server_tools,
    )


def _retry(path: str, table: dict[str, Any]) -> Retry:
    """A route's own settings over those of the file."""
    retry = _convert(table, Retry, path)
    if retry.attempts is not None and retry.attempts < 1:
        raise ConfigError(f"{path}.attempts", "must be at least 1")
    _check_seconds(f"{path}.deadline", retry.deadline)
    for name, seconds in (("max_wait", retry.max_wait), ("backoff", retry.backoff)):
        if not 0 <= seconds <= 60:
            raise ConfigError(f"{path}.{name}", "must be a number of seconds from 0 to 60")
    return retry


def _limits(limits: Limits) -> Limits:
    for name in ("body_bytes", "header_bytes", "calls", "calls_per_key"):
        if getattr(limits, name) < 1:
            raise ConfigError(f"limits.{name}", "must be at least 1")
    if limits.queue < 0:
        raise ConfigError("limits.queue", "must be at least 0")
    _check_seconds("limits.body_seconds", limits.body_seconds)
    _check_seconds("limits.queue_seconds", limits.queue_seconds)
    if not 0 < limits.ping_seconds <= 15:  # clients take 15 s of silence for the end (PITFALLS B1)
        raise ConfigError("limits.ping_seconds", "must be above 0 and at most 15")
    return limits


def _check_seconds(path: str, seconds: float) -> None:
    if not 0 < seconds < float("inf"):
        raise ConfigError(path, "must be a finite number of seconds above 0")


def _checked_url(path: str, url: str) -> str:
    """Without its last slash. What a URL cannot be is said here, not by the first call."""
    try:
        parts = urlsplit(url)
        _ = parts.port  # raises for one that is no port
    except ValueError as error:
        raise ConfigError(path, f"is no URL: {error}") from None
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ConfigError(path, "must be an absolute http or https URL")
    if parts.username or parts.password or "?" in url or "#" in url:
        raise ConfigError(path, "must have no user, password, query or fragment")
    if not re.fullmatch(r"[!-~]+", url):
        raise ConfigError(path, "must be printable ASCII without blanks: write anything else as %XX")
    if url.rstrip("/").endswith("/v1/messages"):
        raise ConfigError(path, "must end before /v1/messages, which is appended")
    return url.rstrip("/")


def _convert(value: Any, type: type[T], path: str) -> T:
    try:
        return msgspec.convert(value, type, dec_hook=_decode_secret)
    except msgspec.ValidationError as error:
        why, _, where = str(error).partition(" - at `$")
        raise ConfigError(path + where.rstrip("`") if path else where.strip(".`"), why) from None


def _decode_secret(type: type, value: Any) -> Any:
    if type is not Secret:
        raise NotImplementedError(f"no decoding for {type}")  # msgspec's word for "not a type of this hook"
    if not isinstance(value, str) or not re.fullmatch(r"env:[A-Za-z_][A-Za-z0-9_]*", value):
        raise ValueError(
            'write the name of an environment variable, as "env:NAME": keys do not belong in files'
        )
    return Secret(None, value.removeprefix("env:"))
