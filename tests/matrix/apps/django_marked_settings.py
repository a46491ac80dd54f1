"""The example's settings with more middlewares."""

from django_project.settings import *  # noqa: F403

MIDDLEWARE = ["django.middleware.gzip.GZipMiddleware", "django_middlewares.marking"]
