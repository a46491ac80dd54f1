"""KeyStore: where gateway keys are kept, and the steps of their life: create, mint, rotate, expire, revoke."""

import secrets
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from nexusflow_core.budgets import MAX_SCOPE, MAX_SCOPES, Cap
from nexusflow_core.errors import ConfigError
from nexusflow_core.keys import RANDOM_BYTES, Key, NewKey, covers, new_key_text, scope_of_key

__all__ = [
    "KeyOptions",
    "KeyStore",
    "MemoryKeyStore",
    "columns_of_key",
    "create",
    "key_of_columns",
    "mint",
    "rotate",
]

MAX_PARENTS = 3
"""Bound on the keys above a key. Each is looked up."""

MAX_METADATA = 16
MAX_TEXT = 200
MAX_LISTED = 32
"""Bounds on the members of metadata, on the characters of a name or value, and on models and caps of a key."""


class KeyOptions(Struct, frozen=True, kw_only=True):
    """What a new key may do. `ttl`: seconds until it expires, None for no end. See `Key` for the rest.

    The scope of `caps` is set to the key's own.
    """

    name: str
    ttl: int | None = None
    models: tuple[str, ...] = ()
    scopes: tuple[str, ...] = ()
    caps: tuple[Cap, ...] = ()
    metadata: Mapping[str, str] = {}


class KeyStore(Protocol):
    """Keeps keys by their id. Any exception means that the store could not be asked."""

    async def find(self, id: str) -> Key | None:
        """Returns a key, whatever its state, or None."""
        ...

    async def add(self, key: Key) -> None:
        """Keeps a new key. An id that exists is an error."""
        ...

    async def end(self, id: str, *, expires_at: int | None = None, revoked_at: int | None = None) -> bool:
        """Sets the given times. False if there is no such key."""
        ...

    async def replaced(self, id: str, by: str, *, expires_at: int | None) -> bool:
        """Notes that a key has a successor, and when the old one ends. False if it has one already."""
        ...

    async def list(self, *, after: str = "", limit: int = 1000) -> Sequence[Key]:
        """Returns keys with an id above `after`, in the order of their ids."""
        ...

    async def aclose(self) -> None:
        """Closes what the store has opened itself."""
        ...


class MemoryKeyStore:
    """A KeyStore in memory, for tests and for keys that a host mints for one process."""

    def __init__(self) -> None:
        self._keys: dict[str, Key] = {}

    async def find(self, id: str) -> Key | None:
        return self._keys.get(id)

    async def add(self, key: Key) -> None:
        if key.id in self._keys:
            raise ValueError(f"a key {key.id} exists")
        self._keys[key.id] = key

    async def end(self, id: str, *, expires_at: int | None = None, revoked_at: int | None = None) -> bool:
        key = self._keys.get(id)
        if key is None:
            return False
        times = {"expires_at": expires_at, "revoked_at": revoked_at}
        self._keys[id] = replace(key, **{name: at for name, at in times.items() if at is not None})
        return True

    async def replaced(self, id: str, by: str, *, expires_at: int | None) -> bool:
        key = self._keys.get(id)
        if key is None or key.replaced_by is not None:
            return False
        self._keys[id] = replace(key, replaced_by=by, expires_at=expires_at)
        return True

    async def list(self, *, after: str = "", limit: int = 1000) -> Sequence[Key]:
        return [self._keys[id] for id in sorted(self._keys) if id > after][:limit]

    async def aclose(self) -> None:
        pass


# How databases keep a key

_JSON = {
    "models": tuple[str, ...],
    "scopes": tuple[str, ...],
    "caps": tuple[Cap, ...],
    "metadata": dict[str, str],
}
_DECODERS: dict[str, msgspec.json.Decoder[Any]] = {
    name: msgspec.json.Decoder(type) for name, type in _JSON.items()
}
"""Columns of JSON text: no query looks into them."""


def columns_of_key(key: Key) -> dict[str, Any]:
    """Returns a key as a row of a database."""
    row = msgspec.structs.asdict(key)
    return {**row, **{name: msgspec.json.encode(row[name]).decode() for name in _JSON}}


def key_of_columns(row: Mapping[str, Any]) -> Key:
    """Returns the key in a row of a database."""
    return Key(**{**row, **{name: decoder.decode(row[name]) for name, decoder in _DECODERS.items()}})


async def create(store: KeyStore, options: KeyOptions, *, now: int) -> NewKey:
    """Makes and keeps a key. Its text is in the result, and nowhere else. Raises ConfigError."""
    made = _made(options, now=now)
    await store.add(made.key)
    return made


