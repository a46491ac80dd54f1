"""The configuration: its types, and how they are read from a nexusflow.toml."""

from nexusflow_core.config.config import CacheSettings, Config, BudgetSettings, Limits
from nexusflow_core.config.decoding import decode_config

__all__ = ["CacheSettings", "Config", "BudgetSettings", "Limits", "decode_config"]
