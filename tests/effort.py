"""How much work something is, in CPU seconds, and how that grows with a size.

The collector of garbage is off meanwhile: a whole collection goes through everything that the other tests
left, which takes longer than the work itself, and falls on whoever allocates next."""

import gc
import time
from collections.abc import Callable
from typing import Any

Work = Callable[[], Any]


def cpu_seconds(work: Work) -> float:
    gc.collect(0)
    was_on = gc.isenabled()
    gc.disable()
    try:
        before = time.process_time()
        work()
        return time.process_time() - before
    finally:
        if was_on:
            gc.enable()


def takes_time_by_size(small: Work, large: Work) -> None:
    """Fails for more than twice the time that four times the size should take, in each of many rounds.
    What is quadratic takes sixteen times as long in all of them; a busy machine has a calm one soon."""
    small()
    ratios: list[float] = []
    for _ in range(20):
        ratios.append(cpu_seconds(large) / max(min(cpu_seconds(small) for _ in range(2)), 1e-4))
        if ratios[-1] < 8:
            return
    raise AssertionError(f"four times the size took {min(ratios):.1f} times as long, in the best of {ratios}")
