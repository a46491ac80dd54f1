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
    "check": "describe a configuration, and report its mistakes",
    "cost": "add up the costs of the calls in a log",
    "reconcile": "compare the costs in a log with the provider's bill",
    "cache": "explain what the prompt cache saved and lost in a log, and what to change",
    "keys": "create, list, rotate, expire and revoke gateway keys in a database",
    "prices": "show a model's prices, their dates and their sources",
    "check-prices": "compare all prices with those of genai-prices",
    "completion": "print a script that completes this command line in your shell",
}
"""Commands and their help texts. Each is a module of this name, with `add_arguments` and `run`."""


def main(argv: Sequence[str] | None = None) -> int:
    """Runs a command. Returns the exit status: 0 success, 1 problems found, 2 could not start."""
    words = sys.argv[1:] if argv is None else argv
    arguments = parser(words[0] if words else "").parse_args(words)
    from nexusflow_core.errors import ConfigError  # imported late: `--version` and `--help` start faster

    try:
        status: int = arguments.run(arguments)
    except ConfigError as error:
        for line in str(error).split("\n"):
            print(f"nexusflow: {line}", file=sys.stderr)
        return 2
    return status


def parser(only: str | None = None) -> argparse.ArgumentParser:
    """Returns the command line parser. With `only`, loads the module of that command alone."""
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
