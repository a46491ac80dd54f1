"""Django wrapped by NexusFlow; Django's middlewares do not run for our paths."""

import os

from django.core.asgi import get_asgi_application

from nexusflow_asgi import NexusFlow

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "django_project.settings")

application = NexusFlow(get_asgi_application(), config="nexusflow.toml", prefix="/llm")
