"""Gateway keys: how they are made and recognised, and what is kept of one.

A key reads `nxf-ID-SECRET`. The id is public: it names the key in lists. The secret ends in a checksum, so a
mistyped key is refused without asking a store. Only a SHA-256 of the whole key is kept. The secret has 192
random bits, so it needs no slow hash.
"""

import base64
import hmac
import re
import zlib
from collections.abc import Iterable, Mapping
from hashlib import sha256

from msgspec import Struct

from nexusflow_core.budgets import Cap
from nexusflow_core.call import Principal
from nexusflow_core.routing import allows

__all__ = ["RANDOM_BYTES", "Key", "NewKey", "covers", "key_id", "new_key_text", "scope_of_key"]

_ID_BYTES = 5
RANDOM_BYTES = _ID_BYTES + 24
"""Random bytes that a new key takes."""

_FORM = re.compile(rb"nxf-([a-z2-7]{8})-([A-Za-z0-9_-]{32}[0-9a-f]{8})")


class Key(Struct, frozen=True, kw_only=True):
    """What is kept of a key. Times are seconds since 1970. Empty `models` allows every model.

    - `hash`: SHA-256 of the whole key, in hex.
    - `models`: names and patterns in which `*` stands for any characters.
    - `scopes`, `metadata`: those of its caller. `caps`: limits of this key, in addition to those of its scopes.
    - `account`: the id that it counts for: its own, or that of the first key of its rotations.
    - `parent`: the id of the key that it was minted from. It ends with its parent.
    - `replaced_by`: the id of the key that a rotation made.
    """

    id: str
    hash: str
    name: str
    account: str
    created_at: int
    expires_at: int | None = None
    revoked_at: int | None = None
    models: tuple[str, ...] = ()
    scopes: tuple[str, ...] = ()
    caps: tuple[Cap, ...] = ()
    metadata: Mapping[str, str] = {}
    parent: str | None = None
    replaced_by: str | None = None

    def matches(self, text: bytes) -> bool:
        """True if `text` is this key. Compares in constant time."""
        return hmac.compare_digest(self.hash.encode(), _hash(text).encode())

    def state(self, now: int) -> str:
        """Returns `active`, `expired` or `revoked`."""
        if self.revoked_at is not None and self.revoked_at <= now:
            return "revoked"
        return "expired" if self.expires_at is not None and self.expires_at <= now else "active"

    def principal(self, ancestors: Iterable["Key"] = ()) -> Principal:
        """Returns the caller. Its calls count for this key, and for the keys that it was minted from."""
        family = (self, *ancestors)
        return Principal(
            self.name,
            metadata=self.metadata,
            scopes=(*(scope_of_key(key.account) for key in family), *self.scopes),
            models=self.models,
            caps=tuple(cap for key in family for cap in key.caps),
        )

    def __repr__(self) -> str:
        return f"Key({self.id!r}, {self.name!r})"


class NewKey(Struct, frozen=True):
    """A key just made: what is kept of it, and the only copy of its text. `repr` does not show the text."""

    key: Key
    text: str

    def __repr__(self) -> str:
        return f"NewKey({self.key!r}, ***)"


def new_key_text(random: bytes) -> tuple[str, str, str]:
    """Returns id, text and hash of a new key, made of RANDOM_BYTES random bytes."""
    if len(random) != RANDOM_BYTES:
        raise ValueError(f"a key takes {RANDOM_BYTES} random bytes")
    id = base64.b32encode(random[:_ID_BYTES]).decode().lower()
    body = f"nxf-{id}-{base64.urlsafe_b64encode(random[_ID_BYTES:]).decode()}"
    text = f"{body}{zlib.crc32(body.encode()):08x}"
    return id, text, _hash(text.encode())


def key_id(text: bytes) -> str | None:
    """Returns the id in a well-formed key; None for any other text."""
    found = _FORM.fullmatch(text)
    if found is None or b"%08x" % zlib.crc32(text[:-8]) != text[-8:]:
        return None
    return found[1].decode()


def scope_of_key(id: str) -> str:
    """Returns the scope that counts the calls of one key."""
    return f"key:{id}"


def covers(models: Iterable[str], narrower: Iterable[str]) -> bool:
    """True if every model of the second list is allowed by the first one. An empty list allows all."""
    allowed, asked = tuple(models), tuple(narrower)
    return not allowed or (bool(asked) and all(allows(allowed, pattern) for pattern in asked))


def _hash(text: bytes) -> str:
    return sha256(text).hexdigest()
