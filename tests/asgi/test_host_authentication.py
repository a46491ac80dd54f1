"""`authenticate` as hosts write it: plain or async, with their framework's exceptions, with users' numbers."""

from __future__ import annotations

import functools
import logging
import re
import subprocess
import sys
import threading
import uuid
from pathlib import Path
from typing import Any

import anyio
import pytest
from starlette.exceptions import HTTPException
from starlette.types import Scope

from nexusflow_asgi import NexusFlow
from nexusflow_core import Call, CallRecord, Principal
from nexusflow_core.config import decode_config
from tests.asgi.asking import OFFLINE, Answer, ask
from tests.servers import RawClient

PLACES = ["/v1/messages", "/v1/models"]


class Records:
    def __init__(self) -> None:
        self.records: list[CallRecord] = []

    def after(self, record: CallRecord) -> None:
        self.records.append(record)


def asked(authenticate: Any, path: str = "/v1/messages", backend: str = "asyncio") -> tuple[Answer, Any]:
    """The answer to one call, and its record where there is one."""
    hook = Records()
    app = NexusFlow(config=decode_config(OFFLINE), transport="offline", authenticate=authenticate, hooks=[hook])
    method = "POST" if path.endswith("messages") else "GET"
    answer = anyio.run(lambda: ask(app, path, method=method), backend=backend)
    return answer, hook.records[0] if hook.records else None


class Litestar(Exception):
    """The shape of Litestar's and of Django REST framework's exceptions, which no test needs installed."""

    def __init__(self, status_code: int, detail: Any = "", headers: Any = None) -> None:
        super().__init__(f"{status_code}: password=hunter2")
        self.status_code, self.detail, self.headers = status_code, detail, headers


@pytest.mark.parametrize("path", PLACES)
@pytest.mark.parametrize("made", [HTTPException, Litestar])
@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, "invalid_request_error"),
        (401, "authentication_error"),
        (402, "billing_error"),
        (403, "permission_error"),
        (404, "not_found_error"),
        (418, "invalid_request_error"),
        (429, "rate_limit_error"),
        (500, "api_error"),
        (503, "api_error"),
    ],
)
def test_a_frameworks_exception_is_the_answer(status: int, kind: str, made: Any, path: str) -> None:
    """Its status and words in Anthropic's shape, with its headers, less those of its own body."""
    headers = {
        "WWW-Authenticate": "Bearer",
        "Retry-After": "7",
        "content-length": "3",
        "content-type": "text/x",
    }

    async def who(scope: Scope) -> None:
        raise made(status, "not today", headers)

    answer, record = asked(who, path)
    assert (answer.status, answer.error) == (status, kind)
    assert answer.json["error"]["message"] == "not today"
    assert (answer.value(b"www-authenticate"), answer.value(b"retry-after")) == (b"Bearer", b"7")
    assert answer.value(b"content-type") == b"application/json"
    assert answer.value(b"content-length") == str(len(answer.body)).encode()
    if record is not None:
        assert (record.status, record.principal) == (status, None)
        assert record.ending == "refused"


@pytest.mark.parametrize("made", [HTTPException, Litestar])
def test_so_is_that_of_a_hook_before_the_call(made: Any) -> None:
    """A budget that is used up is a 402 or a 429 in the host's own words there too."""

    class Budget:
        def before(self, call: Call) -> None:
            raise made(429, "spent for today", {"Retry-After": "3600"})

    hook = Records()
    app = NexusFlow(config=decode_config(OFFLINE), transport="offline", hooks=[Budget(), hook])
    answer = anyio.run(lambda: ask(app))
    assert (answer.status, answer.error) == (429, "rate_limit_error")
    assert answer.json["error"]["message"] == "spent for today"
    assert answer.value(b"retry-after") == b"3600"
    assert [(record.status, record.ending) for record in hook.records] == [(429, "refused")]


@pytest.mark.parametrize("detail", ["", None, {"code": 7}, ["no"], 7])
def test_a_detail_that_is_no_text(detail: Any) -> None:
    """The status' own words stand there; the exception's text is nobody's business."""

    def who(scope: Scope) -> None:
        raise Litestar(403, detail)

    answer, _ = asked(who)
    assert (answer.status, answer.json["error"]["message"]) == (403, "Forbidden")


@pytest.mark.parametrize("status", [200, 302, 399, 600, "401", None, True])
def test_a_status_that_is_no_refusal(status: Any, caplog: pytest.LogCaptureFixture) -> None:
    """500, and the log has the reason; a redirect is no answer to an API's client."""

    async def who(scope: Scope) -> None:
        raise Litestar(status)

    answer, _ = asked(who)
    assert (answer.status, answer.error) == (500, "api_error")
    assert b"hunter2" not in answer.body
    assert "hunter2" in caplog.text


def test_headers_that_cannot_be_sent_are_left_out() -> None:
    """A line break in one would end the answer's head."""

    async def who(scope: Scope) -> None:
        raise Litestar(401, "no", {"x-a": "b\r\nx-evil: 1", "x b": "1", "x-c": "\u20ac", "x-d": 7, 7: "x"})

    answer, _ = asked(who)
    assert answer.status == 401
    sent = {name for name, _ in answer.headers}
    assert answer.value(b"x-d") == b"7"
    assert not sent & {b"x-a", b"x b", b"x-c", b"x-evil", b"7"}


