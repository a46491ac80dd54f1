"""Explains a vendor's prompt cache: what it read and wrote, why it missed, and what would cost less.

Lowest module first: `rules`; `prompt`, a request as the cache sees it; `counters`, the sizes of prefixes;
`simulator`, which predicts reads and writes; `misses` and `explain`, the reasons; `policies` for breakpoints.
For a whole log: `conversations`, `ledger` (sums), `what_if` (other lifetimes) and `advice`.
"""

from nexusflow_core.caching.advice import Advice, Gaps, advise, gaps_of, outcomes
from nexusflow_core.caching.conversations import Conversation, Conversations, Turn
from nexusflow_core.caching.counters import Counter, RatioCounter, RecordedCounter, Share
from nexusflow_core.caching.explain import Difference, explain
from nexusflow_core.caching.ledger import Costly, Ledger, Sums
from nexusflow_core.caching.lifetimes import BreakEven, Pings, break_even, cost_per_request, pings
from nexusflow_core.caching.misses import Miss, Reason
from nexusflow_core.caching.policies import Outcome, Policy, Sent, marked, replay
from nexusflow_core.caching.prediction import Hit, Prediction
from nexusflow_core.caching.prompt import Breakpoint, Prompt
from nexusflow_core.caching.readers import read_prompt
from nexusflow_core.caching.rules import ANTHROPIC, OPENAI, RULES, Invalidation, Level, Rules, rules_for
from nexusflow_core.caching.simulator import CacheSimulator
from nexusflow_core.caching.tokens import Counted, Tokens
from nexusflow_core.caching.what_if import Lifetime, WhatIf, what_if

__all__ = [
    "ANTHROPIC",
    "OPENAI",
    "RULES",
    "Advice",
    "BreakEven",
    "Breakpoint",
    "CacheSimulator",
    "Conversation",
    "Conversations",
    "Costly",
    "Counted",
    "Counter",
    "Difference",
    "Gaps",
    "Hit",
    "Invalidation",
    "Ledger",
    "Level",
    "Lifetime",
    "Miss",
    "Outcome",
    "Pings",
    "Policy",
    "Prediction",
    "Prompt",
    "RatioCounter",
    "Reason",
    "RecordedCounter",
    "Rules",
    "Sent",
    "Share",
    "Sums",
    "Tokens",
    "Turn",
    "WhatIf",
    "advise",
    "break_even",
    "cost_per_request",
    "explain",
    "gaps_of",
    "marked",
    "outcomes",
    "pings",
    "read_prompt",
    "replay",
    "rules_for",
    "what_if",
]
