"""ShortCut: relays chunks inside the callback in which they arrive, without a switch of tasks.

A task that waits for each chunk costs more than the chunk: a future, a callback and a walk through ten
coroutines. The relay's task waits instead until only it can go on: the client does not read,
a ping is being sent, the order has changed, or the answer has ended.
"""

import time

from nexusflow_asgi.relay.client import Client
from nexusflow_asgi.relay.watch import Watch
from nexusflow_core.exchange import Exchange, Read

__all__ = ["ShortCut"]

_now = time.monotonic


class ShortCut:
    """The way of chunks from an upstream to a client, while the order is `order`."""

    __slots__ = ("_client", "_error", "_exchange", "_order", "_out", "_watch")

    def __init__(self, exchange: Exchange, order: Read, client: Client, watch: Watch) -> None:
        self._exchange = exchange
        self._order = order
        self._client = client
        self._watch = watch
        self._out = b""
        self._error: Exception | None = None

    def take(self, data: bytes) -> bytes | None:
        """Relays a chunk. Returns None to go on; or the bytes that it leaves to the task, perhaps none."""
        exchange, order, client = self._exchange, self._order, self._client
        if exchange.order is not order or not client.may_write_now():
            return data
        try:
            out = exchange.receive_data(data, _now())
            if exchange.order is not order:
                self._out = out
                return b""
            if out:
                client.write_now(out)
            if order.until < self._watch.due:
                self._watch.arm()
        except Exception as error:  # `last` raises it in the relay's task
            self._error = error
            return b""
        return None if exchange.order is order else b""

    def last(self) -> bytes:
        """Returns the bytes to send after the order has changed. Raises an error of `take`."""
        if self._error is not None:
            raise self._error
        out, self._out = self._out, b""
        return out