def test_a_failure_of_500_is_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    """With its cause: a client's own mistakes are not."""

    async def who(scope: Scope) -> None:
        raise Litestar(503, "away")

    asked(who)
    assert "the host answered a call with status 503" in caplog.text
    assert "hunter2" in caplog.text


class Callable:
    def __call__(self, scope: Scope) -> str:
        return threading.current_thread().name


class AsyncCallable:
    async def __call__(self, scope: Scope) -> str:
        return threading.current_thread().name


def plain(scope: Scope, more: str = "") -> str:
    return threading.current_thread().name


async def awaited(scope: Scope, more: str = "") -> str:
    return threading.current_thread().name


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
@pytest.mark.parametrize(
    ("authenticate", "in_thread"),
    [
        (plain, True),
        (functools.partial(plain, more="x"), True),
        (Callable(), True),
        (Callable().__call__, True),
        (awaited, False),
        (functools.partial(awaited, more="x"), False),
        (AsyncCallable(), False),
        (AsyncCallable().__call__, False),
        (lambda scope: awaited(scope), False),
    ],
)
def test_a_plain_function_works(authenticate: Any, in_thread: bool, backend: str) -> None:
    """It runs in a thread, so that a database that blocks holds nobody else up; an async one on the loop."""
    answer, record = asked(authenticate, backend=backend)
    assert answer.status == 200
    assert (record.principal != threading.main_thread().name) is in_thread


def test_a_plain_function_may_know_nobody_and_may_raise() -> None:
    """None is 401 there too, and so is a framework's exception."""

    def refuses(scope: Scope) -> None:
        raise HTTPException(401, "who are you")

    assert asked(lambda scope: None)[0].status == 401
    answer, _ = asked(refuses)
    assert (answer.status, answer.json["error"]["message"]) == (401, "who are you")


NUMBER = uuid.UUID("12345678-1234-5678-1234-567812345678")


@pytest.mark.parametrize(
    ("who", "known"),
    [
        (Principal(7), "7"),
        (7, "7"),
        (0, "0"),
        (NUMBER, str(NUMBER)),
        (Principal(NUMBER), str(NUMBER)),
        ("a", "a"),
    ],  # type: ignore[arg-type]
)
def test_a_users_number_is_its_id(who: Any, known: str) -> None:
    """Databases number their users; records have text."""
    answer, record = asked(lambda scope: who)
    assert (answer.status, record.principal) == (200, known)


@pytest.mark.parametrize("who", [True, 7.5, b"a", Principal(None), Principal(True), Principal(b"a"), object()])  # type: ignore[arg-type]
def test_anything_else_is_nobodys_id(who: Any, caplog: pytest.LogCaptureFixture) -> None:
    """500, and the log says what it was: `True` is an answer to another question."""
    answer, _ = asked(lambda scope: who)
    assert (answer.status, answer.error) == (500, "api_error")
    assert "the principal's 'id' is" in caplog.text


APP = """
from nexusflow_asgi import NexusFlow
from nexusflow_core import decode_config

async def who(scope):
    raise RuntimeError("the session store is away")

class Ledger:
    def before(self, call):
        raise RuntimeError("the budget is away")
    def after(self, record):
        raise RuntimeError("the ledger is away")

CONFIG = decode_config(b'''
[upstreams.sim]
dialect = "anthropic"
api_key = "env:SIM_KEY"
[[routes]]
model = "*"
targets = ["sim"]
[auth]
anonymous = true
''')
unknown = NexusFlow(config=CONFIG, transport="offline", authenticate=who)
failing = NexusFlow(config=CONFIG, transport="offline", hooks=[Ledger()])
"""


@pytest.mark.parametrize(
    ("app", "reasons"),
    [("unknown", ["session store is away"]), ("failing", ["budget is away", "ledger is away"])],
)
def test_under_a_stock_uvicorn_failures_are_seen(app: str, reasons: list[str], tmp_path: Path) -> None:
    """`uvicorn app:app` configures no logging but its own: the reasons are on its stderr all the same."""
    (tmp_path / "hosted.py").write_text(APP)
    command = [sys.executable, "-m", "uvicorn", f"hosted:{app}", "--port", "0", "--no-access-log"]
    process = subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True)
    found = None
    try:
        assert process.stderr is not None
        for line in process.stderr:
            if found := re.search(r"Uvicorn running on http://127.0.0.1:(\d+)", line):
                break
        assert found
        with RawClient(int(found[1])) as client:
            body = b'{"model":"claude-x","max_tokens":9,"messages":[{"role":"user","content":"Hi"}]}'
            head, _ = client.call("/v1/messages", [(b"content-type", b"application/json")], body)
        assert head.status == 500
    finally:
        process.terminate()
        _, told = process.communicate(timeout=20)
    for reason in reasons:
        assert f"RuntimeError: the {reason}" in told


def test_no_level_and_no_handler_is_set() -> None:
    """Which lines are seen, and where, is the host's to say."""
    logger = logging.getLogger("nexusflow")
    assert (logger.level, logger.handlers, logger.propagate) == (logging.NOTSET, [], True)
