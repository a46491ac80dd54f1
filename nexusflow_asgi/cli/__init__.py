"""The `nexusflow` command."""

import argparse
import importlib
import importlib.metadata
import sys
from collections.abc import Sequence
from typing import Final

__all__ = ["main", "parser"]


_COMMANDS: Final = {
    "serve": "serve the gateway over HTTP",
    "check": "say what a configuration will do, and what is wrong with it",
    "cost": "say what the calls of a log cost",
    "prices": "say what a model costs, since when, and who says so",
    "check-prices": "compare all prices with those of genai-prices",
}
"""Each with its help text. A command is the module of its name, with `add_arguments` and `run`."""


def main(argv: Sequence[str] | None = None) -> int:
    """Runs a command. Exit status: 0 done, 1 found wanting, 2 could not start."""
    words = sys.argv[1:] if argv is None else argv
    arguments = parser(words[0] if words else "").parse_args(words)
    from nexusflow_core.errors import ConfigError  # behind `--version` and `--help`, which need no gateway

    try:
        status: int = arguments.run(arguments)
    except ConfigError as error:
        for line in str(error).split("\n"):
            print(f"nexusflow: {line}", file=sys.stderr)
        return 2
    return status


def parser(only: str | None = None) -> argparse.ArgumentParser:
    """Returns the command line. With `only`, loads the module of that command alone."""
    whole = argparse.ArgumentParser(
        prog="nexusflow", description="Anthropic's Messages API in front of your models."
    )
    version = importlib.metadata.version("nexusflow")
    whole.add_argument("--version", action="version", version=f"nexusflow {version}")
    commands = whole.add_subparsers(title="commands", required=True, metavar="COMMAND")
    for name, about in _COMMANDS.items():
        command = commands.add_parser(name, help=about)
        if only in (None, name):
            module = importlib.import_module(f"nexusflow_asgi.cli.{name.replace('-', '_')}")
            module.add_arguments(command)
            command.set_defaults(run=module.run)
    return whole
