"""`nexusflow serve` as strangers, operators and process managers meet it: its own process, real sockets."""

from __future__ import annotations

import contextlib
import json
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.asgi.asking import BODY
from tests.asgi.serving import LIMIT, Serving, environment, serving
from tests.servers import (
    JSON,
    SSE,
    Fault,
    Gate,
    RawClient,
    Received,
    ScriptedUpstream,
    Step,
    answer,
    chunk,
    head,
    request,
)

STREAM = BODY.replace(b'"model"', b'"stream":true,"model"')
LATER = [pytest.mark.matrix, pytest.mark.smoke]
"""The same once more, in another combination: with the hosts and servers of the matrix."""


@pytest.mark.parametrize("workers", ["1", "2"])
def test_it_is_bounded_before_a_request(workers: str) -> None:
    """Headers that never end and a long URL are refused while they arrive, with every number of workers."""
    with serving("--offline", "--workers", workers) as running:
        with RawClient(running.port) as client:
            client.send(b"GET /" + b"a" * 20_000)
            head, body = client.head(), client.rest()
            assert (head.status, json.loads(body)["error"]["type"]) == (414, "invalid_request_error")
        with RawClient(running.port) as client:
            client.send(b"GET /health HTTP/1.1\r\n" + b"x: 1\r\n" * 28_000)
            assert client.head().status == 431


