"""HTTP/1.1 for unknown clients: uvicorn's protocol on httptools, with bounds on a request's head and framing.

Theory of operation. A connection is in one of the states of `State`. Until a head is complete, its bytes are
counted before the parser sees them, and one of two timers counts: the idle timer until the first byte of a
head, the head timer from there to its last byte. Requests do not set the idle timer anew: it looks when it
fires whether the connection has been idle so long. A head that is too large or too late is answered here, and
the connection ends. A body with too many bytes of framing ends it too. Trailers are dropped.

While a request is being answered, the next one is parsed and kept, as in uvicorn. Later bytes are held
unparsed. uvicorn would stop reading there, and so not notice that the client leaves.
"""

import asyncio
import contextvars
import enum
from typing import Any, Final, cast
from urllib.parse import unquote
from weakref import WeakKeyDictionary

import httptools
from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle
from uvicorn.server import ServerState

from nexusflow_asgi.server.cycle import Cycle
from nexusflow_asgi.server.known_head import KnownHead, known_head
from nexusflow_asgi.server.limits import DEFAULT, ClosingTransport, Flow, ServerLimits, refusal
from nexusflow_core.errors import (
    HeadersTooLargeError,
    InvalidRequestError,
    MethodNotAllowedError,
    NexusFlowError,
    PathTooLongError,
    RequestTimeoutError,
)

__all__ = ["GatewayProtocol", "State"]

_MAX_PIPELINED = 32
_DISCARDED_BYTES = 1024 * 1024
_MOST_LEARNED = 4
"""A connection that sends so many different heads, and none twice, is no longer watched for repeated ones."""

_HOP_BY_HOP = (b"upgrade", b"http2-settings", b"connection")


class State(enum.Enum):
    """The state of a connection's current request."""

    WAITING = enum.auto()  # before the first byte of a head
    HEAD = enum.auto()  # between the first and the last byte of a head
    BODY = enum.auto()  # after the head, while the body arrives
    ANSWER = enum.auto()  # after the request: new bytes belong to the next head
    REFUSED = enum.auto()  # answered here, or no longer read


_BODY: Final = State.BODY
_COUNTED = (State.WAITING, State.HEAD, State.ANSWER)
_waiting: WeakKeyDictionary[ServerState, dict["GatewayProtocol", None]] = WeakKeyDictionary()
"""The connections of each server that have no request, the oldest first."""


class _RefusedError(Exception):
    """Raised in the parser's callbacks to stop it."""


