"""The shop's pages on Django, and what its calls cost."""

from django.contrib.auth import get_user_model, login
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.urls import path
from django.views.decorators.csrf import csrf_exempt
from shop_page import PAGE

from nexusflow_core import CallRecord

records: list[CallRecord] = []


def page(request: HttpRequest) -> HttpResponse:
    return HttpResponse(PAGE)


@csrf_exempt
def log_in(request: HttpRequest, name: str) -> HttpResponse:
    """An example's: it asks for no password."""
    user, _ = get_user_model().objects.get_or_create(username=name)
    login(request, user)
    return HttpResponse("welcome")


def spend(request: HttpRequest) -> JsonResponse:
    return JsonResponse([record.as_dict() for record in records], safe=False)


urlpatterns = [path("", page), path("login/<str:name>", log_in), path("spend", spend)]
