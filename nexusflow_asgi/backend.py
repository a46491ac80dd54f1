"""Which event loop we run on: asyncio, where bare tasks and timers are cheap, or anyio's other one, trio."""

import asyncio

from anyio.lowlevel import current_token

__all__ = ["loop_identity", "runs_on_asyncio"]


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