def test_connections_without_a_request_leave_files_for_others() -> None:
    """Half of the process's descriptors may wait; the oldest makes room, and a newcomer is served."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (128, hard))  # the process inherits it
    try:
        started = serving("--offline")
        running = started.__enter__()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    with contextlib.ExitStack() as open_ones:
        open_ones.push(started)
        clients = [open_ones.enter_context(RawClient(running.port)) for _ in range(65)]
        assert clients[0].rest() == b"", "the oldest was closed"
        got, _ = clients[-1].call("/v1/messages", [], BODY)
        assert got.status == 200


def test_it_keeps_the_body_of_a_jdk_client() -> None:
    """An offer of HTTP/2 on the plain port changes nothing."""
    offer = [
        (b"Connection", b"Upgrade, HTTP2-Settings"),
        (b"Upgrade", b"h2c"),
        (b"HTTP2-Settings", b"AAEAAEAA"),
    ]
    with serving("--offline") as running, RawClient(running.port) as client:
        client.send(request("/v1/messages", offer, STREAM))
        assert client.head().status == 200
        assert client.rest().endswith(b'data: {"type":"message_stop"}\n\n')


# Signals

CONFIG = """
[upstreams.anthropic]
dialect = "anthropic"
base_url = "{url}"
auth = "none"
[[routes]]
model = "claude-*"
targets = ["anthropic"]
retry = {{ attempts = 3, max_wait = 60 }}
[limits]
calls_per_key = 2
[auth]
keys = ["env:ONE_KEY", "env:TWO_KEY"]
[log]
calls = "calls.jsonl"
"""
ENV = {"ONE_KEY": "nxf-one", "TWO_KEY": "nxf-two"}
ONE, TWO = [(b"x-api-key", b"nxf-one")], [(b"x-api-key", b"nxf-two")]
MESSAGE = b'{"type":"message","id":"m","usage":{"input_tokens":3,"output_tokens":1}}'
START = (
    b'event: message_start\ndata: {"type":"message_start","message":{"id":"m","type":"message",'
    b'"role":"assistant","content":[],"model":"claude-x","usage":{"input_tokens":3,"output_tokens":1}}}\n\n'
)


def script(received: Received) -> Sequence[Step]:
    """An upstream that never ends what it begins, and asks the model `claude-busy` to come again in a while."""
    if b"claude-busy" in received.body:
        return answer(429, [*JSON, (b"retry-after", b"50")], [b'{"type":"error","error":{"type":"x"}}'])
    if b'"stream":true' in received.body:
        return [head(200, [*SSE, (b"transfer-encoding", b"chunked")]), chunk(START), Fault.HANG]
    return [Fault.HANG]


def overloaded(client: RawClient) -> bool:
    got, body = client.head(), json.loads(client.rest())
    assert (got.status, body["error"]["type"]) == (529, "overloaded_error")
    return got.value(b"retry-after") == b"1"


@pytest.mark.parametrize(
    ("number", "workers"),
    [
        (signal.SIGTERM, "1"),
        (signal.SIGINT, "2"),
        pytest.param(signal.SIGTERM, "2", marks=LATER),
        pytest.param(signal.SIGINT, "1", marks=LATER),
    ],
)
def test_a_signal_ends_calls_as_calls_end(number: signal.Signals, workers: str, tmp_path: Path) -> None:
    """Calls that outlast their grace get an honest end, whatever they wait for; each has its record."""
    with ScriptedUpstream(script) as upstream, contextlib.ExitStack() as open_clients:
        (tmp_path / "nexusflow.toml").write_text(CONFIG.format(url=upstream.url))
        with serving("--config", "nexusflow.toml", "--workers", workers, env=ENV, cwd=tmp_path) as running:
            clients = [open_clients.enter_context(RawClient(running.port)) for _ in range(5)]
            sync, streaming, sleeping, half, hanging = clients
            sync.post("/v1/messages", ONE, BODY)
            streaming.post("/v1/messages", ONE, STREAM)
            assert streaming.head().status == 200
            assert streaming.exactly(len(START)) == START
            sleeping.post("/v1/messages", TWO, BODY.replace(b"claude-haiku-4-5", b"claude-busy"))
            half.send(request("/v1/messages", TWO, BODY)[:-5])
            hanging.send(b"GET /health HTTP/1.1\r\n")
            upstream.wait_requests(3)
            began = time.monotonic()
            status = running.stop(number)
            took = time.monotonic() - began
            assert overloaded(sync)
            assert overloaded(sleeping)
            assert overloaded(half)
            last = streaming.rest()
            assert last.startswith(b"event: error\n")
            assert b"overloaded_error" in last
            assert last.count(b"event:") == 1
        assert status in (0, -number)
        assert 4.5 < took < 20, "grace is five seconds"
        assert "Traceback" not in running.stderr
        assert "Internal Server Error" not in running.stderr
        records = [json.loads(line) for line in (tmp_path / "calls.jsonl").read_text().splitlines()]
    assert sorted(record["ending"] for record in records) == ["error", "error", "error", "refused"]
    assert {record["error_type"] for record in records} == {"overloaded_error"}


def test_a_queued_call_is_refused_at_once(tmp_path: Path) -> None:
    """Who has no place yet will not get one any more."""
    with ScriptedUpstream(script) as upstream:
        toml = CONFIG.format(url=upstream.url).replace("calls_per_key = 2", "calls_per_key = 1")
        (tmp_path / "nexusflow.toml").write_text(toml)
        with serving("--config", "nexusflow.toml", env=ENV, cwd=tmp_path) as running:
            with RawClient(running.port) as first, RawClient(running.port) as queued:
                first.post("/v1/messages", ONE, BODY)
                upstream.wait_requests(1)
                queued.post("/v1/messages", ONE, BODY)
                time.sleep(0.2)  # nothing tells from outside that it waits
                running.process.send_signal(signal.SIGTERM)
                assert overloaded(queued)
                running.process.send_signal(signal.SIGINT)  # who insists has no grace to wait for
                assert overloaded(first)
                running.process.wait(LIMIT)


@pytest.mark.parametrize("workers", ["1", "2"])
def test_sighup_reads_the_configuration_again(workers: str, tmp_path: Path) -> None:
    """New calls go by the new one, a call in flight ends where it began; a wrong one changes nothing."""
    go_on = Gate()
    steps, at_once = answer(200, JSON, [go_on, MESSAGE]), answer(200, JSON, [MESSAGE])
    with (
        ScriptedUpstream(lambda _: steps) as old,
        ScriptedUpstream(lambda _: at_once) as new,
    ):
        file = tmp_path / "nexusflow.toml"
        file.write_text(CONFIG.format(url=old.url))
        with serving("-v", "--config", file, "--workers", workers, env=ENV, cwd=tmp_path) as running:
            wait_for_lines(running, "Application startup complete", int(workers))  # each has read the file
            with RawClient(running.port) as client:
                client.post("/v1/messages", ONE, BODY)
                old.wait_requests(1)
                file.write_text("[[routes")
                running.process.send_signal(signal.SIGHUP)
                wait_for_lines(running, "the new configuration has mistakes", int(workers))
                file.write_text(CONFIG.format(url=new.url))
                running.process.send_signal(signal.SIGHUP)
                wait_for_lines(running, "the configuration was read again", int(workers))
                for _ in range(4):
                    with RawClient(running.port) as another:
                        assert another.call("/v1/messages", ONE, BODY)[0].status == 200
                assert len(new.requests) == 4
                go_on.open()
                assert client.head().status == 200
                assert client.rest() == MESSAGE
            assert running.stop() in (0, -signal.SIGTERM)
    assert len(old.requests) == 1


def wait_for_lines(running: Serving, text: str, count: int) -> None:
    """Returns once the server's log has said it so many times."""
    assert running.process.stderr is not None
    while count:
        line = running.process.stderr.readline()
        assert line, "the server has ended"
        count -= text in line


