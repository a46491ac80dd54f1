"""The parts of uvicorn that the server of `nexusflow serve` stands on, not all of them public."""

from __future__ import annotations

import asyncio
import inspect
import re
import tomllib
from importlib.metadata import version
from pathlib import Path

import httptools
import pytest
import uvicorn
from uvicorn.protocols.http import httptools_impl
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.server import ServerState

from nexusflow_asgi.server import GatewayProtocol
from nexusflow_asgi.server.limits import ClosingTransport

PYPROJECT = Path(__file__).parents[2] / "pyproject.toml"
METHODS = """connection_made connection_lost data_received eof_received on_message_begin on_url on_header
    on_headers_complete on_body on_message_complete on_response_complete _start_asgi_task
    _unset_keepalive_if_required timeout_keep_alive_handler shutdown pause_writing resume_writing""".split()
PER_CONNECTION = """parser timeout_keep_alive timeout_keep_alive_task transport flow pipeline cycle url headers
    scope loop server_state""".split()
PER_REQUEST = "disconnected message_event response_complete keep_alive more_body".split()


@pytest.fixture
def protocol() -> GatewayProtocol:
    async def app(scope: object, receive: object, send: object) -> None: ...

    async def made() -> GatewayProtocol:
        return GatewayProtocol(uvicorn.Config(app, log_config=None), ServerState(), {})

    return asyncio.run(made())


@pytest.mark.parametrize("name", METHODS)
def test_the_methods_are_uvicorns(name: str) -> None:
    """Each that is replaced or called is there."""
    assert callable(getattr(httptools_impl.HttpToolsProtocol, name))


def test_a_connection_has_what_is_used(protocol: GatewayProtocol) -> None:
    """Each attribute is made by uvicorn's own constructor."""
    source = inspect.getsource(httptools_impl.HttpToolsProtocol)
    for name in PER_CONNECTION:
        assert re.search(rf"self\.{name}(:.*)? =", source), name


def test_a_request_has_what_is_used() -> None:
    """Each attribute is made by the constructor of a cycle, which calls `transport` by these names only."""
    source = inspect.getsource(httptools_impl.RequestResponseCycle)
    for name in PER_REQUEST:
        assert re.search(rf"self\.{name}(:.*)? =", source), name
    used = set(re.findall(r"\btransport\.(\w+)\(", inspect.getsource(httptools_impl)))
    assert used <= {name for name in dir(ClosingTransport) if not name.startswith("_")} | {"is_closing"}


def test_flow_control() -> None:
    """Reading can be stopped and taken up again."""
    for name in ("pause_reading", "resume_reading", "pause_writing", "resume_writing", "drain"):
        assert callable(getattr(FlowControl, name))


def test_the_parser_says_that_an_upgrade_was_offered() -> None:
    """It stops behind the head, says where, and the callbacks know before that."""
    seen: list[bool] = []

    class Callbacks:
        def on_headers_complete(self) -> None:
            seen.append(parser.should_upgrade())

    parser = httptools.HttpRequestParser(Callbacks())
    head = b"POST / HTTP/1.1\r\nupgrade: h2c\r\nconnection: upgrade\r\ncontent-length: 2\r\n\r\n"
    with pytest.raises(httptools.HttpParserUpgrade) as stopped:
        parser.feed_data(head + b"{}")
    assert (seen, stopped.value.args[0]) == ([True], len(head))


def test_the_floor_is_what_was_tried() -> None:
    """An installed version is never below the floor, so these tests have seen every version that is allowed."""
    extras = tomllib.loads(PYPROJECT.read_text())["project"]["optional-dependencies"]["server"]
    [floor] = [line.removeprefix("uvicorn>=") for line in extras if line.startswith("uvicorn>=")]
    assert [int(part) for part in version("uvicorn").split(".")[:2]] >= [
        int(part) for part in floor.split(".")[:2]
    ]
