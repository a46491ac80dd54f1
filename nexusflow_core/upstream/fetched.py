"""Credentials that are fetched while the gateway runs, because they expire."""

from collections import deque
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Final, Literal, TypeAlias

from msgspec import Struct

from nexusflow_core.upstream.headers import Headers
from nexusflow_core.upstream.sigv4 import AwsKeys

__all__ = ["CredentialSource", "Fetched", "FetchedCredential", "fresh_for"]

CredentialSource: TypeAlias = Literal["aws", "google", "azure", "host"]
"""Where a credential comes from: a cloud's library, or the host's own function."""

_REMEMBERED: Final = 8
"""Credentials of an upstream whose secrets stay masked. A call may outlast the one it was sent with."""

_MARGIN: Final = 120.0
"""Seconds before its end in which a credential is no longer used, or a tenth of a shorter life."""


class FetchedCredential(Struct, frozen=True):
    """Headers of each request, or AWS's keys to sign it. `repr` shows neither.

    `expires_at` is UTC. None: it serves one attempt, and is fetched again for the next.
    """

    headers: Headers = ()
    keys: AwsKeys | None = None
    expires_at: datetime | None = None

    def secrets(self) -> Iterator[str]:
        """Yields the values that no text may show. Of `Bearer TOKEN` that is the token."""
        for _, value in self.headers:
            scheme, _, token = value.decode("latin-1").partition(" ")
            if secret := token if scheme.lower() == "bearer" else value.decode("latin-1"):
                yield secret
        if self.keys is not None:
            yield from (part for part in (self.keys.key_id, self.keys.secret, self.keys.token) if part)

    def __repr__(self) -> str:
        return "FetchedCredential(***)"


class Fetched:
    """Marks an upstream whose credential is fetched, and holds the secrets of the last ones."""

    __slots__ = ("_lately", "source")

    def __init__(self, source: CredentialSource) -> None:
        self.source: CredentialSource = source
        self._lately: deque[Sequence[str]] = deque(maxlen=_REMEMBERED)

    def note(self, credential: FetchedCredential) -> None:
        """Remembers the secrets of a new credential."""
        self._lately.append(tuple(credential.secrets()))

    def secrets(self) -> Iterator[str]:
        """Yields the remembered secrets."""
        for secrets in tuple(self._lately):
            yield from secrets

    def __repr__(self) -> str:
        return f"Fetched({self.source!r})"

    def __reduce__(self) -> tuple[type["Fetched"], tuple[CredentialSource]]:
        return Fetched, (self.source,)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Fetched) and self.source == other.source

    def __hash__(self) -> int:
        return hash(self.source)


def fresh_for(credential: FetchedCredential, at: datetime) -> float:
    """Returns for how many seconds from `at` the credential may be used. 0: it must be fetched again."""
    if credential.expires_at is None:
        return 0.0
    life = (credential.expires_at - at).total_seconds()
    return max(0.0, life - min(_MARGIN, life / 10))
