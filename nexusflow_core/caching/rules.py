"""Rules of a vendor's prompt cache, as data: lifetimes, limits, and the effect of a changed parameter.

The fewest tokens that a model caches come from the price book, by day.
"""

from collections.abc import Mapping
from datetime import date, datetime
from enum import IntEnum
from typing import Final, Literal, TypeAlias

from msgspec import Struct

from nexusflow_core.errors import UnknownModelError
from nexusflow_core.prices import ModelPrices, PriceBook

__all__ = [
    "ANTHROPIC",
    "OPENAI",
    "RULES",
    "Invalidation",
    "Level",
    "Minimums",
    "Rules",
    "Wire",
    "rules_for",
    "rules_of",
]

_MAX_REMEMBERED = 1024

Wire: TypeAlias = Literal["anthropic", "openai-responses"]
"""The form of a request."""


class Level(IntEnum):
    """The parts of a prompt, in the order of the prefix. A change invalidates its level and all later ones."""

    TOOLS = 0
    SYSTEM = 1
    MESSAGES = 2


class Invalidation(Struct, frozen=True):
    """A parameter of the request, and the first level that a change of it invalidates."""

    parameter: str
    level: Level


class Rules(Struct, frozen=True, kw_only=True):
    """One vendor's rules from the day `since`. Lifetimes are in seconds, by name, the shortest first.

    `lookback`: positions at which a breakpoint looks for an entry, its own included. A run of neighbouring
    blocks of one kind in `runs` is one position. `minimum`: tokens, for models without one in the price book.
    """

    wire: Wire
    vendor: str
    since: date
    lifetimes: Mapping[str, int]
    breakpoints: int
    lookback: int
    minimum: int
    runs: tuple[str, ...]
    unmarkable: frozenset[str]
    invalidations: tuple[Invalidation, ...]
    longest_first: bool
    """A breakpoint of a longer lifetime must come before those of a shorter one."""
    latest_only: bool
    """Of more than `breakpoints`, only the latest count. False: such a request is refused."""
    implicit: bool
    """Without breakpoints, the end of the request is one."""
    billed_writes: bool
    """Only models whose writes have a price follow these rules."""
    source: str

    @property
    def short(self) -> str:
        """The name of the shortest lifetime, the default of a breakpoint."""
        return next(iter(self.lifetimes))

    @property
    def long(self) -> str:
        return list(self.lifetimes)[-1]


ANTHROPIC: Final = Rules(
    wire="anthropic",
    vendor="anthropic",
    since=date(2024, 8, 14),
    lifetimes={"5m": 300, "1h": 3600},
    breakpoints=4,
    lookback=20,
    minimum=1024,
    runs=("tool_use", "tool_result"),
    unmarkable=frozenset({"thinking", "redacted_thinking"}),
    invalidations=(
        Invalidation("model", Level.TOOLS),
        Invalidation("web_search", Level.SYSTEM),
        Invalidation("citations", Level.SYSTEM),
        Invalidation("speed", Level.SYSTEM),
        Invalidation("tool_choice", Level.MESSAGES),
        Invalidation("disable_parallel_tool_use", Level.MESSAGES),
        Invalidation("images", Level.MESSAGES),
        Invalidation("thinking", Level.MESSAGES),
        Invalidation("effort", Level.MESSAGES),
    ),
    longest_first=True,
    latest_only=False,
    implicit=False,
    billed_writes=False,
    source="https://platform.claude.com/docs/en/build-with-claude/prompt-caching",
)

OPENAI: Final = Rules(
    wire="openai-responses",
    vendor="openai",
    since=date(2026, 6, 1),
    lifetimes={"30m": 1800, "12h": 43200},
    breakpoints=4,
    lookback=80,
    minimum=1024,
    runs=(),
    unmarkable=frozenset({"reasoning", "function_call", "output_text", "refusal"}),
    invalidations=(
        Invalidation("model", Level.TOOLS),
        Invalidation("prompt_cache_key", Level.TOOLS),
        Invalidation("effort", Level.TOOLS),
        Invalidation("thinking", Level.TOOLS),
        Invalidation("verbosity", Level.TOOLS),
        Invalidation("format", Level.TOOLS),
        Invalidation("service_tier", Level.TOOLS),
    ),
    longest_first=False,
    latest_only=True,
    implicit=True,
    billed_writes=True,
    source="https://platform.openai.com/docs/guides/prompt-caching",
)
"""From gpt-5.6 on: writes cost 1.25 times the input, for 30 minutes or 12 hours.

`thinking` is a parameter of the Messages API. Translation makes an effort of it.
"""

RULES: Final[tuple[Rules, ...]] = (ANTHROPIC, OPENAI)
"""All rules. If a vendor changes its rules, add new ones with their day."""


def rules_for(vendor: str, at: date) -> Rules:
    """Returns the rules of a vendor on a day (UTC). For a day before all rules these are the first ones.

    Raises KeyError for a vendor without rules.
    """
    own = sorted((rules for rules in RULES if rules.vendor == vendor), key=lambda rules: rules.since)
    if not own:
        known = ", ".join(sorted({rules.vendor for rules in RULES}))
        raise KeyError(f"no cache rules of {vendor!r} are known; there are those of {known}")
    return next((rules for rules in reversed(own) if rules.since <= at), own[0])


def rules_of(model: ModelPrices) -> Rules | None:
    """Returns the rules of a model's cache; None if none are known."""
    rules = next((rules for rules in reversed(RULES) if rules.vendor == model.vendor), None)
    if rules is None or not rules.billed_writes:
        return rules
    return rules if any(tier.cache_write_5m for tier in model.row.tiers()) else None


class Minimums:
    """Finds models and their minimums in the price book, and remembers the rows."""

    def __init__(self, rules: Rules, book: PriceBook) -> None:
        self._rules, self._book = rules, book
        self._rows: dict[str, ModelPrices | None] = {}

    def model(self, name: str) -> str:
        """Returns the id of a model's price row, so that alias and dated id count as one; else the name."""
        row = self._row(name)
        return name if row is None else row.row.id

    def tokens(self, name: str, at: datetime) -> int:
        """Returns the minimum at a moment, in tokens: from the price book, else from the rules."""
        row = self._row(name)
        found = None if row is None else row.row.min_cacheable(at.date())
        return self._rules.minimum if found is None else found

    def _row(self, name: str) -> ModelPrices | None:
        if name not in self._rows:
            if len(self._rows) >= _MAX_REMEMBERED:
                self._rows.clear()
            try:
                self._rows[name] = self._book.find(name)
            except UnknownModelError:
                self._rows[name] = None
        return self._rows[name]
