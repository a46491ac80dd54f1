"""Rules of a vendor's prompt cache, as data: lifetimes, limits, and what a change of the request loses."""

from collections.abc import Mapping
from datetime import date
from enum import IntEnum
from typing import Final, Literal, TypeAlias

from msgspec import Struct

__all__ = ["ANTHROPIC", "OPENAI", "RULES", "Invalidation", "Level", "Rules", "Wire", "rules_for"]

Wire: TypeAlias = Literal["anthropic", "openai-responses"]
"""Whose form a request has."""


class Level(IntEnum):
    """The parts of a prompt, in the order of the prefix. A change loses its own level and all above."""

    TOOLS = 0
    SYSTEM = 1
    MESSAGES = 2


class Invalidation(Struct, frozen=True):
    """A parameter of the request, and the lowest level that a change of it loses."""

    parameter: str
    level: Level


class Rules(Struct, frozen=True, kw_only=True):
    """One vendor's rules from the day `since`. Lifetimes are seconds by their name, the shortest first.

    `lookback` counts positions, the breakpoint's own included; a run of one of `runs` is one position.
    `minimum` holds for a model of which the price book knows no other.
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
    """Beyond `breakpoints` the latest ones count; where False, such a request is refused."""
    source: str

    @property
    def short(self) -> str:
        """The lifetime of a breakpoint that names none."""
        return next(iter(self.lifetimes))

    @property
    def long(self) -> str:
        return list(self.lifetimes)[-1]

    def level_of(self, parameter: str) -> Level:
        """Returns the lowest level that a change of this parameter loses. Raises KeyError for another one."""
        for row in self.invalidations:
            if row.parameter == parameter:
                return row.level
        raise KeyError(f"{parameter!r} is no parameter that the cache goes by")


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
        Invalidation("verbosity", Level.TOOLS),
        Invalidation("format", Level.TOOLS),
        Invalidation("service_tier", Level.TOOLS),
    ),
    longest_first=False,
    latest_only=True,
    source="https://platform.openai.com/docs/guides/prompt-caching",
)
"""From gpt-5.6 on: writes cost 1.25 times the input, for 30 minutes or 12 hours."""

RULES: Final[tuple[Rules, ...]] = (ANTHROPIC, OPENAI)
"""Every rule set. A change of a vendor's rules is a new one, with its day."""


def rules_for(vendor: str, at: date) -> Rules:
    """Returns the rules of a vendor on a day (UTC), its first ones for an earlier day.

    Raises KeyError for a vendor without rules.
    """
    own = sorted((rules for rules in RULES if rules.vendor == vendor), key=lambda rules: rules.since)
    if not own:
        known = ", ".join(sorted({rules.vendor for rules in RULES}))
        raise KeyError(f"no cache rules of {vendor!r} are known; there are those of {known}")
    return next((rules for rules in reversed(own) if rules.since <= at), own[0])
