"""A process of its own that holds and settles at a store, for tests of several processes and of kills.

    python -m tests.asgi.stores.worker PLACE NAME CALLS LIMIT [STEP]

Each call holds 10, waits, and settles 10. Prints one line per call. With a STEP it stops there and hangs:
`before`, `held` or `settled`.
"""

from __future__ import annotations

import asyncio
import sys

from nexusflow_core.budgets import Charge, Claim, Hold, Refusal, RefusalCause, Window
from tests.asgi.stores.services import opened

NOW = 1_790_000_000
WINDOWS = [
    Window(f"{scope}|usd|day|{NOW}", scope, "usd", "day", NOW, NOW + 86400) for scope in ("user:u1", "team:red")
]
AMOUNT = 10


async def main(place: str, name: str, calls: int, limit: int, step: str | None) -> None:
    store = opened(place)

    async def call(number: int) -> str:
        claims = [Claim(window, AMOUNT, limit) for window in WINDOWS]
        id = f"{name}-{number}"
        while True:
            found = await store.hold(id, claims, now=NOW, expires_at=NOW + 60)
            if isinstance(found, Hold) or found.cause is RefusalCause.SPENT or step is not None:
                break
            await asyncio.sleep(0.01)
        if isinstance(found, Refusal):
            return f"refused {id}"
        await stop("held")
        charges = [Charge(window.key, AMOUNT, 1) for window in WINDOWS]
        await store.settle(id, charges)
        await store.settle(id, charges)  # a retry changes nothing
        await stop("settled")
        return f"passed {id}"

    async def stop(at: str) -> None:
        if step == at:
            print(f"at {at}", flush=True)
            await asyncio.sleep(600)

    await store.windows(now=NOW)  # connected
    await stop("before")
    print("ready", flush=True)
    if step is None:
        await asyncio.to_thread(sys.stdin.readline)
    for done in await asyncio.gather(*(call(number) for number in range(calls))):
        print(done, flush=True)
    await store.aclose()


if __name__ == "__main__":
    where, who, many, most, *rest = sys.argv[1:]
    asyncio.run(main(where, who, int(many), int(most), rest[0] if rest else None))
