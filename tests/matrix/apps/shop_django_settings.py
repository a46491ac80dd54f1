"""The shop's settings: Django's usual middlewares, with its own among them."""

from collections.abc import Callable
from typing import Any

from django_project.settings import *  # noqa: F403

ROOT_URLCONF = "shop_django_urls"
INSTALLED_APPS = ["django.contrib.contenttypes", "django.contrib.auth", "django.contrib.sessions"]
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "shop_django_settings.marked",
]


def marked(get_response: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """The shop's own middleware."""

    def middleware(request: Any) -> Any:
        response = get_response(request)
        response["x-shop"] = "seen"
        return response

    return middleware
