"""Time: linear in the blocks of a request, and 10,000 requests of 200 blocks in less than 10 seconds of CPU."""

from __future__ import annotations

import time
from typing import Any

from nexusflow_core.caching import CacheSimulator
from tests.core.caching.asking import after, request, text, tool, user


def conversation(blocks: int) -> dict[str, Any]:
    """Twenty tools, a system prompt, and short turns; breakpoints on the system prompt and the last block."""
    tools = [{**tool(f"t{number}"), "description": "does it"} for number in range(20)]
    turns = [
        user({"type": "text", "text": f"turn {number}: " + "words " * 12}) for number in range(blocks - 21)
    ]
    turns[-1]["content"][0]["cache_control"] = {"type": "ephemeral"}
    return request(*turns, tools=tools, system=[text("s", 1500, "5m")])


def seconds(blocks: int, requests: int, rounds: int = 3) -> float:
    """CPU seconds of so many requests, in the best of some rounds: others may share the machine."""
    asked, best = conversation(blocks), float("inf")
    for _ in range(rounds):
        cache, begun = CacheSimulator(), time.process_time()
        for number in range(requests):
            cache.step(asked if number % 3 else {**asked, "system": f"x{number}"}, at=after(number))
        best = min(best, time.process_time() - begun)
    return best


def test_two_hundred_blocks_take_less_than_a_millisecond() -> None:
    """CPU time, of hits and of misses that have to be explained."""
    assert seconds(200, 300) < 0.3


def test_time_is_linear_in_the_blocks() -> None:
    """Ten times the blocks take at most fourteen times as long."""
    assert seconds(4000, 10) < 14 * seconds(400, 10)
