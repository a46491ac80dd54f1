"""The prompt cache explained: its rules as data, what it reads and writes, why it misses, what would be better.

From the ground up: `rules`, `prompt` (a request as the cache sees it), `counters` (sizes of prefixes),
`simulator` (what is read and written), `misses` and `explain` (why not).
"""

from nexusflow_core.caching.counters import Counter, RatioCounter, RecordedCounter
from nexusflow_core.caching.explain import Difference, explain
from nexusflow_core.caching.misses import Miss, Reason
from nexusflow_core.caching.prompt import Mark, Prompt
from nexusflow_core.caching.readers import read_prompt
from nexusflow_core.caching.rules import ANTHROPIC, OPENAI, RULES, Invalidation, Level, Rules, rules_for
from nexusflow_core.caching.simulator import CacheSimulator, Hit, Prediction
from nexusflow_core.caching.tokens import Counted, Tokens

__all__ = [
    "ANTHROPIC",
    "OPENAI",
    "RULES",
    "CacheSimulator",
    "Counted",
    "Counter",
    "Difference",
    "Hit",
    "Invalidation",
    "Level",
    "Mark",
    "Miss",
    "Prediction",
    "Prompt",
    "RatioCounter",
    "Reason",
    "RecordedCounter",
    "Rules",
    "Tokens",
    "explain",
    "read_prompt",
    "rules_for",
]
