"""FastAPI: the dependency that authenticates your routes authenticates calls too."""

from collections.abc import Callable
from contextlib import AsyncExitStack
from typing import Annotated, Any

from fastapi import Depends, FastAPI, Response
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from starlette.types import Message, Receive, Scope, Send

from nexusflow_asgi.auth import Authenticate, Known
from nexusflow_core.errors import AuthenticationFailedError

__all__ = ["from_dependency"]

_HANDLERS = "starlette.exception_handlers"
"""The host's handlers would answer; an exception must reach the gateway, which answers in Anthropic's shape."""


def from_dependency(
    dependency: Callable[..., Any],
    to: Callable[[Any], Known] | None = None,
    *,
    app: FastAPI | None = None,
) -> Authenticate:
    """Returns an `authenticate` for `NexusFlow` that solves a dependency, with all that it depends on itself.

    - `dependency`: as in `Depends(dependency)`. It returns the caller: a Principal, its id, or None (401). Its
      HTTPException becomes the answer, in Anthropic's shape. A missing header is a 401.
    - `to`: makes a Principal or an id of what the dependency returns, such as your own user object.
    - `app`: the app whose `dependency_overrides` count, for tests.

    The dependency sees an empty body. A dependency with `yield` ends before the call goes upstream.
    """

    async def caller(found: Annotated[Any, Depends(dependency)]) -> Response:
        return _Found(found)

    route = APIRoute("/", caller, dependency_overrides_provider=app)

    async def authenticate(scope: Scope) -> Known:
        found: list[Any] = []

        async def send(message: Message) -> None:
            if "found" in message:
                found.append(message["found"])

        async with AsyncExitStack() as stack:
            inner = {name: value for name, value in scope.items() if name != _HANDLERS}
            inner.update(path_params={}, fastapi_middleware_astack=stack)
            try:
                await route.app(inner, _empty, send)
            except RequestValidationError as error:
                raise AuthenticationFailedError(_missing(error)) from None
        who = found[0] if found else None
        return who if who is None or to is None else to(who)

    return authenticate


class _Found(Response):
    """Carries what the dependency returned through FastAPI's route."""

    def __init__(self, found: Any) -> None:
        super().__init__()
        self._found = found

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "nexusflow.found", "found": self._found})


async def _empty() -> Message:
    return {"type": "http.request", "body": b"", "more_body": False}


def _missing(error: RequestValidationError) -> str:
    """Returns which parts of the request are wrong, without their values: they may be credentials."""
    places = [" ".join(map(str, one.get("loc", ()))) for one in error.errors()[:5]]
    return f"the caller is not authenticated: {', '.join(places)} is missing or wrong"
