"""The configuration: its types, and how they are read from a nexusflow.toml."""

from nexusflow_core.config.config import BudgetSettings, CacheSettings, Config, Limits
from nexusflow_core.config.decoding import decode_config

__all__ = ["BudgetSettings", "CacheSettings", "Config", "Limits", "decode_config"]
