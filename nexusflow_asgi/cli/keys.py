"""`nexusflow keys`: creates, lists, rotates, expires and revokes gateway keys in a database."""

import argparse
import json
import os
import re
import sys
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

import anyio

from nexusflow_asgi.cli.table import printable, table, write
from nexusflow_asgi.settings import load_config, resolve_ledger
from nexusflow_asgi.stores.key_store import KeyOptions, KeyStore, create, mint, rotate
from nexusflow_asgi.stores.opening import check_exists, open_key_store
from nexusflow_core.budgets import Cap
from nexusflow_core.errors import ConfigError
from nexusflow_core.keys import Key, NewKey
from nexusflow_core.untyped import is_list, is_object

__all__ = ["add_arguments", "run"]

_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_CAP = re.compile(r"([0-9.]+)(usd|requests|tokens)/(?:(hour|day|week|month)|([0-9]+)([smhd]))")
_STORE_SECONDS = 30.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the verbs of `nexusflow keys`, and their arguments."""
    verbs = parser.add_subparsers(title="verbs", required=True, metavar="VERB", help="what to do with keys")
    made = _verb(verbs, "create", "make a key, and print it once", _create)
    made.add_argument("name", metavar="NAME", help="who or what the key is for; records name it")
    made.add_argument("--expires", type=_duration, metavar="TIME", help="lifetime, such as 90d or 12h")
    made.add_argument(
        "--model", action="append", default=[], help="an allowed model or pattern; may be repeated"
    )
    made.add_argument("--scope", action="append", default=[], help="a scope, such as team:red; may be repeated")
    made.add_argument(
        "--cap",
        action="append",
        default=[],
        type=_cap,
        help="a limit of this key, such as 20usd/month, 100requests/hour or 1000000tokens/24h; may be repeated",
    )
    made.add_argument(
        "--metadata",
        action="append",
        default=[],
        type=_pair,
        metavar="NAME=VALUE",
        help="such as team=red; goes into its records; may be repeated",
    )
    made.add_argument("--parent", metavar="ID", help="mint a child of this key, within its rights and caps")
    listed = _verb(verbs, "list", "show the keys, without their secrets", _list)
    listed.add_argument("--format", choices=("table", "json"), default="table")
    listed.add_argument("--all", action="store_true", help="also expired and revoked keys")
    rotated = _verb(verbs, "rotate", "make a successor with the same rights, and print it once", _rotate)
    rotated.add_argument("id", metavar="ID", help="the id in `list`")
    rotated.add_argument(
        "--overlap",
        type=_duration,
        default=86400,
        metavar="TIME",
        help="how long the old key works beside it (default: 24h)",
    )
    expired = _verb(verbs, "expire", "set when a key ends", _expire)
    expired.add_argument("id", metavar="ID", help="the id in `list`")
    expired.add_argument("--in", dest="after", type=_duration, default=0, metavar="TIME", help="default: now")
    revoked = _verb(verbs, "revoke", "end a key within five seconds, and the keys minted from it", _revoke)
    revoked.add_argument("id", metavar="ID", help="the id in `list`")


def _verb(verbs: Any, name: str, about: str, act: Any) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = verbs.add_parser(name, help=about)
    parser.add_argument(
        "--config",
        metavar="FILE",
        default="nexusflow.toml",
        help="the file with [ledger] url (default: %(default)s)",
    )
    parser.add_argument("--database", metavar="URL", help="the database itself, such as sqlite:///nexusflow.db")
    parser.set_defaults(act=act)
    return parser


def run(arguments: argparse.Namespace) -> int:
    """Does what the verb says. Returns 0, or 1 for an unknown id. Raises ConfigError."""
    url = arguments.database or resolve_ledger(load_config(arguments.config), os.environ)
    if arguments.act is not _create:
        check_exists(url)
    store = open_key_store(url)
    act: Callable[[KeyStore, argparse.Namespace], Awaitable[int]] = arguments.act

    async def whole() -> int:
        try:
            with anyio.fail_after(_STORE_SECONDS):
                return await act(store, arguments)
        finally:
            await store.aclose()

    try:
        return anyio.run(whole)
    except ConfigError:
        raise
    except Exception as error:  # SQLAlchemy's and the driver's: their text may hold the password
        raise ConfigError("", f"the database cannot be used: {type(error).__name__}") from None


async def _create(store: KeyStore, arguments: argparse.Namespace) -> int:
    options = KeyOptions(
        name=arguments.name,
        ttl=arguments.expires,
        models=tuple(arguments.model),
        scopes=tuple(arguments.scope),
        caps=tuple(arguments.cap),
        metadata=dict(arguments.metadata),
    )
    if arguments.parent is None:
        return _show_once(await create(store, options, now=_now()))
    return _show_once(await mint(store, arguments.parent, options, now=_now()))


async def _rotate(store: KeyStore, arguments: argparse.Namespace) -> int:
    return _show_once(await rotate(store, arguments.id, overlap=arguments.overlap, now=_now()))


async def _expire(store: KeyStore, arguments: argparse.Namespace) -> int:
    return _ended(arguments.id, await store.end(arguments.id, expires_at=_now() + arguments.after))


async def _revoke(store: KeyStore, arguments: argparse.Namespace) -> int:
    return _ended(arguments.id, await store.end(arguments.id, revoked_at=_now()))


async def _list(store: KeyStore, arguments: argparse.Namespace) -> int:
    keys: list[Key] = []
    while page := await store.list(after=keys[-1].id if keys else ""):
        keys += page
    now = _now()
    shown = [key for key in keys if arguments.all or key.state(now) == "active"]
    shown.sort(key=lambda key: (key.name, key.created_at))
    if arguments.format == "json":
        write([json.dumps([_members(key, now) for key in shown], indent=2)])
        return 0
    rows = [[_text(value) for value in _members(key, now).values()] for key in shown]
    headers = "id name state created expires models scopes caps metadata parent".split()
    write(table(headers, rows, left=len(headers)))
    return 0


def _show_once(made: NewKey) -> int:
    """Prints the key alone to stdout, so that a script can take it, and what it is to stderr."""
    ends = "never expires" if made.key.expires_at is None else f"expires {_moment(made.key.expires_at)}"
    print(f"key {made.key.id} for {printable(made.key.name)}: {ends}. It is shown only now:", file=sys.stderr)
    print(made.text)
    return 0


def _ended(id: str, found: bool) -> int:
    if not found:
        print(
            f"nexusflow: no key has the id {printable(id[:40])!r}: see `nexusflow keys list --all`",
            file=sys.stderr,
        )
        return 1
    return 0


def _members(key: Key, now: int) -> dict[str, Any]:
    return {
        "id": key.id,
        "name": key.name,
        "state": key.state(now)
        if key.replaced_by is None
        else f"{key.state(now)}, replaced by {key.replaced_by}",
        "created": _moment(key.created_at),
        "expires": None if key.expires_at is None else _moment(key.expires_at),
        "models": list(key.models),
        "scopes": list(key.scopes),
        "caps": [_cap_text(cap) for cap in key.caps],
        "metadata": dict(key.metadata),
        "parent": key.parent,
    }


def _text(value: Any) -> str:
    if is_object(value):
        value = [f"{name}={text}" for name, text in value.items()]
    return printable(", ".join(map(str, value)) if is_list(value) else str(value or "")) or "-"


def _now() -> int:
    return int(time.time())


def _moment(at: int) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _duration(text: str) -> int:
    found = re.fullmatch(r"([0-9]{1,9})([smhd])", text)
    if found is None:
        raise argparse.ArgumentTypeError(f"{text!r} is not a time such as 90d, 12h, 30m or 45s")
    return int(found[1]) * _SECONDS[found[2]]


def _cap(text: str) -> Cap:
    found = _CAP.fullmatch(text)
    if found is None:
        raise argparse.ArgumentTypeError(
            f"{text!r} is not a cap such as 20usd/month, 100requests/hour or 1000000tokens/24h"
        )
    amount, unit, calendar, number, letter = found.groups()
    window: Any = calendar or int(number) * _SECONDS[letter]
    try:
        limit: Any = amount if unit == "usd" else int(amount)
        return Cap(scope="key:", window=window, **{unit: limit})
    except (ValueError, ConfigError) as error:
        raise argparse.ArgumentTypeError(f"{text!r} is not a cap: {error}") from None


def _cap_text(cap: Cap) -> str:
    """Returns a cap as `--cap` takes it."""
    window: Any = cap.window
    if isinstance(window, int):
        letter = next(letter for letter in "dhms" if window % _SECONDS[letter] == 0)
        window = f"{window // _SECONDS[letter]}{letter}"
    amount = next(amount for amount in (cap.usd, cap.requests, cap.tokens) if amount is not None)
    return f"{amount}{cap.unit}/{window}"


def _pair(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals:
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=VALUE")
    return name, value
