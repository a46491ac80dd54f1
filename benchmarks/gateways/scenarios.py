"""What the gateways are asked: the kinds of load, and how much of each."""

import json
from typing import Any, NamedTuple

from benchmarks.samples import AGENT_REQUEST

__all__ = ["QUICK", "SCENARIOS", "Scenario", "body"]


class Scenario(NamedTuple):
    """`answers` a round; without it, as many as a gateway gives in `seconds`."""

    title: str
    connections: int
    stream: tuple[int, int] | None = None
    """Text deltas of each stream, and milliseconds between two events, below 1,000."""
    large: bool = False
    translated: bool = False
    answers: int | None = None
    seconds: float = 0.7
    most_rounds: int = 99
    ours: bool = False
    """For NexusFlow alone, and without a warm-up."""

    @property
    def events(self) -> int:
        """What a stream has beside its deltas: a start, a block's start and stop, a ping, usage, an end."""
        return self.stream[0] + 6 if self.stream else 0


SCENARIOS = {
    "sync16": Scenario("small call, 16 connections", 16),
    "big16": Scenario("216 KB request, 16 connections", 16, large=True),
    "b2b16": Scenario("306 events back to back, 16 connections", 16, (300, 0)),
    "paced64": Scenario("66 events 5 ms apart, 64 connections", 64, (60, 5), answers=128),
    "ttfb1": Scenario("9 events 2 ms apart, 1 connection", 1, (3, 2), answers=50),
    "t-sync16": Scenario("translated: small call, 16 connections", 16, translated=True),
    "t-b2b16": Scenario("translated: 306 events back to back, 16 connections", 16, (300, 0), translated=True),
    "slow1000": Scenario(
        "1,000 streams at once, 66 events 100 ms apart", 1000, (60, 100), answers=1000, most_rounds=2
    ),
    "slow5000": Scenario(
        "5,000 streams at once, 26 events 990 ms apart", 5000, (20, 990), answers=5000, most_rounds=1, ours=True
    ),
}
"""A name that begins with `t-` is a call in Anthropic's protocol to an upstream of Chat Completions."""

QUICK = {
    name: one._replace(
        connections=min(one.connections, 4),
        answers=min(one.answers or 20, 4),
        stream=(5, min(one.stream[1], 5)) if one.stream else None,
    )
    for name, one in SCENARIOS.items()
}
"""The same in a second, to see that everything runs."""


def body(scenario: Scenario, model: str) -> bytes:
    """Returns the request of a scenario."""
    events, pause = scenario.stream or (1, 24)
    asked: dict[str, Any] = {"model": model, "max_tokens": events * 1000 + pause}
    if scenario.large:
        asked = json.loads(AGENT_REQUEST) | asked | {"stream": scenario.stream is not None}
        return json.dumps(asked, ensure_ascii=False, separators=(",", ":")).encode()
    asked["messages"] = [{"role": "user", "content": "Hello, world"}]
    if scenario.stream:
        asked["stream"] = True
    return json.dumps(asked, separators=(",", ":")).encode()
