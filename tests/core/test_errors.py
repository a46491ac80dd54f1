"""The tree of errors, as its docstring draws it and as it goes over the wire."""

import json
import re

import pytest

from nexusflow_core import errors
from nexusflow_core.errors import InvalidRequest, NexusFlowError, UpstreamStatus, error_body, error_event
from nexusflow_core.sse import SSEDecoder

WIRE = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    405: "invalid_request_error",
    408: "invalid_request_error",
    413: "request_too_large",
    414: "invalid_request_error",
    415: "invalid_request_error",
    431: "invalid_request_error",
    429: "rate_limit_error",
    500: "api_error",
    502: "api_error",
    504: "timeout_error",
    529: "overloaded_error",
}
"""Anthropic's own types, and none that is invented (PITFALLS H1)."""

CLASSES = [
    thing
    for thing in vars(errors).values()
    if isinstance(thing, type) and issubclass(thing, NexusFlowError) and thing is not NexusFlowError
]


@pytest.mark.parametrize("error", CLASSES)
def test_each_status_has_anthropics_type(error: type[NexusFlowError]) -> None:
    """Whatever class it is, what goes out is a type that clients know."""
    assert WIRE[error.status] == error.type


def test_the_drawn_tree_is_the_tree() -> None:
    """Every class stands in the docstring, under its parent, with its status and type where it has its own."""
    drawn: dict[str, str] = {}
    path: list[str] = []
    for line in (errors.__doc__ or "").splitlines():
        if found := re.match(r"([│├└─ ]*)([A-Z]\w+)(?: +(\d{3} \w+))?", line):
            branches, name, wire = found.groups()
            path[len(branches) // 4 :] = [name]
            if wire:
                cls = getattr(errors, name)
                assert wire == f"{cls.status} {cls.type}"
            if len(path) > 1:
                drawn[name] = path[-2]
    assert drawn == {cls.__name__: cls.__mro__[1].__name__ for cls in CLASSES}


def test_an_error_as_a_body_and_as_an_event() -> None:
    """One document, with the request's id; the event is a single one (PITFALLS A14)."""
    error = InvalidRequest('max_tokens: "0"\nis too small')
    document = {
        "type": "error",
        "error": {"type": "invalid_request_error", "message": error.message},
        "request_id": "req_1",
    }
    assert json.loads(error_body(error, "req_1")) == document
    [event] = SSEDecoder().feed(error_event(error, "req_1"))
    assert (event.event, json.loads(event.data)) == ("error", document)


@pytest.mark.parametrize("status", [408, 409, 429, 500, 502, 503, 504, 529])
def test_what_may_be_tried_again(status: int) -> None:
    """PITFALLS H5, 529 among them."""
    assert UpstreamStatus(status, "api_error").retryable


@pytest.mark.parametrize("status", [400, 401, 402, 403, 404, 413, 422])
def test_what_is_the_callers_making(status: int) -> None:
    """It would fail again, elsewhere too."""
    assert not UpstreamStatus(status, "api_error").retryable
