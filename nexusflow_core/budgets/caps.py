"""Cap: a limit on what a scope may use in a window."""

from collections.abc import Sequence
from typing import Literal, TypeAlias

from msgspec import Struct

from nexusflow_core.budgets.amounts import MAX_AMOUNT, Unit, nano_usd
from nexusflow_core.budgets.windows import CALENDAR, Meter, Period
from nexusflow_core.errors import ConfigError

__all__ = ["MAX_SCOPE", "MAX_SCOPES", "TOKEN_KINDS", "Cap", "Scope", "TokenKind", "wrong_scopes"]

Scope: TypeAlias = str
"""Whom a call counts for, such as `user:u1`, `team:red` or `plan:pro`. Authentication names them."""

MAX_SCOPE = 100
"""Bound on the characters of a scope: it is part of a key in the database."""

MAX_SCOPES = 16
"""Bound on the scopes of a caller: each may be a row to lock."""

TokenKind: TypeAlias = Literal["input", "cache_read", "cache_write", "output"]
TOKEN_KINDS: tuple[TokenKind, ...] = ("input", "cache_read", "cache_write", "output")

_LONGEST = 366 * 86400


def wrong_scopes(scopes: Sequence[Scope]) -> str | None:
    """Returns why a caller cannot have these scopes, or None."""
    if len(scopes) > MAX_SCOPES:
        return f"must be at most {MAX_SCOPES} scopes"
    for scope in scopes:
        if not 0 < len(scope) <= MAX_SCOPE or not scope.isprintable():
            return f"{scope[:MAX_SCOPE]!r} must be 1 to {MAX_SCOPE} printable characters"
    return None


class Cap(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A limit on the calls of a scope in a window. Exactly one of `usd`, `requests` and `tokens` is set.

    - `scope`: a scope, or a pattern in which a last `*` matches any characters.
    - `window`: "hour", "day", "week" or "month" in UTC, "session", or seconds from the first call.
    - `usd`: decimal text. `counts`: the kinds of tokens that `tokens` limits.
    - `per`: "each" counts every matching scope alone, "pool" all of them together.
    - `hard`: False lets calls go on; then `thresholds` and `degrade_to` have an effect alone.
    - `thresholds`: percent of the limit at which `on_threshold` is called.
    - `degrade_to`: the model that serves calls above the limit of a soft cap.
    - `unpriced`: "refuse", "free" or "assume RATE" (USD per million tokens) for calls without a known price.

    Raises ConfigError.
    """

    scope: Scope
    window: Period
    usd: str | int | None = None
    requests: int | None = None
    tokens: int | None = None
    counts: tuple[TokenKind, ...] = ("input", "cache_write", "output")
    per: Literal["each", "pool"] = "each"
    hard: bool = True
    thresholds: tuple[int, ...] = ()
    degrade_to: str | None = None
    unpriced: str | None = None

    def __post_init__(self) -> None:
        for path, why in self._mistakes():
            raise ConfigError(path, why)

    @property
    def unit(self) -> Unit:
        """What the cap counts."""
        return "usd" if self.usd is not None else "requests" if self.requests is not None else "tokens"

    @property
    def limit(self) -> int:
        """The limit in the unit's integers; nano-dollars for USD."""
        if self.usd is not None:
            return nano_usd(self.usd)
        return self.requests if self.requests is not None else self.tokens or 0

    @property
    def assumed_rate(self) -> int | None:
        """Nano-dollars per million tokens for a call without a known price; None if none is assumed."""
        text = self.unpriced or ""
        return nano_usd(text.removeprefix("assume ").strip()) if text.startswith("assume ") else None

    @property
    def refuses_unpriced(self) -> bool:
        """True if a call without a known price is refused."""
        return self.unit == "usd" and (self.hard if self.unpriced is None else self.unpriced == "refuse")

    def matches(self, scope: Scope) -> bool:
        """True if the cap counts calls of this scope."""
        if self.scope.endswith("*"):
            return scope.startswith(self.scope[:-1])
        return scope == self.scope

    def meters(self, scopes: tuple[Scope, ...]) -> tuple[Meter, ...]:
        """Returns the meters on which a call of these scopes counts; none if no scope matches."""
        found = [scope for scope in scopes if self.matches(scope)]
        if found and self.per == "pool":
            found = [f"pool:{self.scope}"]
        counts = self.counts if self.unit == "tokens" else ()
        return tuple(Meter(scope, self.unit, self.window, counts) for scope in found)

    def _mistakes(self) -> list[tuple[str, str]]:
        """Returns each mistake as the setting and the reason."""
        wrong: list[tuple[str, str]] = []
        if not 0 < len(self.scope) <= MAX_SCOPE or not self.scope.isprintable() or "*" in self.scope[:-1]:
            wrong.append(("scope", f"is 1 to {MAX_SCOPE} characters; only the last one may be '*'"))
        if isinstance(self.window, int):
            if not 1 <= self.window <= _LONGEST:
                wrong.append(("window", f"is 1 to {_LONGEST} seconds"))
        elif self.window not in (*CALENDAR, "session"):
            wrong.append(("window", f"is one of {', '.join(CALENDAR)}, session, or a number of seconds"))
        given = [name for name in ("usd", "requests", "tokens") if getattr(self, name) is not None]
        if len(given) != 1:
            wrong.append((given[1] if given else "usd", "set exactly one of usd, requests, tokens"))
            return wrong
        wrong += self._wrong_amounts(given[0])
        wrong += self._without_effect()
        return wrong

    def _wrong_amounts(self, unit: str) -> list[tuple[str, str]]:
        wrong: list[tuple[str, str]] = []
        try:
            if not 0 <= self.limit <= MAX_AMOUNT:
                wrong.append((unit, "is from 0 to 9000000 USD, or to 2^53 - 1 requests or tokens"))
        except ValueError as error:
            wrong.append((unit, str(error)))
        if any(not 0 < share <= 100 for share in self.thresholds):
            wrong.append(("thresholds", "are percent of the limit, above 0 and at most 100"))
        if not self.counts or len(set(self.counts)) != len(self.counts):
            wrong.append(("counts", f"names each kind once, of {', '.join(TOKEN_KINDS)}"))
        if self.unpriced is not None and self.unpriced not in ("refuse", "free"):
            try:
                if self.assumed_rate is None:
                    wrong.append(
                        ("unpriced", 'is "refuse", "free", or "assume RATE" in USD per million tokens')
                    )
            except ValueError as error:
                wrong.append(("unpriced", str(error)))
        return wrong

    def _without_effect(self) -> list[tuple[str, str]]:
        wrong: list[tuple[str, str]] = []
        if self.degrade_to is not None and self.hard:
            wrong.append(("degrade_to", "has no effect on a hard cap, which refuses: set hard = false"))
        if self.unpriced is not None and self.unit != "usd":
            wrong.append(("unpriced", "has an effect on a cap in USD alone"))
        if self.counts != ("input", "cache_write", "output") and self.unit != "tokens":
            wrong.append(("counts", "has an effect on a cap in tokens alone"))
        return wrong
