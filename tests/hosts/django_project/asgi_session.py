"""Django shares its session's user, HTTP client, logger, and its ORM for the records."""

import os

from django.core.asgi import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "django_project.settings")
django = get_asgi_application()  # before any of its models is imported

from django.contrib.auth.base_user import AbstractBaseUser  # noqa: E402
from django_project.models import LlmCall  # noqa: E402
from ledger import client, log  # noqa: E402

from nexusflow_asgi import LoggingHook, NexusFlow  # noqa: E402
from nexusflow_asgi.contrib.django import session_user  # noqa: E402
from nexusflow_asgi.transports.httpx import HttpxTransport  # noqa: E402
from nexusflow_core import CallRecord, Principal  # noqa: E402


def caller(user: AbstractBaseUser) -> Principal:
    return Principal(user.get_username(), metadata={"team": user.last_name})


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
    authenticate=session_user(caller),
    transport=HttpxTransport(client),
    hooks=[Ledger(), LoggingHook(logger=log)],
)
