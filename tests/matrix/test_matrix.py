"""Every form of every host on every server, each by its example: the same promises everywhere."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from tests.matrix.cells import CELLS, Cell
from tests.matrix.environments import environment
from tests.matrix.running import HEADERS, Hosting, hosting
from tests.servers import JSON, LIMIT, SSE, Gate, answer

pytestmark = pytest.mark.matrix

MODEL = "claude-haiku-4-5"
BODY = b'{"model":"%s","max_tokens":64,"messages":[{"role":"user","content":"hello"}]}' % MODEL.encode()
STREAM = BODY.replace(b'"model"', b'"stream":true,"model"')
MESSAGE = (
    b'{"id":"msg_1","type":"message","role":"assistant","model":"%s","content":[],'
    b'"usage":{"input_tokens":3,"output_tokens":1}}'
) % MODEL.encode()
START = b'event: message_start\ndata: {"type":"message_start","message":%s}\n\n' % MESSAGE
TEXTS = [
    b'event: content_block_delta\ndata: {"type":"content_block_delta","index":0,"delta":{"text":"%d"}}\n\n' % i
    for i in range(5)
]
END = (
    b'event: message_delta\ndata: {"type":"message_delta","delta":{},"usage":{"output_tokens":5}}\n\n'
    b'event: message_stop\ndata: {"type":"message_stop"}\n\n'
)


@pytest.fixture(
    scope="module",
    params=[pytest.param(cell, id=cell.id, marks=[pytest.mark.smoke] if cell.smoke else []) for cell in CELLS],
)
def cell(request: pytest.FixtureRequest) -> Cell:
    chosen: Cell = request.param
    if chosen.skip:
        pytest.skip(chosen.skip)
    return chosen


@pytest.fixture(scope="module")
def host(cell: Cell) -> Iterator[Hosting]:
    """The example on its server, for all tests of its cell."""
    made = environment(cell.environment, cell.python)
    with hosting(made, cell.server, cell.form.app) as running:
        yield running


def test_sync(cell: Cell, host: Hosting) -> None:
    """The upstream gets the very body and the configured key, the client the very answer; there is a record."""
    host.upstream.script = lambda received: answer(200, JSON, [MESSAGE])
    with host.client() as client:
        head, body = client.call(f"{cell.form.prefix}/v1/messages?beta=true", HEADERS, BODY)
    assert (head.status, body) == (200, MESSAGE)
    received = host.upstream.requests[-1]
    assert (received.target, received.body) == (b"/v1/messages?beta=true", BODY)
    assert received.values(b"x-api-key") == [b"sk-ant-upstream"]
    record = host.next_record()
    assert (record["ending"], record["principal"], record["status"]) == ("complete", "NEXUSFLOW_KEY", 200)
    assert record["usage"] == {"input_tokens": 3, "output_tokens": 1}


def test_lock_step_stream(cell: Cell, host: Hosting) -> None:
    """The upstream sends the next event only after the client has read the last one."""
    pieces = [START, *TEXTS, END]
    gates = [Gate() for _ in pieces]
    steps = [step for pair in zip(gates, pieces, strict=True) for step in pair]
    host.upstream.script = lambda received: answer(200, SSE, steps, framing="chunked")
    with host.client() as client:
        client.post(f"{cell.form.prefix}/v1/messages", HEADERS, STREAM)
        gates[0].open()
        assert client.head().status == 200
        for gate, piece in zip(gates, pieces, strict=True):
            gate.open()
            assert client.exactly(len(piece)) == piece
        assert client.rest() == b""
    assert host.next_record()["ending"] == "complete"


def test_disconnect(cell: Cell, host: Hosting) -> None:
    """A client that leaves closes the upstream's socket; the record says so, with the usage so far."""
    host.upstream.script = lambda received: answer(200, SSE, [START, Gate()], framing="chunked")
    with host.client() as client:
        client.post(f"{cell.form.prefix}/v1/messages", HEADERS, STREAM)
        assert client.head().status == 200
        assert client.exactly(len(START)) == START
    assert host.upstream.requests[-1].cut_off()
    record = host.next_record()
    assert (record["ending"], record["usage_source"]) == ("client_gone", "partial")


