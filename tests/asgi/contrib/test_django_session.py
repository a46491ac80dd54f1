"""Django's session user calls the gateway: the example's project, in a process and a database of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]

SCRIPT = """
import json, os, sys
os.environ["DJANGO_SETTINGS_MODULE"] = "django_project.settings"
import anyio
from django.conf import settings
import django
if len(sys.argv) > 1:
    settings.SESSION_ENGINE = sys.argv[1]
    settings.SECRET_KEY = "not-a-secret-but-long-enough-to-sign-with"
django.setup()
from django.contrib.auth import get_user_model, login
from django.core.management import call_command
from django.http import HttpRequest
from importlib import import_module
from nexusflow_asgi import NexusFlow
from nexusflow_asgi.contrib.django import session_user
from nexusflow_core import Principal
from tests.asgi.asking import ask, offline

call_command("migrate", run_syncdb=True, verbosity=0)
records = []

class Hook:
    def after(self, record):
        records.append(record)

def cookie(user):
    request = HttpRequest()
    request.session = import_module(settings.SESSION_ENGINE).SessionStore()
    login(request, user, backend="django.contrib.auth.backends.ModelBackend")
    request.session.save()
    return f"theme=dark; {settings.SESSION_COOKIE_NAME}={request.session.session_key}".encode()

alice = get_user_model().objects.create(username="alice", last_name="red")
gone = get_user_model().objects.create(username="gone")
cookies = [cookie(alice), b"", b"theme=dark", b"sessionid=invented", cookie(gone)]
gone.is_active = False
gone.save()

async def calls(to):
    app = NexusFlow(config=offline(), transport="offline", authenticate=session_user(to), hooks=[Hook()])
    return [(await ask(app, headers=[(b"cookie", one)])).status for one in cookies]

statuses = anyio.run(calls, None)
anyio.run(calls, lambda user: Principal(user.get_username(), metadata={"team": user.last_name}))
served = [(it.principal, dict(it.metadata), list(it.scopes)) for it in records if it.status == 200]
print(json.dumps([statuses, served]))
"""


def run(folder: Path, *arguments: str) -> list[object]:
    environ = {**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'tests/hosts'}"}
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, *arguments],
        cwd=folder,
        env=environ,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    found: list[object] = json.loads(done.stdout.splitlines()[-1])
    return found


SERVED = [
    ["1", {}, ["caller:1", "user:1"]],
    ["alice", {"team": "red"}, ["caller:alice"]],
]


def test_the_user_who_is_logged_in_calls(tmp_path: Path) -> None:
    """Without a session, with an invented one, and with that of an inactive user it is a 401."""
    assert run(tmp_path) == [[200, 401, 401, 401, 401], SERVED]


def test_any_engine_of_sessions(tmp_path: Path) -> None:
    """Also the one that keeps the session in the cookie itself."""
    assert run(tmp_path, "django.contrib.sessions.backends.signed_cookies") == [
        [200, 401, 401, 401, 401],
        SERVED,
    ]
