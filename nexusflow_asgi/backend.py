"""The kind of event loop: asyncio, with its cheap tasks and timers, or trio through anyio."""

import asyncio
import math
from collections.abc import Callable, Coroutine
from typing import Any, cast

import anyio
from anyio.lowlevel import current_token

__all__ = [
    "is_failure",
    "loop_identity",
    "means_closed",
    "post_to_loop",
    "runs_on_asyncio",
    "start_apart",
]


def runs_on_asyncio() -> bool:
    """True inside an asyncio task."""
    try:
        return asyncio.current_task() is not None
    except RuntimeError:
        return False


def loop_identity() -> object:
    """Returns an object that identifies the running event loop."""
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return current_token().native_token


def is_failure(error: BaseException) -> bool:
    """True for a failure of the host's code, False if this task or the process is being ended.

    Code that awaits a cancelled future also raises a cancellation, although nobody cancelled this task.
    """
    if isinstance(error, Exception):
        return True
    if isinstance(error, BaseExceptionGroup):
        return all(map(is_failure, cast("BaseExceptionGroup[BaseException]", error).exceptions))
    if isinstance(error, asyncio.CancelledError | anyio.get_cancelled_exc_class()):
        return not _is_cancelled()
    return not isinstance(error, KeyboardInterrupt | SystemExit | GeneratorExit)


def _is_cancelled() -> bool:
    if runs_on_asyncio():
        task = asyncio.current_task()
        return task is not None and task.cancelling() > 0
    return anyio.current_effective_deadline() == -math.inf


def start_apart(work: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Runs a coroutine function in this event loop, apart from the running task. It must not raise."""
    if not runs_on_asyncio():
        import trio

        trio.lowlevel.spawn_system_task(work)
        return
    task = asyncio.get_running_loop().create_task(work())
    _apart.add(task)
    task.add_done_callback(_apart.discard)


_apart: set[asyncio.Task[None]] = set()
"""The loop holds only weak references to its tasks."""


def post_to_loop() -> Callable[[Callable[[], None]], None]:
    """Returns a function that runs another one in this event loop. It may be called from any thread.

    Once the loop is closed, it does nothing.
    """
    try:
        post: Callable[[Callable[[], None]], Any] = asyncio.get_running_loop().call_soon_threadsafe
    except RuntimeError:
        token: Any = current_token().native_token
        post = token.run_sync_soon

    def safely(function: Callable[[], None]) -> None:
        try:
            post(function)
        except RuntimeError:  # asyncio's "loop is closed", trio's RunFinishedError
            pass

    return safely


_CLOSED = ("unable to perform operation on <", "ASGI transport error")
"""Beginnings of the RuntimeErrors of uvloop and granian for a closed connection."""


def means_closed(error: Exception) -> bool:
    """True if a server's `send` failed because the client's connection is closed.

    Usually that is an OSError. uvloop and granian raise a RuntimeError, recognised only by its text.
    """
    if isinstance(error, RuntimeError):
        return str(error).startswith(_CLOSED)
    return isinstance(error, OSError | anyio.BrokenResourceError | anyio.ClosedResourceError)
