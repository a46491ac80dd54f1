"""Whole gateways side by side in one run: one worker on one core, upstream and load on the other."""

from benchmarks.gateways.comparison import run
from benchmarks.gateways.contenders import SMALL

__all__ = ["SMALL", "run"]
