"""What a host hands over, by its own example: who calls, an HTTP client, a logger, a database for records."""

from __future__ import annotations

import json
import sqlite3
import subprocess
from contextlib import closing

import pytest

from tests.matrix.cells import SERVERS
from tests.matrix.environments import ROOT, environment, plain_environ
from tests.matrix.running import HEADERS, Hosting, hosting
from tests.matrix.test_matrix import BODY, MESSAGE
from tests.servers import JSON, answer, request

pytestmark = pytest.mark.matrix

UVICORN = next(server for server in SERVERS if server.name == "uvicorn (httptools, uvloop)")
HOSTS = [
    ("starlette", "3.11", "starlette_session:app"),
    ("lowest", "3.11", "starlette_session:app"),
    ("fastapi", "3.11", "fastapi_session:app"),
    ("litestar", "3.11", "litestar_session:app"),
    ("quart", "3.11", "quart_session:app"),
    ("django-5.2", "3.11", "django_project.asgi_session:application"),
    ("django-6", "3.12", "django_project.asgi_session:application"),
]


@pytest.mark.parametrize(("host", "python", "app"), HOSTS, ids=[host for host, _, _ in HOSTS])
def test_the_host_knows_who_calls(host: str, python: str, app: str) -> None:
    """Its session's user may call and stands in its own database; its logger and its HTTP client are used."""
    made = environment(host, python)
    with hosting(made, UVICORN, app) as running:
        if host.startswith("django"):
            environ = plain_environ({"PYTHONPATH": f"{ROOT}:{ROOT / 'tests/hosts'}"})
            migrate = [
                made.python,
                "-m",
                "django",
                "migrate",
                "--run-syncdb",
                "--settings",
                "django_project.settings",
            ]
            subprocess.run(migrate, cwd=running.folder, env=environ, check=True, capture_output=True)
        running.upstream.script = lambda received: answer(200, JSON, [MESSAGE])
        with running.client() as client:
            head, body = client.call("/llm/v1/messages", HEADERS, BODY)
        assert (head.status, json.loads(body)["error"]["type"]) == (401, "authentication_error")
        assert running.upstream.requests == []

        cookie = log_in(running)
        with running.client() as client:
            head, body = client.call("/llm/v1/messages", [*HEADERS[:1], (b"cookie", cookie)], BODY)
        assert (head.status, body) == (200, MESSAGE)
        [received] = running.upstream.requests
        assert received.values(b"cookie") == []
        assert received.values(b"x-api-key") == [b"sk-ant-upstream"]

        refused, served = running.next_record(), running.next_record()
        assert (refused["ending"], refused["principal"]) == ("refused", None)
        assert (served["principal"], served["metadata"]["team"]) == ("alice", "red")
        assert running.until(lambda: len(rows(running)) == 2)
        row = next(row for row in rows(running) if row[0] == served["request_id"])
        assert row[1:3] == ("alice", "red")
        assert float(row[3]) == float(served["cost_usd"])
        log = (running.folder / "host.log").read_text()
        assert "INFO:shop.llm:POST /v1/messages goes out" in log
        assert f"INFO:shop.llm:{served['request_id']} messages" in log

        if host == "litestar":  # its guard stands before us, and answers in its own words
            with running.client() as client:
                blocked = [*HEADERS[:1], (b"cookie", cookie), (b"x-blocked", b"1")]
                head, body = client.call("/llm/v1/messages", blocked, BODY)
            assert (head.status, json.loads(body)["status_code"]) == (401, 401)
            assert len(running.upstream.requests) == 1


def log_in(running: Hosting) -> bytes:
    """The host's own cookie for a user who has logged in."""
    with running.client() as client:
        client.send(request("/login", (), b""))
        head = client.head()
        assert head.status == 200, client.rest()
    [cookie] = head.values(b"set-cookie")
    return cookie.partition(b";")[0]


def rows(running: Hosting) -> list[tuple[str, ...]]:
    with closing(sqlite3.connect(running.folder / "host.sqlite3")) as database:
        return database.execute("SELECT * FROM calls").fetchall() if _has_table(database) else []


def _has_table(database: sqlite3.Connection) -> bool:
    return bool(database.execute("SELECT 1 FROM sqlite_master WHERE name = 'calls'").fetchall())