class GatewayProtocol(HttpToolsProtocol):
    """One client connection."""

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
        *,
        limits: ServerLimits = DEFAULT,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self.timeout_keep_alive = limits.idle_seconds  # type: ignore[assignment]
        self.state = State.WAITING
        self._limits = limits
        self._waiting = _waiting.setdefault(server_state, {})
        self._closing: ClosingTransport
        self._head_bytes = 0
        self._framing_bytes = 0  # bytes of a chunked body since the last byte of content
        self._head_timer: asyncio.TimerHandle | None = None
        self._without_upgrade = b""  # the head of a request that offers an upgrade, with the offer removed
        self._running: RequestResponseCycle | None = None
        self._held: bytearray | None = None
        self._refusal: NexusFlowError | None = None
        self._known: KnownHead | None = None  # the head of the latest request
        self._learned = 0  # heads since the last one that came again
        self._place = b"", "", b"", b""  # the URL of the latest request: as sent, path, raw path, query
        self._discarded = 0
        self._idle_since = 0.0

    # The connection

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.flow = Flow(transport)
        self._closing = ClosingTransport(transport, self.loop, self._limits.stalled_seconds)
        self.transport = cast(asyncio.Transport, self._closing)
        self._now_idle()
        self._wait_for_a_head()

    def connection_lost(self, exc: Exception | None) -> None:
        self._no_longer_waiting()
        self._unset_keepalive_if_required()
        self._closing.lost()
        self._client_left()
        super().connection_lost(exc)

    def eof_received(self) -> bool | None:  # type: ignore[override]
        """Treats a half-closed connection as gone, as uvicorn does. Written bytes are still delivered."""
        self._client_left()
        self.transport.close()
        return True

    def _client_left(self) -> None:
        """Notifies the request being answered. uvicorn would notify the latest one instead."""
        running = self._running
        if running is not None and not running.response_complete:
            running.disconnected = True
            running.message_event.set()
            self.flow.resume_writing()
            gone = cast(Cycle, running).gone
            if gone is not None:
                gone()
        self.pipeline.clear()

    # What arrives

    def data_received(self, data: bytes) -> None:
        if self.state is State.REFUSED:
            self._discard(data)
        elif self._held is not None:
            self._hold(self._held, data)
        elif self.state is not State.WAITING or self._head_bytes or not self._begin_known(data):
            self._parse(data)

    def _begin_known(self, data: bytes) -> bool:
        """Begins a request that is whole and has the head of the one before. Returns False for any other."""
        known = self._known
        read = None if known is None else known.read(data)
        if known is None or read is None:
            return False
        self._learned = 0
        super().on_message_begin()
        scope: Any = self.scope
        scope["headers"], body = read
        scope["method"], scope["path"], scope["raw_path"], scope["query_string"] = known.place
        self._no_longer_waiting()
        self.state = State.ANSWER
        self.cycle = cycle = Cycle(self, scope, keep_alive=True)
        cycle.add_body(body)
        cycle.more_body = False
        self._start_asgi_task(cycle, self.app)  # pyright: ignore[reportUnknownMemberType]  # untyped in uvicorn
        return True

    def _learn(self, data: bytes) -> None:
        """Keeps the head of the request that was parsed from these bytes, if it may come again."""
        self._learned += 1
        cycle = cast(Cycle, self.cycle)
        if self.state is State.ANSWER and not self.pipeline and cycle.keep_alive:
            scope: Any = cycle.scope
            _, path, raw_path, query = self._place
            place = scope["method"], path, raw_path, query
            self._known = known_head(data, self.url, scope["headers"], place)

    def _parse(self, data: bytes) -> None:
        most = self._limits.head_bytes
        new = data if self.state is State.WAITING and not self._head_bytes else b""
        while data and self.state in _COUNTED:
            piece = data[: most - self._head_bytes]
            data = data[len(piece) :]
            self._head_bytes += len(piece)
            self._feed(piece)
            if self._head_bytes >= most:
                self._refuse(HeadersTooLargeError(f"the head of a request exceeds {most} bytes"))
        if data and self.state is not State.REFUSED:
            self._feed_body(data)
        if self.state is State.HEAD and self._head_timer is None:
            self._head_timer = self.loop.call_later(self._limits.head_seconds, self._head_is_late)
        if self.pipeline and self.state is not State.REFUSED:
            self._held = bytearray()
            self.flow.resume_reading()
        if new and self._learned < _MOST_LEARNED:
            self._learn(new)

    def _feed_body(self, data: bytes) -> None:
        """Feeds body bytes, and bounds chunk sizes, chunk extensions and trailers, which could be endless."""
        self._framing_bytes += len(data)
        self._feed(data)
        if self.state is State.BODY and self._framing_bytes > self._limits.head_bytes:
            self._refuse(HeadersTooLargeError(f"a body's framing exceeds {self._limits.head_bytes} bytes"))

    def _feed(self, data: bytes) -> None:
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as stopped:
            self._go_on_without_upgrade(data[stopped.args[0] :])
        except httptools.HttpParserError:
            self._refuse(self._refusal or InvalidRequestError("Invalid HTTP request received."))

    def _go_on_without_upgrade(self, rest: bytes) -> None:
        """Reads a request again without its upgrade offer: HTTP lets a server ignore the offer."""
        head, self._without_upgrade = self._without_upgrade, b""
        if not head:
            self._refuse(self._refusal or InvalidRequestError("Invalid HTTP request received."))
            return
        self.parser = httptools.HttpRequestParser(self)
        self.parser.set_dangerous_leniencies(lenient_data_after_close=True)  # as uvicorn sets it
        self._feed(head)
        if rest and self.state is not State.REFUSED:
            self._feed(rest)

    def _hold(self, held: bytearray, data: bytes) -> None:
        held += data
        if len(held) > self._limits.held_bytes:
            self.flow.pause_reading()

    def _discard(self, data: bytes) -> None:
        """Discards bytes of a refused client, so that it can read the answer. Aborts after 1 MB."""
        self._discarded += len(data)
        if self._discarded > _DISCARDED_BYTES:
            self._closing.abort()

    # The parser's callbacks

    def on_message_begin(self) -> None:
        self.state = State.HEAD
        super().on_message_begin()

    def on_url(self, url: bytes) -> None:
        super().on_url(url)
        if len(self.url) > self._limits.url_bytes:
            self._stop(PathTooLongError(f"the URL is longer than {self._limits.url_bytes} bytes"))

    def on_header(self, name: bytes, value: bytes) -> None:
        if self.state is not _BODY:  # trailers must not become headers: the caller may be admitted already
            self.headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        self._framing_bytes = 0
        self._no_longer_waiting()
        self.state = State.BODY
        if len(self.pipeline) >= _MAX_PIPELINED:
            self._stop(InvalidRequestError("too many requests ahead of their answers"))
        if self.parser.should_upgrade():
            self._without_upgrade = self._plain_head()
        else:
            self._begin_cycle()

    def _begin_cycle(self) -> None:
        """Starts the app, or queues the request behind the one that is being answered."""
        scope, parser = self.scope, self.parser
        awaited = [value.lower() for name, value in self.headers if name == b"expect"]
        version = parser.get_http_version()
        scope["method"] = parser.get_method().decode("ascii")
        if version != "1.1":
            scope["http_version"] = version
        if self.url != self._place[0]:  # a client calls one endpoint again and again
            self._place = self.url, *self._parsed_url()
        _, scope["path"], scope["raw_path"], scope["query_string"] = self._place
        before = cast("RequestResponseCycle | None", self.cycle)
        app = cast(Any, self.app)  # pyright: ignore[reportUnknownMemberType]  # untyped in uvicorn
        keep_alive = version != "1.0" and parser.should_keep_alive()
        self.cycle = cycle = Cycle(self, scope, keep_alive=keep_alive, expects_100=b"100-continue" in awaited)
        self.headers = []  # the scope has them
        if before is None or before.response_complete:
            self._start_asgi_task(cycle, app)
        else:
            self.flow.pause_reading()
            self.pipeline.appendleft((cycle, app))

    def _parsed_url(self) -> tuple[str, bytes, bytes]:
        """Returns path, raw path and query. Raises what refuses the request."""
        parsed = httptools.parse_url(self.url)
        path: str = parsed.path.decode("ascii")
        root: str = self.root_path
        return root + unquote(path), root.encode("ascii") + parsed.path, parsed.query or b""

    def on_body(self, body: bytes) -> None:
        self._framing_bytes = 0
        cycle = cast(Cycle, self.cycle)
        if not self._without_upgrade and not cycle.response_complete:
            cycle.add_body(body)

    def on_message_complete(self) -> None:
        if self._without_upgrade:
            return
        super().on_message_complete()
        self.state = State.ANSWER
        if self.cycle.response_complete:
            self._wait_for_a_head()

    def _plain_head(self) -> bytes:
        method = self.parser.get_method()
        if method == b"CONNECT":
            self._stop(
                MethodNotAllowedError("CONNECT is not served here", headers={"allow": "GET, HEAD, POST"})
            )
        lines = [method + b" " + self.url + b" HTTP/1.1"]
        lines += [name + b": " + value for name, value in self.headers if name not in _HOP_BY_HOP]
        tokens = [value.lower() for name, value in self.headers if name == b"connection"]
        if b"close" in [token.strip() for token in b",".join(tokens).split(b",")]:
            lines.append(b"connection: close")
        return b"\r\n".join([*lines, b"", b""])

    def _stop(self, error: NexusFlowError) -> None:
        self._refusal = error
        raise _RefusedError

    # The answer

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        """Starts the app's task, which leaves the set of tasks by itself: a callback would cost more."""
        self._running = cycle
        context = contextvars.Context() if self.config.reset_contextvars else None
        cast(Cycle, cycle).task = task = self.loop.create_task(cycle.run_asgi(app), context=context)
        self.tasks.add(task)

    def on_response_complete(self) -> None:
        """Goes on with the next request. uvicorn's also sets a new timer."""
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            return
        self.flow.resume_reading()
        if self.pipeline:
            self._start_asgi_task(*self.pipeline.pop())
        else:
            self._now_idle()
        if self.pipeline:
            return  # the next request has begun, and another follows it
        if self.cycle.response_complete and not self.cycle.more_body:
            self._wait_for_a_head()
        held, self._held = self._held, None
        if held:
            self._parse(bytes(held))

    # Waiting for a request

    def _now_idle(self) -> None:
        self._idle_since = self.loop.time()
        if self.timeout_keep_alive_task is None:
            self._look_again_in(self._limits.idle_seconds)

    def _look_again_in(self, seconds: float) -> None:
        self.timeout_keep_alive_task = self.loop.call_later(seconds, self._look_whether_idle)

    def _look_whether_idle(self) -> None:
        """Closes a connection that has been idle too long. While a request runs, no timer is needed."""
        self.timeout_keep_alive_task = None
        running = self._running
        if self.state is State.HEAD or (running is not None and not running.response_complete):
            return
        left = self._idle_since + self._limits.idle_seconds - self.loop.time()
        if left > 0:
            self._look_again_in(left)
        else:
            self.timeout_keep_alive_handler()

    def _wait_for_a_head(self) -> None:
        self.state = State.WAITING
        self._waiting[self] = None
        if len(self._waiting) > self._limits.waiting:
            oldest = next(iter(self._waiting))
            oldest._no_longer_waiting()
            oldest._closing.abort()

    def _no_longer_waiting(self) -> None:
        self._waiting.pop(self, None)
        self._head_bytes = 0
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _head_is_late(self) -> None:
        self._refuse(
            RequestTimeoutError(f"the head of a request took longer than {self._limits.head_seconds:g} s")
        )

    def _refuse(self, error: NexusFlowError) -> None:
        """Answers with the error unless another answer is being sent. Nothing more is read."""
        if self.state is State.REFUSED:
            return
        self.state = State.REFUSED
        self._no_longer_waiting()
        self._unset_keepalive_if_required()
        self._held = None
        self.pipeline.clear()
        running = self._running
        if running is not None and not running.response_complete:
            running.keep_alive = False
        else:
            self.transport.write(refusal(error))
            self._closing.close_writing()
