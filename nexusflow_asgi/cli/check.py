"""`nexusflow check FILE`: describes each route, and reports mistakes with their place."""

import argparse
import os
import sys
from collections.abc import Callable, Sequence

from msgspec.structs import asdict

from nexusflow_asgi.credentials import missing_extras, with_found_keys
from nexusflow_asgi.durable_log import check_log
from nexusflow_asgi.settings import check_files, price_book, read_config, read_secret_files, resolve_ledger
from nexusflow_asgi.stores.opening import check_library
from nexusflow_asgi.transports import Proxies, describe_transport
from nexusflow_core.config import Config, decode_config
from nexusflow_core.dialects import DIALECTS
from nexusflow_core.errors import CombinedConfigError, ConfigError
from nexusflow_core.routing import ModelRoute, Retry, Router, Target, TargetOptions
from nexusflow_core.toml import Places, printable
from nexusflow_core.upstream import Upstream

__all__ = ["add_arguments", "run"]

_FINDERS = {"aws": "botocore", "google": "google-auth", "azure": "azure-identity"}

_TABLES = ("auth", "routes")
"""Tables that a file may omit. Their errors then have no line."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of `nexusflow check`."""
    parser.add_argument("file", help="a nexusflow.toml; - reads it from standard input")
    parser.add_argument(
        "--embedded",
        action="store_true",
        help="for an app with its own authenticate function: [auth] may be missing",
    )


def run(arguments: argparse.Namespace) -> int:
    """Prints the routes and complaints. Returns 0, or 1 with complaints, or 2 if a named file is unusable."""
    data = sys.stdin.buffer.read() if arguments.file == "-" else read_config(arguments.file)
    source = "-" if arguments.file == "-" else printable(arguments.file)
    config = with_found_keys(decode_config(data, source), os.environ)
    broken = [*_errors(lambda: check_files(config)), *_errors(lambda: price_book(config))]
    complaints = [
        *missing_extras(config),
        *_missing_secrets(config),
        *_unreachable(config),
        *_unwritable(config),
        *_unopened_ledger(config),
    ]
    complaints += _errors(lambda: Proxies.of_environment().check(config.upstreams.values()))
    if not (arguments.embedded or config.keys or config.anonymous or config.ledger):
        why = (
            "no keys, no ledger and no anonymous = true: starts only with an authenticate function (--embedded)"
        )
        complaints.append(ConfigError("auth", why))
    if not broken:
        for line in _description(config.without_missing(), embedded=arguments.embedded):
            print(printable(line))
    if not broken:
        for warning in [*_without_tools(config), *_without_fallback(config)]:
            print(f"warning: {printable(warning)}", file=sys.stderr)
    places = Places(data.decode(errors="replace").replace("\r\n", "\n"))
    for error in broken:
        print(f"nexusflow: {_with_place(error, source, places)}", file=sys.stderr)
    for error in complaints:
        print(f"wrong: {_with_place(error, source, places)}", file=sys.stderr)
    return 2 if broken else 1 if complaints else 0


def _errors(check: Callable[[], object]) -> Sequence[ConfigError]:
    """Returns the errors that a check raises."""
    try:
        check()
    except CombinedConfigError as errors:
        return errors.errors
    except ConfigError as error:
        return [error]
    return []


def _with_place(error: ConfigError, source: str, places: Places) -> str:
    line = places.line(error.path)
    place = f"{source}:{line}: " if line else f"{source}: " if error.path in _TABLES else ""
    return printable(f"{place}{error}")


def _description(config: Config, *, embedded: bool) -> list[str]:
    lines = [_route(route) for route in config.routes]
    lines += [f"left out: upstream {name}, {variable} is not set" for name, variable in config.left_out.items()]
    if embedded:
        lines.append("callers: known to the host's authenticate function")
    elif config.keys or config.ledger:
        named = [f"the key in {key.name}" for key in config.keys]
        lines.append("callers: " + ", ".join([*named, *(["keys in the database"] if config.ledger else [])]))
    elif config.anonymous:
        lines.append("callers: anyone (anonymous = true)")
    lines.append(f"call log: {config.call_log or 'none'}")
    lines.append(f"transport: {describe_transport('auto')}")
    return lines


