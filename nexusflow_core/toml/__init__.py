"""TOML written by people: all mistakes at once, each with its line and the likely meant name."""

from nexusflow_core.toml.complaints import Complaints, printable
from nexusflow_core.toml.places import Places
from nexusflow_core.toml.reading import Reader, parse_toml

__all__ = ["Complaints", "Places", "Reader", "parse_toml", "printable"]
