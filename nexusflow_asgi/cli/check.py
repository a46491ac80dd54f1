"""`nexusflow check FILE`: what each route will do, what is wrong and where."""

import argparse
import os
import sys
from pathlib import Path

from msgspec.structs import asdict

from nexusflow_asgi.settings import check_files, load_config, price_book
from nexusflow_core.config import Config
from nexusflow_core.errors import ConfigError
from nexusflow_core.routing import Options, Retry, Route, Router, Target
from nexusflow_core.upstream import Secret

__all__ = ["add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What follows `nexusflow check`."""
    parser.add_argument("file", help="a nexusflow.toml")


def run(arguments: argparse.Namespace) -> int:
    """Runs it; returns the exit status."""
    config = load_config(arguments.file)
    check_files(config)
    price_book(config)
    for line in _description(config):
        print(line)
    complaints = [*_missing_secrets(config), *_unreachable(config), *_unwritable(config)]
    if not config.keys and not config.anonymous:
        complaints.append("auth: no keys and no anonymous = true: starts only with an authenticate function")
    for complaint in complaints:
        print(f"wrong: {complaint}", file=sys.stderr)
    return 1 if complaints else 0


def _description(config: Config) -> list[str]:
    lines = [_route(route) for route in config.routes]
    if config.keys:
        lines.append("callers: " + ", ".join(f"the key in {key.name}" for key in config.keys))
    elif config.anonymous:
        lines.append("callers: anyone (anonymous = true)")
    lines.append(f"call log: {config.call_log or 'none'}")
    return lines


def _target(target: Target) -> str:
    upstream = target.upstream
    key = "no key" if upstream.auth == "none" else "the client's own key"
    if upstream.api_key is not None:
        key = f"key from {upstream.api_key.name}"
    model = f" as {target.model}" if target.model else ""
    said = [upstream.dialect, upstream.base_url, key, *_changed(target.options)]
    said += ["strict"] if target.strict else []
    return f"{upstream.name}{model} ({', '.join(said)})"


def _route(route: Route) -> str:
    """Where it leads, and what it says beside that."""
    said = _changed(route.retry)
    said += [f"thinking = {route.thinking}"] if route.thinking != "keep" else []
    said += [f"shown as {route.display_name!r}"] if route.display_name else []
    targets = ", then ".join(map(_target, route.targets))
    return f"{route.model} -> {targets}" + (f"; {', '.join(said)}" if said else "")


def _changed(settings: Options | Retry) -> list[str]:
    """The settings that are not the default."""
    default = asdict(type(settings)())
    return [f"{name} = {value}" for name, value in asdict(settings).items() if value != default[name]]


def _missing_secrets(config: Config) -> list[str]:
    secrets: list[tuple[str, Secret]] = [
        (f"upstreams.{name}.api_key", upstream.api_key)
        for name, upstream in config.upstreams.items()
        if upstream.api_key is not None
    ]
    secrets += [(f"auth.keys[{index}]", key) for index, key in enumerate(config.keys)]
    missing: list[str] = []
    for path, secret in secrets:
        try:
            secret.resolve(os.environ, path)
        except ConfigError as error:
            missing.append(str(error))
    return missing


def _unreachable(config: Config) -> list[str]:
    used = {target.upstream.name for route in config.routes for target in route.targets}
    complaints = [f"upstreams.{name}: no route leads there" for name in config.upstreams if name not in used]
    if not config.routes:
        complaints.append("routes: there are none, so every model is unknown")
    for index, route in enumerate(config.routes):
        # A star stands for a star as well: a pattern that matches another's text takes all that it would.
        earlier = (other for other in config.routes[:index] if not other.exact)
        taken_by = next((other for other in earlier if Router([other]).serves(route.model)), None)
        if taken_by is not None and not route.exact:
            complaints.append(
                f"routes[{index}]: never reached, {taken_by.model!r} before it takes all of its models"
            )
    return complaints


def _unwritable(config: Config) -> list[str]:
    """A gateway serves its calls all the same; here it is said before they go unrecorded."""
    if config.call_log is None:
        return []
    path = Path(config.call_log)
    if path.is_dir():
        return [f"log.calls: {path} is a folder"]
    if not os.access(path if path.exists() else path.parent, os.W_OK):
        return [f"log.calls: {path} cannot be written"]
    return []
