"""Time: linear in the blocks of a request, and little beside reading the request.

10,000 requests of 200 blocks take 6 seconds where reading and writing one as JSON takes 0.27 ms."""

from __future__ import annotations

import json
from typing import Any

from nexusflow_core.caching import CacheSimulator
from tests.core.caching.asking import after, request, text, tool, user
from tests.effort import Work, cpu_seconds


def conversation(blocks: int) -> dict[str, Any]:
    """Twenty tools, a system prompt, and short turns; breakpoints on the system prompt and the last block."""
    tools = [{**tool(f"t{number}"), "description": "does it"} for number in range(20)]
    turns = [
        user({"type": "text", "text": f"turn {number}: " + "words " * 12}) for number in range(blocks - 21)
    ]
    turns[-1]["content"][0]["cache_control"] = {"type": "ephemeral"}
    return request(*turns, tools=tools, system=[text("s", 1500, "5m")])


def asked(blocks: int, requests: int) -> Work:
    """So many requests of a conversation. Every third has another system prompt: a miss to explain."""
    request = conversation(blocks)

    def work() -> None:
        cache = CacheSimulator()
        for number in range(requests):
            cache.step(request if number % 3 else {**request, "system": f"x{number}"}, at=after(number))

    return work


def test_two_hundred_blocks_take_few_times_as_long_as_their_json() -> None:
    """Beside the standard library's reading and writing of the same request; at first 2.2 times."""
    work, request = asked(200, 300), conversation(200)

    def bare() -> None:
        for _ in range(300):
            json.loads(json.dumps(request))

    assert any(cpu_seconds(work) < 4 * cpu_seconds(bare) for _ in range(20))


def test_time_is_linear_in_the_blocks() -> None:
    """Ten times the blocks take at most fourteen times as long, in the best of some rounds."""
    few, many = asked(400, 10), asked(4000, 10)
    assert any(cpu_seconds(many) < 14 * cpu_seconds(few) for _ in range(20))
