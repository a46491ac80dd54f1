"""What surrounds a call grows with its size, and no faster: heads, losses, the queue, the list of models."""

from __future__ import annotations

from datetime import UTC, datetime

import anyio

from nexusflow_asgi.body import check_head
from nexusflow_asgi.paths import match_path
from nexusflow_asgi.slots import Slots
from nexusflow_core import Gateway, Limits, Loss
from nexusflow_core.config import decode_config
from nexusflow_core.errors import OverloadedError
from nexusflow_core.translation.losses import Losses, warning
from nexusflow_core.upstream import relayed_request_headers
from tests.asgi.asking import http_scope
from tests.asgi.growth.growing import CONFIG, Work, grows_with_size


def test_paths_and_headers() -> None:
    """Before anybody is known: a path, many headers, long ones."""
    grows_with_size(lambda n: lambda: match_path("/a" * 100 * n, "", "", middleware=False), 200)

    def headers(count: int, length: int) -> Work:
        given = [(b"x-%d" % i, b"a" * length) for i in range(count)]
        scope = http_scope(headers=given)
        limits = Limits(header_bytes=10**9)
        return lambda: (check_head(scope, limits), relayed_request_headers(given, None))

    grows_with_size(lambda n: headers(n, 10), 500)
    grows_with_size(lambda n: headers(10, 1000 * n), 100)
    grows_with_size(lambda n: lambda: relayed_request_headers([(b"connection", b"a," * n)] * 2, None), 2000)


def test_losses() -> None:
    """However many there are, the record and the header stay small."""

    def made(size: int) -> Work:
        def work() -> None:
            losses = Losses()
            for number in range(10 * size):
                losses.unknown(f"member_{number}")
            assert losses.found[-1] == Loss(f"and {10 * size - 100} more", "not listed one by one")
            assert len(warning(losses.found) or b"") < 1500

        return work

    grows_with_size(made, 500)


def test_the_queue() -> None:
    """Callers that wait, and those that are refused."""

    def made(size: int) -> Work:
        async def main() -> None:
            slots = Slots(Limits(calls=1, queue=size))
            await slots.take("a")

            async def one(number: int) -> None:
                try:
                    await slots.take(f"caller {number}")
                except OverloadedError:
                    return
                slots.give(f"caller {number}")

            async with anyio.create_task_group() as group:
                for number in range(2 * size):
                    group.start_soon(one, number)
                await anyio.sleep(0)
                slots.give("a")

        return lambda: anyio.run(main)

    grows_with_size(made, 100)


def test_the_model_list() -> None:
    """Many routes, asked for again and again; patterns that match all that is known."""

    def made(size: int) -> Work:
        routes = b"".join(
            b'[[routes]]\nmodel = "%b%d"\ntargets = ["claude"]\n' % (kind, i)
            for kind in (b"model-", b"*-x-")
            for i in range(size)
        )
        gateway = Gateway(decode_config(CONFIG + routes + b'[[routes]]\nmodel = "*"\ntargets = ["claude"]\n'))
        now = datetime.now(UTC)
        return lambda: gateway.models(now)

    grows_with_size(made, 100)