HOST = """
import uvicorn
from starlette.applications import Starlette
from starlette.routing import Mount
from nexusflow_asgi import NexusFlow

def mounted():
    gateway = NexusFlow(config="nexusflow.toml", grace=0.2, close_on_signals=True)
    return Starlette(routes=[Mount("/llm", gateway)], lifespan=gateway.lifespan)

def middleware():
    return NexusFlow(Starlette(), config="nexusflow.toml", prefix="/llm", grace=0.2, close_on_signals=True)

def alone():
    return NexusFlow(config="nexusflow.toml", prefix="/llm", grace=0.2, close_on_signals=True)

if __name__ == "__main__":
    import sys
    workers = int(sys.argv[2])
    uvicorn.run("host:" + sys.argv[1], factory=True, port=0, workers=workers, timeout_graceful_shutdown=20)
"""


def connected(port: int) -> RawClient:
    """uvicorn's supervisor says where it runs before its workers listen."""
    end = time.monotonic() + LIMIT
    while True:
        try:
            return RawClient(port)
        except ConnectionRefusedError:
            assert time.monotonic() < end
            time.sleep(0.02)


@pytest.mark.parametrize(
    ("form", "workers"),
    [
        ("mounted", "1"),
        ("mounted", "2"),
        ("middleware", "1"),
        ("alone", "1"),
        pytest.param("middleware", "2", marks=LATER),
        pytest.param("alone", "2", marks=LATER),
    ],
)
def test_a_host_under_uvicorn_has_the_same(form: str, workers: str, tmp_path: Path) -> None:
    """With `close_on_signals=True` calls end honestly in every form of a host, before uvicorn cancels them."""
    with ScriptedUpstream(script) as upstream:
        (tmp_path / "nexusflow.toml").write_text(CONFIG.format(url=upstream.url))
        (tmp_path / "host.py").write_text(HOST)
        process = subprocess.Popen(
            [sys.executable, "host.py", form, workers],
            env={**environment(ENV), "PYTHONPATH": str(Path(__file__).parents[2])},
            cwd=tmp_path,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        try:
            assert process.stderr is not None
            port = None
            while port is None:
                line = process.stderr.readline()
                assert line, "it did not start"
                if "running on" in line:
                    port = int(line.split("http://127.0.0.1:")[1].split()[0])
            with connected(port) as sync, connected(port) as streaming:
                streaming.post("/llm/v1/messages", ONE, STREAM)
                assert streaming.head().status == 200
                assert streaming.exactly(len(START)) == START
                sync.post("/llm/v1/messages", ONE, BODY)
                upstream.wait_requests(2)
                process.send_signal(signal.SIGTERM)
                assert overloaded(sync)
                assert streaming.rest().startswith(b"event: error\n")
            stderr = process.communicate(timeout=LIMIT)[1]
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
        assert "Traceback" not in stderr
        records = [json.loads(line) for line in (tmp_path / "calls.jsonl").read_text().splitlines()]
    assert [record["ending"] for record in records] == ["error", "error"]
