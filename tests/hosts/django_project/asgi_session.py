"""Django shares its session's user, HTTP client, logger, and its ORM for the records."""

import os
from http.cookies import SimpleCookie

from django.core.asgi import get_asgi_application
from starlette.types import Scope

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "django_project.settings")
django = get_asgi_application()  # before any of its models is imported

from django.conf import settings  # noqa: E402
from django.contrib.auth import aget_user  # noqa: E402
from django.contrib.sessions.backends.db import SessionStore  # noqa: E402
from django.http import HttpRequest  # noqa: E402
from django_project.models import LlmCall  # noqa: E402
from ledger import client, log  # noqa: E402

from nexusflow_asgi import LoggingHook, NexusFlow  # noqa: E402
from nexusflow_asgi.transports.httpx import HttpxTransport  # noqa: E402
from nexusflow_core import CallRecord, Principal  # noqa: E402


async def who(scope: Scope) -> Principal | None:
    """Django's middlewares do not run for our paths, so this reads the session as they would."""
    cookies = SimpleCookie(dict(scope["headers"]).get(b"cookie", b"").decode("latin-1"))
    if settings.SESSION_COOKIE_NAME not in cookies:
        return None
    request = HttpRequest()
    request.session = SessionStore(cookies[settings.SESSION_COOKIE_NAME].value)
    user = await aget_user(request)
    return Principal(user.get_username(), metadata={"team": user.last_name}) if user.is_authenticated else None


class Ledger:
    """Writes each record into the host's database."""

    async def after(self, record: CallRecord) -> None:
        await LlmCall.objects.acreate(
            request_id=record.request_id,
            principal=record.principal or "",
            team=record.metadata.get("team", ""),
            cost_usd=record.cost_usd,
        )


application = NexusFlow(
    django,
    config="nexusflow.toml",
    prefix="/llm",
    authenticate=who,
    transport=HttpxTransport(client),
    hooks=[Ledger(), LoggingHook(logger=log)],
)
