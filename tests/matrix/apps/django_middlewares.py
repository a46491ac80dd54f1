"""The gateway outside a Django that has a sync-only middleware and its GZipMiddleware; and one in a thread."""

import os
from collections.abc import Callable

from django.core.asgi import get_asgi_application
from django.http import HttpRequest, HttpResponse
from django.utils.decorators import sync_only_middleware

from nexusflow_asgi import NexusFlow


@sync_only_middleware
def marking(get_response: Callable[[HttpRequest], HttpResponse]) -> Callable[[HttpRequest], HttpResponse]:
    """Knows no async, so Django runs it in a thread."""

    def middleware(request: HttpRequest) -> HttpResponse:
        response = get_response(request)
        response["x-host"] = "seen"
        return response

    return middleware


os.environ["DJANGO_SETTINGS_MODULE"] = "django_marked_settings"
outside = NexusFlow(get_asgi_application(), config="nexusflow.toml", prefix="/llm")
