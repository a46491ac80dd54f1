"""TOML that people write: every mistake at once, each with its line and the name that was probably meant."""

from nexusflow_core.toml.complaints import Complaints, printable
from nexusflow_core.toml.parsing import parse_toml
from nexusflow_core.toml.places import Places
from nexusflow_core.toml.reading import Reader

__all__ = ["Complaints", "Places", "Reader", "parse_toml", "printable"]
