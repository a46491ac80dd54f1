"""`nexusflow completion`: a script that completes the command line."""

import argparse
import sys

__all__ = ["add_arguments", "run"]

_SHELLS = ("bash", "zsh", "tcsh")


def add_arguments(command: argparse.ArgumentParser) -> None:
    """Declares the arguments."""
    command.add_argument("shell", choices=_SHELLS, help="your shell")


def run(arguments: argparse.Namespace) -> int:
    """Prints the script. Returns 2 if shtab, which makes it, is not installed."""
    try:
        import shtab
    except ImportError:
        print("nexusflow completion: needs shtab: pip install 'nexusflow[server]'", file=sys.stderr)
        return 2
    from nexusflow_asgi.cli import parser

    print(shtab.complete(parser(), shell=arguments.shell))
    return 0