async def mint(store: KeyStore, parent: str, options: KeyOptions, *, now: int) -> NewKey:
    """Makes a child of the key with the id `parent`: short-lived, and never more than its parent.

    `options.ttl` is needed. The child's calls count for the parent too, so the parent's caps hold for both.
    Without models it has the parent's. It ends with its parent. Raises ConfigError.
    """
    above = await store.find(parent)
    if above is None or above.state(now) != "active":
        raise ConfigError("parent", f"no active key has the id {parent[:40]!r}")
    depth = 1
    over: Key | None = above
    while over is not None and over.parent is not None:
        over, depth = await store.find(over.parent), depth + 1
    if depth > MAX_PARENTS:
        raise ConfigError("parent", f"a key has at most {MAX_PARENTS} keys above it")
    if options.ttl is None:
        raise ConfigError("ttl", "is missing: a child key is short-lived")
    if not covers(above.models, options.models or above.models):
        raise ConfigError("models", f"are more than those of the parent: {', '.join(above.models)}")
    ends = [now + options.ttl, *([above.expires_at] if above.expires_at is not None else [])]
    narrowed = {
        "ttl": min(ends) - now,
        "models": options.models or above.models,
        "scopes": tuple(dict.fromkeys((*above.scopes, *options.scopes))),
        "metadata": {**above.metadata, **options.metadata},
    }
    made = _made(replace(options, **narrowed), now=now, parent=above.id)
    await store.add(made.key)
    return made


async def rotate(store: KeyStore, id: str, *, overlap: int, now: int) -> NewKey:
    """Makes a successor with the same rights, caps and balances, and the lifetime of the old key.

    The old key works for `overlap` more seconds. Raises ConfigError.
    """
    old = await store.find(id)
    if old is None or old.state(now) != "active":
        raise ConfigError("id", f"no active key has the id {id[:40]!r}")
    if old.replaced_by is not None:
        raise ConfigError("id", f"the key {id} has a successor already: {old.replaced_by}")
    ends = old.expires_at
    if ends is not None and old.parent is None:
        ends = now + (ends - old.created_at)
    new_id, text, hashed = new_key_text(secrets.token_bytes(RANDOM_BYTES))
    made = replace(old, id=new_id, hash=hashed, created_at=now, expires_at=ends)
    await store.add(made)
    until = now + overlap if old.expires_at is None else min(old.expires_at, now + overlap)
    if not await store.replaced(id, new_id, expires_at=until):
        await store.end(new_id, revoked_at=now)
        raise ConfigError("id", f"the key {id} was rotated by somebody else at the same time")
    return NewKey(made, text)


def _made(options: KeyOptions, *, now: int, parent: str | None = None) -> NewKey:
    """Returns a new key. Raises ConfigError for options that no key can have."""
    for path, why in _mistakes(options):
        raise ConfigError(path, why)
    id, text, hashed = new_key_text(secrets.token_bytes(RANDOM_BYTES))
    return NewKey(
        Key(
            id=id,
            hash=hashed,
            name=options.name,
            account=id,
            created_at=now,
            expires_at=None if options.ttl is None else now + options.ttl,
            models=options.models,
            scopes=options.scopes,
            caps=tuple(replace(cap, scope=scope_of_key(id)) for cap in options.caps),
            metadata=dict(options.metadata),
            parent=parent,
        ),
        text,
    )


def _mistakes(options: KeyOptions) -> Iterator[tuple[str, str]]:
    """Yields each mistake as the option and the reason."""
    texts = {"name": options.name, **{f"metadata.{name}": value for name, value in options.metadata.items()}}
    for path, text in [*texts.items(), *((f"metadata.{name}", name) for name in options.metadata)]:
        if not 0 < len(text) <= MAX_TEXT or not text.isprintable():
            yield path, f"must be 1 to {MAX_TEXT} printable characters"
    if len(options.metadata) > MAX_METADATA:
        yield "metadata", f"has at most {MAX_METADATA} members"
    if options.ttl is not None and options.ttl < 1:
        yield "ttl", "must be at least one second"
    if len(options.models) > MAX_LISTED or any(not 0 < len(name) <= MAX_TEXT for name in options.models):
        yield "models", f"are at most {MAX_LISTED} names or patterns of 1 to {MAX_TEXT} characters"
    if len(options.caps) > MAX_LISTED:
        yield "caps", f"are at most {MAX_LISTED}"
    if (
        len(options.scopes) > MAX_SCOPES - MAX_PARENTS - 2
    ):  # its own, its name's, and those of its parents follow
        yield "scopes", f"are at most {MAX_SCOPES - MAX_PARENTS - 2}"
    for scope in options.scopes:
        if not 0 < len(scope) <= MAX_SCOPE or not scope.isprintable() or scope.startswith("key:"):
            yield "scopes", f"are 1 to {MAX_SCOPE} printable characters, and do not begin with 'key:'"
