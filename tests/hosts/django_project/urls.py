"""The host's own pages."""

from django.http import HttpRequest, HttpResponse
from django.urls import path


def home(request: HttpRequest) -> HttpResponse:
    return HttpResponse("the host's own page")


urlpatterns = [path("", home)]
