# pyright: basic
"""Django app: caps, keys and the ledger in your own database, and the session's user as a caller.

Add `nexusflow_asgi.contrib.django` to INSTALLED_APPS for the tables. `session_user` works without.
"""

from collections.abc import Callable
from importlib import import_module
from typing import Any

from django.conf import settings
from django.contrib.auth import aget_user
from django.http import HttpRequest, parse_cookie
from starlette.types import Scope

from nexusflow_asgi.auth import Authenticate, Known
from nexusflow_core.call import Principal

__all__ = ["session_user"]


def session_user(to: Callable[[Any], Known] | None = None) -> Authenticate:
    """Returns an `authenticate` for `NexusFlow` that reads Django's session, whatever its engine.

    `to`: makes a Principal of the user; by default its id is the primary key, its scope `user:ID`. Django's
    middlewares do not run for the gateway's paths, so this does what they would. A caller without a session or
    with a user who is not active gets a 401.
    """

    async def authenticate(scope: Scope) -> Known:
        cookies = parse_cookie(dict(scope["headers"]).get(b"cookie", b"").decode("latin-1"))
        key = cookies.get(settings.SESSION_COOKIE_NAME)
        if not key:
            return None
        request: Any = HttpRequest()
        request.session = import_module(settings.SESSION_ENGINE).SessionStore(key)
        user: Any = await aget_user(request)
        if not user.is_authenticated:
            return None
        return _principal(user) if to is None else to(user)

    return authenticate


def _principal(user: Any) -> Principal:
    return Principal(str(user.pk), scopes=(f"user:{user.pk}",))