def test_disconnect_before_the_answer(cell: Cell, host: Hosting) -> None:
    """The same while the upstream has not answered at all."""
    host.upstream.script = lambda received: [Gate()]
    count = len(host.upstream.requests)
    with host.client() as client:
        client.post(f"{cell.form.prefix}/v1/messages", HEADERS, BODY)
        received = host.upstream.wait_requests(count + 1)[-1]
    assert received.cut_off()
    assert host.next_record()["ending"] == "client_gone"


def test_not_ours(cell: Cell, host: Hosting) -> None:
    """Outside our path the host answers, its 404 and its docs included; alone, the 404 is ours."""
    ours = cell.form.alone
    for path in (
        "/nowhere",
        "/llm2",
        *(() if ours else ("/v1/messages", "/llmfoo/v1/messages", "/llmv1/messages")),
    ):
        with host.client() as client:
            head, body = client.call(path, HEADERS, BODY)
        assert head.status in (404, 405), path
        if not (
            cell.form.way.startswith("asgi(") and path.startswith("/llm")
        ):  # Litestar's mount takes these too
            assert (b"not_found_error" in body) == ours, path
    if not ours:
        assert host.get("/") == (200, b"the host's own page")
    if cell.form.host == "fastapi":
        assert host.get("/docs")[0] == 200
        assert list(json.loads(host.get("/openapi.json")[1])["paths"]) == ["/"]


def test_our_own_404(cell: Cell, host: Hosting) -> None:
    """What is not documented under our path is a 404 in Anthropic's shape."""
    with host.client() as client:
        for path in ("/v1/nothing", "/docs", "/v1/messages/batches"):
            head, body = client.call(cell.form.prefix + path, HEADERS, BODY)
            assert (head.status, json.loads(body)["error"]["type"]) == (404, "not_found_error"), path


def test_unauthorized(cell: Cell, host: Hosting) -> None:
    """No key is a 401 in Anthropic's shape, with a record, and nothing goes upstream."""
    count = len(host.upstream.requests)
    with host.client() as client:
        head, body = client.call(f"{cell.form.prefix}/v1/messages", HEADERS[:1], BODY)
    assert (head.status, json.loads(body)["error"]["type"]) == (401, "authentication_error")
    assert len(host.upstream.requests) == count
    assert host.next_record()["ending"] == "refused"


def test_shutdown_lets_a_stream_end(cell: Cell, host: Hosting) -> None:
    """SIGTERM during a stream that then ends by itself: the client gets all of it, its record is written."""
    if cell.why_no_end:
        pytest.skip(cell.why_no_end)
    rest = Gate()
    host.upstream.script = lambda received: answer(200, SSE, [START, rest, END], framing="chunked")
    with host.client() as client:
        client.post(f"{cell.form.prefix}/v1/messages", HEADERS, STREAM)
        assert client.head().status == 200
        assert client.exactly(len(START)) == START
        host.process.terminate()
        host.until(lambda: not host.listens(), 1)
        rest.open()
        assert client.rest() == END
    host.process.wait(LIMIT)
    assert host.next_record()["ending"] == "complete"


def test_shutdown_cuts_a_stream(cell: Cell) -> None:
    """SIGTERM during a stream that does not end: the server cuts it, its record is written all the same."""
    if cell.why_no_cut:
        pytest.skip(cell.why_no_cut)
    made = environment(cell.environment, cell.python)
    with hosting(made, cell.server, cell.form.app, extra=cell.server.cut) as host:
        host.upstream.script = lambda received: answer(200, SSE, [START, Gate()], framing="chunked")
        with host.client() as client:
            client.post(f"{cell.form.prefix}/v1/messages", HEADERS, STREAM)
            assert client.head().status == 200
            assert client.exactly(len(START)) == START
            host.stop()
        assert host.upstream.requests[0].cut_off()
        [record] = host.records()
    assert record["ending"] != "complete"
    assert record["usage"] == {"input_tokens": 3, "output_tokens": 1}
    assert record["usage_source"] == "partial"
