"""`nexusflow serve`: runs the gateway alone, on uvicorn."""

import argparse
import contextlib
import functools
import importlib.util
import json
import os
import secrets
import shlex
import socket
import sys
import tempfile
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, cast

from nexusflow_asgi.app import NexusFlow
from nexusflow_asgi.cli.log_lines import LEVELS, AttemptsHook, call_hook, configure_logging
from nexusflow_asgi.settings import ANTHROPIC_ONLY, OFFLINE, load_config
from nexusflow_asgi.transports import TransportName, describe_transport
from nexusflow_core.config import Config, decode_config
from nexusflow_core.errors import ConfigError
from nexusflow_core.routing import Router
from nexusflow_core.upstream import Secret

if TYPE_CHECKING:
    from nexusflow_asgi.server import Reloading

__all__ = ["ServedGateway", "add_arguments", "app", "run"]

_SETTINGS = "NEXUSFLOW_SERVE"  # passes the arguments to worker processes
_PAGES = ("/spend/", "/metrics")
_EXAMPLE_MODEL = "claude-haiku-4-5"
_SHUTDOWN_SECONDS = 30
_WORKER_SECONDS = 20
"""A worker that does not answer for so long is replaced. uvicorn's five seconds end one that starts slowly."""

_BACKLOG = 2048
_LINES_BYTES = 32 * 1024
"""Allowance for the parts of a request head other than headers and query: path, colons, line ends."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of `nexusflow serve`."""
    parser.add_argument(
        "--config", metavar="FILE", help="a nexusflow.toml; without one, serve claude-* with ANTHROPIC_API_KEY"
    )
    parser.add_argument("--offline", action="store_true", help="answer from a simulator: no key, no network")
    parser.add_argument("--host", default="127.0.0.1", help="the address to listen on (default: %(default)s)")
    parser.add_argument(
        "--port",
        type=_number(0, 65535),
        default=8787,
        help="the port; 0 for any free one (default: %(default)s)",
    )
    parser.add_argument("--workers", type=_number(1, 1024), default=1, help="processes (default: %(default)s)")
    parser.add_argument(
        "--transport",
        choices=("auto", "h1", "httpx", "aiohttp"),
        default="auto",
        help="how to call upstreams; auto is the fastest that is installed (default: %(default)s)",
    )
    parser.add_argument(
        "--log-level",
        choices=tuple(LEVELS),
        default="info",
        help="what to log to stderr: info logs each call; debug adds each attempt and uvicorn's messages "
        "(default: %(default)s)",
    )
    parser.add_argument(
        "-v",
        "--verbose",
        dest="log_level",
        action="store_const",
        const="debug",
        help="the same as --log-level debug",
    )
    parser.add_argument(
        "--log-format",
        choices=("text", "json"),
        default="text",
        help="json: one object per line, with the record of each call (default: %(default)s)",
    )


def run(arguments: argparse.Namespace) -> int:
    """Serves until a signal. Returns 0. Raises ConfigError."""
    if importlib.util.find_spec("uvicorn") is None:
        raise ConfigError("", "serving needs the `server` extra: pip install 'nexusflow[server]'")
    transport = _transport(arguments)
    made_key = _find_something_to_serve(arguments)
    settings = {
        "config": arguments.config,
        "offline": arguments.offline,
        "transport": transport,
        "log_level": arguments.log_level,
        "log_format": arguments.log_format,
    }
    os.environ[_SETTINGS] = json.dumps(settings)
    _share_metrics(arguments)
    app()  # raises ConfigError now, before any worker starts
    _serve(arguments, transport, made_key)
    return 0


def _share_metrics(arguments: argparse.Namespace) -> None:
    """Gives several workers a folder through which their metrics add up, unless the environment names one."""
    if arguments.workers > 1 and _config(arguments.config, offline=arguments.offline).pages.metrics:
        os.environ.setdefault("PROMETHEUS_MULTIPROC_DIR", tempfile.mkdtemp(prefix="nexusflow-metrics-"))


def _number(lowest: int, highest: int) -> Callable[[str], int]:
    def parse(text: str) -> int:
        if not text.isdecimal() or not lowest <= int(text) <= highest:
            raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from {lowest} to {highest}")
        return int(text)

    return parse


def app() -> "Reloading":
    """Returns the app that the environment variable describes. Each worker process calls it."""
    from nexusflow_asgi.server import Reloading

    settings = json.loads(os.environ[_SETTINGS])
    configure_logging(settings["log_level"], settings["log_format"])
    return Reloading(_gateway)


class ServedGateway(NexusFlow):
    """The gateway of this command, whose server has the pages of `[pages]`."""

    _serves_pages = True


def _gateway() -> NexusFlow:
    settings = json.loads(os.environ[_SETTINGS])
    return ServedGateway(
        config=_config(settings["config"], offline=settings["offline"]),
        transport=settings["transport"],
        hooks=[*([AttemptsHook()] if settings["log_level"] == "debug" else ()), call_hook()],
        upstream_server_headers=True,  # uvicorn adds no such headers, see below
    )


def _config(path: str | None, *, offline: bool) -> Config:
    if path is not None:
        return load_config(path)
    return decode_config(OFFLINE if offline else ANTHROPIC_ONLY)


def _transport(arguments: argparse.Namespace) -> TransportName:
    chosen: TransportName = "offline" if arguments.offline else arguments.transport
    return chosen


