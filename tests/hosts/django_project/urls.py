"""The host's own pages."""

from django.contrib.auth import alogin, get_user_model
from django.http import HttpRequest, HttpResponse
from django.urls import path


def home(request: HttpRequest) -> HttpResponse:
    return HttpResponse("the host's own page")


async def login(request: HttpRequest) -> HttpResponse:
    """An example's: it asks for no password."""
    user, _ = await get_user_model().objects.aget_or_create(username="alice", last_name="red")
    await alogin(request, user)
    return HttpResponse("welcome")


urlpatterns = [path("", home), path("login", login)]
