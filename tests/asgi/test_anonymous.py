"""Where nobody authenticates: what a web page can send by itself, or under a name of its own, is not served."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import anyio
import pytest
from starlette.applications import Starlette
from starlette.routing import Mount
from starlette.testclient import TestClient
from starlette.types import Scope

from nexusflow_asgi import NexusFlow
from nexusflow_core.config import decode_config
from tests.asgi.asking import BODY, OFFLINE, http_scope, offline, send
from tests.servers import RawClient, RecordingHook, Served

AS_JSON = b"content-type: application/json\r\n"
OWN_HOSTS = "localhost localhost:8787 LOCALHOST 127.0.0.1 127.0.0.1:1 127.8.9.10 [::1] [::1]:80".split()
FOREIGN_HOSTS = [
    "evil.example",
    "evil.example:8787",
    "localhost.evil.example",
    "127.0.0.1.evil.example",
    "localhost@evil.example",
    "evil.example#localhost",
    "0.0.0.0",
    "128.0.0.1",
    "[::2]",
    "[::1",
    "[::1]evil.example",
    "::1",
    "localhost:evil",
    "localhost:80:80",
    "1",
    "",
]


@pytest.fixture(scope="module")
def served() -> Iterator[Served]:
    with Served(NexusFlow(config=offline(), transport="offline")) as running:
        yield running


def post(served: Served, *lines: bytes, target: bytes = b"/v1/messages") -> tuple[int, Any]:
    """The answer to a body with these header lines and no others."""
    head = b"POST %s HTTP/1.1\r\n%scontent-length: %d\r\n\r\n" % (target, b"".join(lines), len(BODY))
    return asked(served, head + BODY)


def asked(served: Served, request: bytes) -> tuple[int, Any]:
    with RawClient(served.port) as client:
        client.send(request)
        status = client.head().status
        return status, client.rest()


@pytest.mark.parametrize("target", [b"/v1/messages", b"/v1/messages/count_tokens"])
@pytest.mark.parametrize(
    "said",
    [
        "",
        "text/plain",
        "text/plain;charset=UTF-8",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "text/plain; application/json",
        "application/jsonp",
        "application/json-seq",
        "application/problem+json",
    ],
)
def test_a_body_of_another_type(served: Served, said: str, target: bytes) -> None:
    """A page may send these without being asked, or no type at all: 415, with what to do."""
    line = b"content-type: %s\r\n" % said.encode() if said else b""
    status, body = post(served, b"host: localhost\r\n", line, target=target)
    assert status == 415
    assert b'"type":"invalid_request_error"' in body
    for word in (b"content-type: application/json", b"[auth] keys", b"authenticate"):
        assert word in body


def test_two_types(served: Served) -> None:
    """Of two types neither counts."""
    status, _ = post(served, b"host: localhost\r\n", AS_JSON, b"content-type: text/plain\r\n")
    assert status == 415


@pytest.mark.parametrize("said", ["application/json", "application/json; charset=utf-8", "Application/JSON"])
def test_json_is_served(served: Served, said: str) -> None:
    """With parameters, and in any case."""
    assert post(served, b"host: localhost\r\n", b"content-type: %s\r\n" % said.encode())[0] == 200


@pytest.mark.parametrize("host", OWN_HOSTS)
def test_a_name_of_this_machine_is_served(served: Served, host: str) -> None:
    """Loopback names and addresses, with any port."""
    assert post(served, b"host: %s\r\n" % host.encode(), AS_JSON)[0] == 200
    assert asked(served, b"GET /v1/models HTTP/1.1\r\nhost: %s\r\n\r\n" % host.encode())[0] == 200


@pytest.mark.parametrize("host", FOREIGN_HOSTS)
def test_any_other_name_is_refused(served: Served, host: str) -> None:
    """A page whose own name leads here says so in its `Host`: 403, with what to do; no models either."""
    line = b"host: %s\r\n" % host.encode()
    for status, body in (
        post(served, line, AS_JSON),
        asked(served, b"GET /v1/models HTTP/1.1\r\n" + line + b"\r\n"),
    ):
        assert status == 403
        assert b'"type":"permission_error"' in body
        for word in (b"127.0.0.1", b"[auth] keys"):
            assert word in body


@pytest.mark.parametrize(
    "lines", [b"", b"host: localhost\r\nhost: evil.example\r\n"], ids=["no host", "two hosts"]
)
def test_no_host_and_two_hosts(served: Served, lines: bytes) -> None:
    """Neither names this machine."""
    assert post(served, lines, AS_JSON)[0] == 403


def test_health_is_for_everybody(served: Served) -> None:
    """A prober calls it by whatever address it knows."""
    assert asked(served, b"GET /health HTTP/1.1\r\nhost: 10.1.2.3:8787\r\n\r\n")[0] == 200


def test_a_refused_call_has_its_record() -> None:
    """It is a call that was refused, with its status."""
    hook = RecordingHook()
    with Served(NexusFlow(config=offline(), transport="offline", hooks=[hook])) as served:
        post(served, b"host: evil.example\r\n", AS_JSON)
        [record] = hook.wait(1)
    assert (record.ending, record.status, record.error_type) == ("refused", 403, "permission_error")


def test_who_authenticates_is_asked_for_neither() -> None:
    """A gateway key cannot be sent by a page, so any name and any type will do."""
    toml = OFFLINE.replace(b"anonymous = true", b'keys = ["env:TEAM_KEY"]')
    keyed = decode_config(toml)
    keyed.resolve({"SIM_KEY": "sk-ant-simulated", "TEAM_KEY": "nxf-team"})

    async def who(scope: Scope) -> str:
        return "alice"

    for gateway in (
        NexusFlow(config=keyed, transport="offline"),
        NexusFlow(config=offline(), transport="offline", authenticate=who),
    ):
        with Served(gateway) as served:
            assert post(served, b"host: evil.example\r\nx-api-key: nxf-team\r\n")[0] == 200


def test_the_address_that_was_reached() -> None:
    """The server's own address is no name that somebody could lead here."""
    scope = http_scope(headers=[])
    for server, host, status in [
        (("10.1.2.3", 8787), b"10.1.2.3:8787", 200),
        (("10.1.2.3", 8787), b"10.1.2.4:8787", 403),
        (("fd00::7", 8787), b"[fd00::7]:8787", 200),
        (None, b"10.1.2.3", 403),
        (("/run/socket", None), b"gateway", 403),
    ]:
        headers = [(b"host", host), (b"content-type", b"application/json")]
        gateway = NexusFlow(config=offline(), transport="offline")
        asked = {**scope, "server": server, "headers": headers}
        assert anyio.run(lambda gateway=gateway, asked=asked: send(gateway, asked, BODY)).status == status


def test_a_test_client() -> None:
    """In a test of a host's own the client's made-up name is the server's; another one is foreign there too."""
    app = Starlette(routes=[Mount("/llm", NexusFlow(config=offline(), transport="offline"))])
    with TestClient(app) as client:
        as_json = {"content-type": "application/json"}
        assert client.post("/llm/v1/messages", content=BODY, headers=as_json).status_code == 200
        hostile = {**as_json, "host": "evil.example"}
        assert client.post("/llm/v1/messages", content=BODY, headers=hostile).status_code == 403
