"""Long: ten thousand hostile calls before hostile upstreams; one record each, level memory, a quiet log."""

from __future__ import annotations

import json
import random
import threading
from collections import Counter
from pathlib import Path
from urllib.request import urlopen

import msgspec
import pytest

from tests.chaos.hostile import answers, be_hostile
from tests.chaos.process import GatewayProcess, gateway_process, settled
from tests.servers import ScriptedUpstream

pytestmark = pytest.mark.soak

CONFIG = """
[upstreams.anthropic]
dialect = "anthropic"
base_url = "{url}"
auth = "none"
timeouts = {{ first_byte = 5, idle = 2, total = 10, grace = 1 }}

[upstreams.chat]
dialect = "openai-chat"
base_url = "{url}"
auth = "none"
timeouts = {{ first_byte = 5, idle = 2, total = 10, grace = 1 }}

[[routes]]
model = "anthropic"
targets = ["anthropic"]
[[routes]]
model = "openai-chat"
targets = ["chat"]

[retry]
attempts = 2
backoff = 0.001

[auth]
anonymous = true

[log]
calls = "{log}"
"""

WARM_UP, CALLS = 9_000, 10_000

COUNTING = """
import ctypes, json, logging, resource, sys
import uvicorn
from nexusflow_asgi import NexusFlow

logging.basicConfig(level=logging.ERROR)
limit = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))
gateway = NexusFlow(config=sys.argv[1], transport=sys.argv[2])
asked = 0

class MallInfo(ctypes.Structure):  # of the GNU C library
    names = "arena ordblks smblks hblks hblkhd usmblks fsmblks uordblks fordblks keepcost"
    _fields_ = [(name, ctypes.c_size_t) for name in names.split()]

allocated = ctypes.CDLL(None).mallinfo2
allocated.restype = MallInfo

async def app(scope, receive, send):
    global asked
    if scope["type"] == "http" and scope["path"] == "/held":
        info = allocated()
        held = {"bytes": info.uordblks + info.hblkhd, "blocks": sys.getallocatedblocks()}
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": json.dumps(held).encode()})
        return
    asked += scope["type"] == "http" and scope["path"] == "/v1/messages" and scope["method"] == "POST"
    await gateway(scope, receive, send)
    if scope["type"] == "lifespan":
        with open(sys.argv[1] + ".asked", "w") as file:
            file.write(str(asked))

config = uvicorn.Config(app, fd=int(sys.argv[3]), http="httptools", log_config=None, lifespan="on",
                        access_log=False, timeout_graceful_shutdown=5)
uvicorn.Server(config).run()
"""


def run(served: GatewayProcess, upstream: ScriptedUpstream, count: int, seed: int) -> None:
    problems: list[str] = []

    def many(thread: int) -> None:
        rng = random.Random(1000 * seed + thread)
        for _ in range(count // 8):
            try:
                be_hostile(served.port, rng)
            except Exception as error:
                problems.append(repr(error))
                return

    threads = [threading.Thread(target=many, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(900)
        assert not thread.is_alive()
    assert problems == []
    with upstream._changed:
        upstream._requests.clear()


class Held(msgspec.Struct):
    """What a process has in use: bytes of the C library's heap, and Python's small blocks of up to 512 bytes.

    Resident memory says less: on a busy machine it moves by megabytes with what both keep free for later.
    """

    bytes: int
    blocks: int


def held(served: GatewayProcess) -> Held:
    """No garbage is collected for it."""
    with urlopen(f"http://127.0.0.1:{served.port}/held") as answer:
        return msgspec.json.decode(answer.read(), type=Held)


@pytest.mark.parametrize("transport", ["h1", "httpx", "aiohttp"])
def test_ten_thousand_hostile_calls(transport: str, tmp_path: Path) -> None:
    """Each call that reached the app has one record; memory in use stays level; no traceback is logged."""
    random.seed(7)
    log = tmp_path / "calls.jsonl"
    with ScriptedUpstream(answers) as upstream:
        config = CONFIG.format(url=upstream.url, log=log)
        with gateway_process(config, transport, tmp_path, server=COUNTING) as served:
            run(served, upstream, WARM_UP, seed=1)
            at_rest, before = settled(served), held(served)
            run(served, upstream, CALLS, seed=2)
            descriptors, after = settled(served), held(served)
    asked = int((tmp_path / "nexusflow.toml.asked").read_text())
    records = [json.loads(line) for line in log.read_text().splitlines()]
    endings = Counter(it["ending"] for it in records)
    print(f"{transport}: {asked} calls, {dict(endings)}; {descriptors} descriptors")
    print(f"{before}, and {after} after {CALLS} connections more")
    assert len({it["request_id"] for it in records}) == len(records) == asked
    assert min(endings[ending] for ending in ("complete", "error", "client_gone", "refused")) > 100
    assert asked > 0.6 * (WARM_UP + CALLS), "the others never sent a whole head"
    assert after.bytes - before.bytes < 500_000
    assert after.blocks - before.blocks < 5_000
    assert descriptors <= at_rest + 16, "a pool may hold as many connections as there are clients"
    # uvicorn says so of each sync answer that broke off, and cuts the connection, as it should.
    said = [line for line in served.stderr.splitlines() if "returned without completing response" not in line]
    assert said == []
