"""Answers without an upstream: the model list, health checks, and errors of requests that are not calls."""

import functools
from datetime import UTC, datetime
from typing import Any, Final

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from nexusflow_asgi.auth import Admission
from nexusflow_asgi.backend import is_failure
from nexusflow_asgi.calls import new_request_id
from nexusflow_asgi.hooks import logger
from nexusflow_asgi.paths import MAX_PATH, Match
from nexusflow_asgi.readiness import Readiness
from nexusflow_core.errors import (
    InternalError,
    InvalidRequestError,
    MethodNotAllowedError,
    NexusFlowError,
    NotFoundError,
    PathTooLongError,
    error_body,
)
from nexusflow_core.exchange.heads import error_headers
from nexusflow_core.gateway import Gateway
from nexusflow_core.routing import allows

__all__ = ["Endpoints"]

_HOME: Final = """\
NexusFlow{version}: a gateway that speaks Anthropic's Messages API.

To use it, make the address of this page the base URL of your client, for example:
  ANTHROPIC_BASE_URL=<the address of this page>

Paths below it:
  POST v1/messages
  POST v1/messages/count_tokens
  GET  v1/models
  GET  v1/models/{{id}}
  GET  health
  GET  ready

Documentation: the README of the Python package `nexusflow`; `nexusflow --help` for the command.
"""
"""A page for a person who opens the address. It does not depend on the configuration."""


class Endpoints:
    """Serves the endpoints that are not calls. Nothing here is recorded."""

    def __init__(self, gateway: Gateway, admission: Admission, readiness: Readiness) -> None:
        self._gateway = gateway
        self._admission = admission
        self._readiness = readiness

    async def serve(self, match: Match, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            response = await self._answer(match, scope)
        except NexusFlowError as error:
            response = _error(error)
        except BaseException as error:  # the host's authenticate failed
            if not is_failure(error):
                raise
            logger.exception("%s could not be answered", match.place)
            response = _error(InternalError("internal error"))
        await response(scope, receive, send)

    async def _answer(self, match: Match, scope: Scope) -> Response:
        place = match.place
        if place == "too_long":
            raise PathTooLongError(f"the path is longer than {MAX_PATH} characters")
        if place == "unserved":
            raise NotFoundError(
                f"{scope['path']} is not served by this gateway, which serves messages and models only"
            )
        if place == "unknown":
            raise NotFoundError(f"Not found: {scope['method']} {scope['path']}"[:500])
        allowed = ("POST",) if place in ("messages", "count_tokens") else ("GET", "HEAD")
        if scope["method"] not in allowed:
            raise MethodNotAllowedError(
                "this method is not allowed here", headers={"allow": ", ".join(allowed)}
            )
        if place == "health":
            return _json({"status": "ok"})
        if place == "home":
            return Response(_home(), media_type="text/plain", headers={"request-id": new_request_id()})
        if place == "ready":
            status, report = await self._readiness.report()
            return _json(report, status)
        principal = (await self._admission.admit(scope)).principal
        allowed_models = principal.models if principal is not None else ()
        if place == "model":
            if not allows(allowed_models, match.model):
                raise NotFoundError(f"model: {match.model[:200]}")
            return _json(self._gateway.model(match.model, datetime.now(UTC)))
        models = self._gateway.models(datetime.now(UTC))
        return _json(_page([model for model in models if allows(allowed_models, model["id"])], Request(scope)))


@functools.cache
def _home() -> str:
    import importlib.metadata

    try:
        version = " " + importlib.metadata.version("nexusflow")
    except importlib.metadata.PackageNotFoundError:  # copied into a project
        version = ""
    return _HOME.format(version=version)


def _page(models: list[dict[str, Any]], request: Request) -> dict[str, Any]:
    """Returns a page of the list by `limit`, `after_id` and `before_id`, in Anthropic's form."""
    query = request.query_params
    try:
        limit = int(query.get("limit", "20"))
    except ValueError:
        limit = 0
    if not 1 <= limit <= 1000:
        raise InvalidRequestError("limit: Input should be a whole number from 1 to 1000")
    ids = [model["id"] for model in models]
    start, end = 0, len(models)
    if after := query.get("after_id"):
        start = ids.index(after) + 1 if after in ids else end
    if before := query.get("before_id"):
        end = ids.index(before) if before in ids else start
        start = max(start, end - limit)
    page = models[start : min(end, start + limit)]
    has_more = start > 0 if before else start + limit < end
    first, last = (page[0]["id"], page[-1]["id"]) if page else (None, None)
    return {"data": page, "has_more": has_more, "first_id": first, "last_id": last}


def _json(value: Any, status: int = 200) -> Response:
    headers = {"request-id": new_request_id()}
    return Response(msgspec.json.encode(value), status, media_type="application/json", headers=headers)


def _error(error: NexusFlowError) -> Response:
    request_id = new_request_id()
    body = error_body(error, request_id)
    response = Response(body, error.status)
    response.raw_headers = list(error_headers(error, request_id, len(body)))
    return response
