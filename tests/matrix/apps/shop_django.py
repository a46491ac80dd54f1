"""A shop on Django, as an author writes it: sessions, CSRF and sync views.

The gateway stands outside of Django, so a plain function looks the session up, with Django's own sync API.
"""

import os
from http.cookies import SimpleCookie
from typing import Any

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "shop_django_settings")

from django.core.asgi import get_asgi_application

django = get_asgi_application()  # before any of its models is imported

from django.contrib.auth import get_user  # noqa: E402
from django.contrib.sessions.backends.db import SessionStore  # noqa: E402
from django.http import HttpRequest  # noqa: E402
from shop_django_urls import records  # noqa: E402

from nexusflow_asgi import NexusFlow  # noqa: E402
from nexusflow_core import CallRecord, Principal  # noqa: E402


class Spend:
    def after(self, record: CallRecord) -> None:
        records.append(record)


class Refused(Exception):
    """The shop's own error, with the attributes that Django REST framework's errors have."""

    def __init__(self, status_code: int, detail: str) -> None:
        self.status_code, self.detail = status_code, detail


def who(scope: Any) -> Principal:
    """A plain function that asks the database: it runs in a thread."""
    cookies = SimpleCookie(dict(scope["headers"]).get(b"cookie", b"").decode("latin-1"))
    if "sessionid" not in cookies:
        raise Refused(401, "log in first")
    request = HttpRequest()
    request.session = SessionStore(cookies["sessionid"].value)
    user = get_user(request)
    if user.get_username() == "mallory":
        raise Refused(403, "this account is closed")
    if not user.is_authenticated:
        raise Refused(401, "log in first")
    return Principal(user.pk)


def make_app(**options: Any) -> NexusFlow:
    """The app; tests pass `transport="offline"`."""
    return NexusFlow(
        django, config="nexusflow.toml", prefix="/llm", authenticate=who, hooks=[Spend()], **options
    )


app = make_app()