def _find_something_to_serve(arguments: argparse.Namespace) -> str | None:
    """Returns a new gateway key for the run if one is needed, else None.

    Raises ConfigError without a file, a key of Anthropic's and `--offline`.
    """
    if arguments.config is not None or arguments.offline:
        return None
    if not os.environ.get("ANTHROPIC_API_KEY", "").strip():
        raise ConfigError(
            "",
            "nothing to serve: set ANTHROPIC_API_KEY or give --config FILE; "
            "`nexusflow serve --offline` needs neither key nor network",
        )
    if os.environ.get("NEXUSFLOW_KEY", "").strip():
        return None
    key = os.environ["NEXUSFLOW_KEY"] = "nxf-" + secrets.token_urlsafe(24)
    return key


def _serve(arguments: argparse.Namespace, transport: TransportName, made_key: str | None) -> None:
    import uvicorn

    from nexusflow_asgi.server import GatewayProtocol, ServerLimits, Workers

    served = _config(arguments.config, offline=arguments.offline)
    limits = ServerLimits(
        head_bytes=served.limits.header_bytes + _LINES_BYTES,
        waiting=min(ServerLimits().waiting, _descriptors() // 2),
    )
    config = uvicorn.Config(
        "nexusflow_asgi.cli.serve:app",
        factory=True,
        interface="asgi3",
        http=cast(Any, functools.partial(GatewayProtocol, limits=limits)),
        ws="none",
        host=arguments.host,
        port=arguments.port,
        workers=arguments.workers,
        access_log=False,
        log_config=None,  # its messages go through our handler
        log_level=LEVELS[arguments.log_level][1],
        server_header=False,  # the upstream's own `server` and `date` go to the client
        date_header=False,
        proxy_headers=False,  # no code here reads a client's address
        timeout_graceful_shutdown=_SHUTDOWN_SECONDS,
        timeout_worker_healthcheck=_WORKER_SECONDS,
    )
    listener = _listen(arguments.host, arguments.port)
    _greet(listener.getsockname()[:2], transport, made_key, arguments)
    with contextlib.suppress(KeyboardInterrupt):  # uvicorn raises it again after its shutdown
        if arguments.workers > 1:
            Workers(config, sockets=[listener]).run()
        else:
            uvicorn.Server(config).run(sockets=[listener])


def _descriptors() -> int:
    """Returns how many files and sockets this process may have open."""
    try:
        import resource
    except ImportError:  # Windows has no such limit
        return sys.maxsize
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return soft if soft != resource.RLIM_INFINITY else sys.maxsize


def _listen(host: str, port: int) -> socket.socket:
    """Returns a listening socket declared as TCP: asyncio sets TCP_NODELAY only then, which saves 40 ms."""
    try:
        family, kind, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listener = socket.socket(family, kind, socket.IPPROTO_TCP)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(_BACKLOG)
    except OSError as error:
        raise ConfigError("", f"cannot listen on {host} port {port}: {error.strerror}") from None
    except UnicodeError:  # a host name with an empty or too long part
        raise ConfigError("", f"cannot listen on {host}: it is not a host name") from None
    listener.set_inheritable(True)
    return listener


def _greet(
    address: tuple[str, int], transport: TransportName, made_key: str | None, arguments: argparse.Namespace
) -> None:
    config = _config(arguments.config, offline=arguments.offline)
    host, port = address
    url = f"http://{f'[{host}]' if ':' in host else host}:{port}"
    print(f"nexusflow serves {', '.join(route.model for route in config.routes)} on {url}")
    print(f"transport: {describe_transport(transport)}")
    if made_key is not None:
        print(f"gateway key, made for this run: {made_key}")
    pages = [f"{url}{path}" for path in _PAGES if getattr(config.pages, path.strip("/"))]
    if pages:
        print(f"pages, with the key of [pages] as the password: {', '.join(pages)}")
    print(f"try it:\n\n  {_curl(url, config, made_key)}\n", flush=True)


def _reference(key: Secret) -> str:
    """Returns what a shell puts in place of the key."""
    return f"${key.name}" if key.path is None else f"$(cat {shlex.quote(key.path)})"


def _curl(url: str, config: Config, made_key: str | None) -> str:
    """Returns a curl command to paste. A key from the environment is referenced, not shown."""
    model = _EXAMPLE_MODEL
    if config.routes and not Router(config.routes[:1]).serves(model):
        model = config.routes[0].model.replace("*", "x")
    body = {"model": model, "max_tokens": 64, "messages": [{"role": "user", "content": "Hello"}]}
    parts = [f"curl -s {url}/v1/messages -H 'content-type: application/json'"]
    if made_key is not None:
        parts.append(f"-H 'x-api-key: {made_key}'")
    elif config.keys:
        parts.append(f'-H "x-api-key: {_reference(config.keys[0])}"')
    elif config.ledger is not None:
        parts.append('-H "x-api-key: $KEY"')  # one of `nexusflow keys create`
    upstream = config.routes[0].targets[0].upstream if config.routes else None
    if upstream is not None and not upstream.own_credential:
        parts.append('-H "authorization: Bearer $ANTHROPIC_API_KEY"')  # the client's own key goes upstream
    return " ".join([*parts, "-d", shlex.quote(json.dumps(body))])
