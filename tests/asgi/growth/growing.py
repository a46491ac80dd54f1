"""How time and memory grow with a size, on the routes that there are: what the tests here go by."""

from __future__ import annotations

import json
import tracemalloc
from collections.abc import Callable
from datetime import UTC, datetime

from nexusflow_core import Call, Gateway
from nexusflow_core.config import decode_config
from nexusflow_core.exchange import Send
from tests.effort import Work, takes_time_by_size

CONFIG = b"""
[upstreams.claude]
dialect = "anthropic"
base_url = "http://claude"
auth = "none"
[upstreams.generic]
dialect = "openai-chat"
base_url = "http://chat"
auth = "none"
[upstreams.groq]
dialect = "openai-chat"
base_url = "http://chat"
vendor = "groq"
auth = "none"
[upstreams.kimi]
dialect = "openai-chat"
base_url = "http://chat"
vendor = "kimi"
auth = "none"
[upstreams.openrouter]
dialect = "openai-chat"
base_url = "http://chat"
vendor = "openrouter"
auth = "none"
[upstreams.responses]
dialect = "openai-responses"
base_url = "http://items"
vendor = "openai"
auth = "none"
[[routes]]
model = "responses"
targets = ["responses"]
server_tools = "carry"
[[routes]]
model = "relayed"
targets = ["claude"]
count_tokens = "estimate"
[[routes]]
model = "renamed"
targets = ["claude/claude-x"]
[[routes]]
model = "generic"
targets = ["generic"]
count_tokens = "estimate"
[[routes]]
model = "groq"
targets = ["groq"]
[[routes]]
model = "kimi"
targets = ["kimi/kimi-k2"]
[[routes]]
model = "openrouter"
targets = ["openrouter"]
[auth]
anonymous = true
"""
GATEWAY = Gateway(decode_config(CONFIG))
JSON = [(b"content-type", b"application/json")]
SSE = [(b"content-type", b"text/event-stream")]
Made = Callable[[int], Work]


def peak(work: Work) -> int:
    tracemalloc.start()
    try:
        work()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def grows_with_size(made: Made, size: int) -> None:
    """Fails for more than twice the time, or half as much memory again, than four times as much should take.
    Memory is counted, for which a smaller size does, and warms what the clock then sees."""
    few, small, large = made(size // 4), made(size), made(4 * size)
    few()
    memory = peak(small) / max(peak(few), 50_000)
    assert memory < 6, f"memory: {memory}"
    takes_time_by_size(small, large)


HI = {"role": "user", "content": "hi"}


def answered(
    model: str, data: bytes, *, size: int, status: int = 200, sse: bool = True, stops: int = 0
) -> Work:
    """A call whose answer comes in pieces of this size, up to its record."""
    body = {"model": model, "max_tokens": 9, "stream": sse, "messages": [HI]}
    if model == "responses":
        body["tools"] = [{"type": "web_search_20250305", "name": "web_search"}]
    if stops:
        body["stop_sequences"] = ["a" * stops + "c", *(f"{'a' * (i % 50)}x{i}" for i in range(20))]
    given = json.dumps(body).encode()
    pieces = [data[at : at + size] for at in range(0, len(data), size)]

    def work() -> None:
        call = Call(endpoint="messages", request_id="req_1", started_at=datetime.now(UTC), body=given).look(
            10**9
        )
        exchange = GATEWAY.open(call, started=0.0)
        exchange.start(0.0)
        exchange.receive_head(status, SSE if sse else JSON, 0.0)
        for one in pieces:
            if not isinstance(exchange.order, Send):
                exchange.receive_data(one, 0.0)
        exchange.client_gone(0.0)
        exchange.record(0.0)

    return work
