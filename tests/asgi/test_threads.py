"""One gateway in several threads, each with an event loop of its own."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from nexusflow_asgi import NexusFlow, app
from nexusflow_core import Config, Gateway, PriceBook
from tests.asgi.asking import offline


def test_loops_in_several_threads_share_circuits_under_a_lock(monkeypatch: pytest.MonkeyPatch) -> None:
    """The core knows no threads, so the lock comes from here: a real one."""
    locks: list[Any] = []

    class Noted(Gateway):
        def __init__(self, config: Config, book: PriceBook, *, lock: Any) -> None:
            locks.append(lock)
            super().__init__(config, book, lock=lock)

    monkeypatch.setattr(app, "Gateway", Noted)
    NexusFlow(config=offline(), transport="offline")
    assert [type(lock) for lock in locks] == [type(threading.Lock())]
