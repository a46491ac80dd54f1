"""Configuration from where a process finds it: a file, and the environment."""

import os
from collections.abc import Mapping
from pathlib import Path

from nexusflow_core.config import Config, decode_config
from nexusflow_core.errors import ConfigError

__all__ = ["ANTHROPIC_ONLY", "OFFLINE", "check_files", "load_config", "resolve_secrets"]

ANTHROPIC_ONLY = b"""
[upstreams.anthropic]
dialect = "anthropic"
api_key = "env:ANTHROPIC_API_KEY"

[[routes]]
model = "claude-*"
targets = ["anthropic"]

[auth]
keys = ["env:NEXUSFLOW_KEY"]
"""
"""What `nexusflow serve` serves without a file."""

OFFLINE = b"""
[upstreams.simulator]
dialect = "anthropic"
api_key = "env:ANTHROPIC_API_KEY"

[[routes]]
model = "claude-*"
targets = ["simulator"]

[auth]
anonymous = true
"""
"""What `nexusflow serve --offline` serves without a file."""


def load_config(path: str | os.PathLike[str]) -> Config:
    """A Config from a file; its secrets are still names. Raises ConfigError."""
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise ConfigError("", f"{os.fspath(path)} cannot be read: {error.strerror}") from None
    return decode_config(data)


def check_files(config: Config) -> None:
    """Raises ConfigError for a file that the configuration names and that cannot be read."""
    for name, upstream in config.upstreams.items():
        if upstream.ca_file is not None and not os.access(upstream.ca_file, os.R_OK):
            raise ConfigError(f"upstreams.{name}.ca_file", f"{upstream.ca_file} cannot be read")


def resolve_secrets(config: Config, environ: Mapping[str, str], *, offline: bool = False) -> None:
    """Reads the secrets from the environment. Offline no upstream needs one, so a placeholder will do."""
    if offline:
        names = [upstream.api_key.name for upstream in config.upstreams.values() if upstream.api_key]
        given = {name: value for name, value in environ.items() if value.strip()}
        environ = {**dict.fromkeys(names, "offline"), **given}
    config.resolve(environ)
