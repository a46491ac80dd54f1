"""The `nexusflow` command."""

import argparse
import importlib.metadata
import sys
from collections.abc import Sequence
from typing import Final

from nexusflow_asgi.cli import check, check_prices, cost, prices, serve
from nexusflow_core.errors import ConfigError

__all__ = ["main", "parser"]


def main(argv: Sequence[str] | None = None) -> int:
    """Runs a command. Exit status: 0 done, 1 found wanting, 2 could not start."""
    arguments = parser().parse_args(argv)
    try:
        status: int = arguments.run(arguments)
    except ConfigError as error:
        for line in str(error).split("\n"):
            print(f"nexusflow: {line}", file=sys.stderr)
        return 2
    return status


def parser() -> argparse.ArgumentParser:
    """The command line, with every subcommand."""
    whole = argparse.ArgumentParser(
        prog="nexusflow", description="Anthropic's Messages API in front of your models."
    )
    version = importlib.metadata.version("nexusflow")
    whole.add_argument("--version", action="version", version=f"nexusflow {version}")
    commands = whole.add_subparsers(title="commands", required=True, metavar="COMMAND")
    for name, (module, about) in _COMMANDS.items():
        command = commands.add_parser(name, help=about)
        module.add_arguments(command)
        command.set_defaults(run=module.run)
    return whole


_COMMANDS: Final = {
    "serve": (serve, "serve the gateway over HTTP"),
    "check": (check, "say what a configuration will do, and what is wrong with it"),
    "cost": (cost, "say what the calls of a log cost"),
    "prices": (prices, "say what a model costs, since when, and who says so"),
    "check-prices": (check_prices, "compare all prices with those of genai-prices"),
}
