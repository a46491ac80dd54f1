"""The upstream of all gateways: fixed answers of both wire protocols, each event with a `send` of its own.

`python -m benchmarks.gateways.upstream PORT`. A request's `max_tokens` steers its stream: so many thousand
text deltas, with the rest as milliseconds between two events. It must outrun what it feeds: one thread, epoll.
"""

import heapq
import itertools
import re
import select
import socket
import sys
import time

from benchmarks.gateways.answers import ANSWERS, Answer

__all__: list[str] = []

_LIMIT = re.compile(rb'"max(?:_completion)?_tokens": ?(\d+)')
_STREAMS = re.compile(rb'"stream": ?true')
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)


class _Connection:
    """One request at a time. `writes` is what is left to send, the next one last."""

    def __init__(self, connection: socket.socket) -> None:
        self.socket = connection
        self.received = b""
        self.writes: list[bytes] = []
        self.pause = 0.0
        self.waits_for_room = False

    def take_request(self) -> None:
        """Begins the answer once a request is whole."""
        head, blank, body = self.received.partition(b"\r\n\r\n")
        if not blank or not _is_whole(head, body):
            return
        self.received = b""
        answer = ANSWERS["openai" if b"/chat/completions" in head[:200] else "anthropic"]
        limit = _LIMIT.search(body)
        events, milliseconds = divmod(int(limit[1]) if limit else 1000, 1000)
        self.pause = milliseconds / 1000
        self.writes = _writes(answer, events) if _STREAMS.search(body) else [answer.sync]


def _is_whole(head: bytes, body: bytes) -> bool:
    length = _LENGTH.search(head)
    return len(body) >= int(length[1]) if length else body.endswith(b"0\r\n\r\n")


def _writes(answer: Answer, events: int) -> list[bytes]:
    deltas = [answer.deltas[number % len(answer.deltas)] for number in range(events)]
    first, *start = answer.start
    return [answer.head + first, *start, *deltas, *answer.end][::-1]


class _Upstream:
    def __init__(self, listener: socket.socket) -> None:
        self._listener = listener
        self._poll = select.epoll()
        self._poll.register(listener, select.EPOLLIN)
        self._connections: dict[int, _Connection] = {}
        self._due: list[tuple[float, int, _Connection]] = []
        """When which connection sends next. A number breaks the tie of two at the same time."""
        self._numbers = itertools.count()

    def serve(self) -> None:
        while True:
            wait = max(0.0, self._due[0][0] - time.monotonic()) if self._due else None
            for number, events in self._poll.poll(wait):
                if number == self._listener.fileno():
                    self._accept()
                elif connection := self._connections.get(number):
                    self._handle(connection, events)
            now = time.monotonic()
            while self._due and self._due[0][0] <= now:
                at, _, connection = heapq.heappop(self._due)
                self._send_paced(connection, at)

    def _accept(self) -> None:
        try:
            while True:
                accepted, _ = self._listener.accept()
                accepted.setblocking(False)
                accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                self._connections[accepted.fileno()] = _Connection(accepted)
                self._poll.register(accepted, select.EPOLLIN)
        except BlockingIOError:
            pass

    def _handle(self, connection: _Connection, events: int) -> None:
        if events & select.EPOLLOUT:
            self._send_next(connection)
            return
        try:
            data = connection.socket.recv(1 << 18)
        except OSError:
            data = b""
        if not data:
            self._close(connection)
            return
        connection.received += data
        connection.take_request()
        self._send_next(connection)

    def _send_next(self, connection: _Connection) -> None:
        if connection.pause:
            self._send_paced(connection, time.monotonic())
        else:
            while connection.writes and self._send(connection):
                pass

    def _send_paced(self, connection: _Connection, at: float) -> None:
        if connection.writes and self._send(connection):
            heapq.heappush(self._due, (at + connection.pause, next(self._numbers), connection))

    def _send(self, connection: _Connection) -> bool:
        """Sends one write. False if the socket is full or gone: the rest goes once there is room."""
        piece = connection.writes.pop()
        try:
            sent = connection.socket.send(piece)
        except BlockingIOError:
            sent = 0
        except OSError:
            self._close(connection)
            return False
        full = sent < len(piece)
        if full:
            connection.writes.append(piece[sent:])
        if full != connection.waits_for_room:
            connection.waits_for_room = full
            wanted = select.EPOLLIN | select.EPOLLOUT if full else select.EPOLLIN
            self._poll.modify(connection.socket, wanted)
        return not full

    def _close(self, connection: _Connection) -> None:
        connection.writes.clear()
        if self._connections.pop(connection.socket.fileno(), None):
            self._poll.unregister(connection.socket)
            connection.socket.close()


if __name__ == "__main__":
    listener = socket.create_server(("127.0.0.1", int(sys.argv[1])), backlog=4096)
    listener.setblocking(False)
    _Upstream(listener).serve()
