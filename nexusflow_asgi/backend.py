"""Which event loop we run on: asyncio, where bare tasks and timers are cheap, or anyio's other one, trio."""

import asyncio
from collections.abc import Callable
from typing import Any

from anyio.lowlevel import current_token

__all__ = ["loop_identity", "means_closed", "post_to_loop", "runs_on_asyncio"]


def runs_on_asyncio() -> bool:
    """True inside an asyncio task."""
    try:
        return asyncio.current_task() is not None
    except RuntimeError:
        return False


def loop_identity() -> object:
    """The running event loop, whatever it is, as something to tell it by."""
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return current_token().native_token


def post_to_loop() -> Callable[[Callable[[], None]], None]:
    """What runs a function in the running event loop, to be called from any thread, for as long as the loop
    lives; after that it does nothing."""
    try:
        post: Callable[[Callable[[], None]], Any] = asyncio.get_running_loop().call_soon_threadsafe
    except RuntimeError:
        token: Any = current_token().native_token
        post = token.run_sync_soon

    def safely(function: Callable[[], None]) -> None:
        try:
            post(function)
        except RuntimeError:  # asyncio's "loop is closed", trio's RunFinishedError: nobody waits any more
            pass

    return safely


def means_closed(error: Exception) -> bool:
    """True if a server's `send` failed because the client's connection is closed.

    An OSError says so. uvloop raises a RuntimeError, which only its text tells from a defect.
    """
    if isinstance(error, OSError):
        return True
    return isinstance(error, RuntimeError) and str(error).startswith("unable to perform operation on <")