def _target(target: Target) -> str:
    upstream = target.upstream
    key = "no key" if upstream.auth == "none" else "the client's own key"
    if upstream.fetched is not None:
        key = f"a credential that {_FINDERS[upstream.fetched.source]} finds"
    elif upstream.signing is not None:
        key = f"signed with {upstream.signing.key_id.name} for {upstream.signing.service}"
    if upstream.api_key is not None:
        key = f"key from {upstream.api_key.name}"
    model = f" as {target.model}" if target.model else ""
    facts = [upstream.dialect, *_door(upstream), upstream.base_url, key, *_changed(target.options)]
    facts += ["strict"] if target.strict else []
    return f"{upstream.name}{model} ({', '.join(facts)})"


def _door(upstream: Upstream) -> list[str]:
    """Returns the cloud that serves Claude, and what differs from its defaults."""
    if upstream.door is None:
        return []
    return [f"door {upstream.door}", *(["betas = pass"] if upstream.betas == "pass" else [])]


def _route(route: ModelRoute) -> str:
    """Returns a line with the route's targets and its other settings."""
    settings = _changed(route.retry)
    settings += [f"thinking = {route.thinking}"] if route.thinking != "keep" else []
    settings += [f"shown as {route.display_name!r}"] if route.display_name else []
    targets = ", then ".join(map(_target, route.targets)) or "nowhere, its upstreams are left out"
    return f"{route.model} -> {targets}" + (f"; {', '.join(settings)}" if settings else "")


def _changed(settings: TargetOptions | Retry) -> list[str]:
    """Returns the settings that differ from the default."""
    default = asdict(type(settings)())
    return [f"{name} = {value}" for name, value in asdict(settings).items() if value != default[name]]


def _missing_secrets(config: Config) -> Sequence[ConfigError]:
    return _errors(lambda: config.resolve({**os.environ, **read_secret_files(config)}))


def _unreachable(config: Config) -> list[ConfigError]:
    used = {target.upstream.name for route in config.routes for target in route.targets}
    unused = [name for name in config.upstreams if name not in used]
    complaints = [ConfigError(f"upstreams.{name}", "no route uses this upstream") for name in unused]
    if not config.routes:
        complaints.append(ConfigError("routes", "no route exists, so every model is unknown"))
    for index, route in enumerate(config.routes):
        # A star also matches a star: a pattern that matches another pattern's text covers all its models.
        earlier = (other for other in config.routes[:index] if not other.exact)
        taken_by = next((other for other in earlier if Router([other]).serves(route.model)), None)
        if taken_by is not None and not route.exact:
            why = f"is never used: the earlier route {taken_by.model!r} matches all of its models"
            complaints.append(ConfigError(f"routes[{index}]", why))
    return complaints


def _without_tools(config: Config) -> list[str]:
    """Returns a warning for each target whose model supports tools only in part."""
    warnings: list[str] = []
    for index, route in enumerate(config.routes):
        for number, target in enumerate(route.targets):
            model = target.model or (route.model if route.exact else "")
            why = DIALECTS[target.upstream.dialect].tools_limit(target.upstream, model)
            if why is not None:
                warnings.append(f"routes[{index}].targets[{number}]: {why}")
    return warnings


def _without_fallback(config: Config) -> list[str]:
    """Returns a warning for each route whose attempts end before its last target."""
    return [
        f"routes[{index}].retry: {route.retry.attempts} attempts for {len(route.targets)} targets:"
        " the last ones are never tried"
        for index, route in enumerate(config.routes)
        if route.retry.attempts is not None and route.retry.attempts < len(route.targets)
    ]


def _unopened_ledger(config: Config) -> Sequence[ConfigError]:
    """Returns the error of a database whose library is not installed. A missing variable is told elsewhere."""
    if config.ledger is None:
        return []
    try:
        url = resolve_ledger(config, os.environ)
    except ConfigError:
        return []
    return _errors(lambda: check_library(url))


def _unwritable(config: Config) -> Sequence[ConfigError]:
    """Returns the errors that would keep a gateway with this call log from starting."""
    return _errors(lambda: check_log(config))
