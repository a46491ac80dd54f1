"""The tree of errors, as its docstring draws it and as it goes over the wire."""

import copy
import importlib
import inspect
import json
import pickle
import pkgutil
import re
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from types import ModuleType

import pytest

import nexusflow_asgi
import nexusflow_core
from nexusflow_asgi.body import ClientDisconnectedError
from nexusflow_core import errors
from nexusflow_core.errors import (
    CombinedConfigError,
    ConfigError,
    InvalidRequestError,
    NexusFlowError,
    PermissionDeniedError,
    UpstreamStatusError,
    error_body,
)
from nexusflow_core.logs import NotAnEntryError
from nexusflow_core.messages.events import error_event
from nexusflow_core.prices import read_prices
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
"""Anthropic's own types, and none that is invented: SDKs choose their exception by it."""

CLASSES = [
    thing
    for thing in vars(errors).values()
    if isinstance(thing, type) and issubclass(thing, NexusFlowError) and thing is not NexusFlowError
]


OF_THE_CLASS: dict[type[NexusFlowError], str] = {errors.CapReachedError: "billing_error"}
"""A used-up budget is no rate limit: clients that wait and retry on those would wait until the window's end."""


@pytest.mark.parametrize("error", CLASSES)
def test_each_status_has_anthropics_type(error: type[NexusFlowError]) -> None:
    """Whatever class it is, what goes out is a type that clients know."""
    assert OF_THE_CLASS.get(error, WIRE[error.status]) == error.type


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
    """One document, with the request's id; the event is a single one."""
    error = InvalidRequestError('max_tokens: "0"\nis too small')
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
    """Overloads pass by themselves, so 529 is among them."""
    assert UpstreamStatusError(status, "api_error").retryable


@pytest.mark.parametrize("status", [400, 401, 402, 403, 404, 413, 422])
def test_what_is_the_callers_making(status: int) -> None:
    """It would fail again, elsewhere too."""
    assert not UpstreamStatusError(status, "api_error").retryable


def made(cls: type[NexusFlowError]) -> list[NexusFlowError]:
    """Errors of a class, with every argument that it takes."""
    if issubclass(cls, CombinedConfigError):
        return [cls([ConfigError("routes[0]", "no", place="a.toml:3"), ConfigError("", "why")])]
    if issubclass(cls, ConfigError):
        return [cls("routes[0]", "no upstream is called 'x'"), cls("", "why")]
    if issubclass(cls, UpstreamStatusError):
        return [cls(529, "overloaded_error", "busy", headers={"retry-after": "3"}), cls(400, "api_error")]
    details = {"error_code": "thread_unsupported_request"}
    return [cls("a sentence"), cls("a sentence", headers={"allow": "POST"}, details=details)]


@pytest.mark.parametrize("cls", CLASSES)
def test_every_error_crosses_processes(cls: type[NexusFlowError]) -> None:
    """A worker's error reaches its parent as it was: pickled by every protocol, copied, with notes."""
    for error in made(cls):
        error.add_note("in line 7")
        copies = [
            pickle.loads(pickle.dumps(error, protocol)) for protocol in range(pickle.HIGHEST_PROTOCOL + 1)
        ]
        for again in (*copies, copy.copy(error), copy.deepcopy(error)):
            assert type(again) is cls
            assert (str(again), again.args, vars(again)) == (str(error), error.args, vars(error))
            assert (again.status, again.type, again.message) == (error.status, error.type, error.message)


def test_a_subclass_with_arguments_of_its_own() -> None:
    """A host's error too, whatever its constructor takes."""
    again = pickle.loads(pickle.dumps(OverBudget("alice", 12)))
    assert (type(again), again.who, again.message) == (OverBudget, "alice", "alice has spent 12")


class OverBudget(PermissionDeniedError):
    """An error of a host's."""

    def __init__(self, who: str, spent: int) -> None:
        super().__init__(f"{who} has spent {spent}")
        self.who = who


def test_a_workers_error_reaches_its_parent() -> None:
    """A bad price file in a pool of processes is an error there, and not a pool that hangs."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        with pytest.raises(ConfigError, match="is not a decimal number") as error:
            pool.submit(read_prices, {"vendor": "v", "models": [BAD]}).result(timeout=60)
    assert error.value.path.startswith("models[0]")


BAD = {"id": "m", "periods": [{"tiers": [{"input": "1e-6"}]}]}


def test_other_errors_of_ours_cross_processes() -> None:
    """Those outside the tree: a line of a log, a client that left."""
    for error in (NotAnEntryError("no time"), ClientDisconnectedError("the client left")):
        assert str(pickle.loads(pickle.dumps(error))) == str(error)


@pytest.mark.parametrize("package", [nexusflow_asgi, nexusflow_core])
def test_each_exception_class_ends_in_error_and_nothing_else_does(package: ModuleType) -> None:
    """One rule for names, so that an `except` reads as what it is."""
    for info in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
        if info.name.endswith("__main__") or ".contrib.django." in info.name:  # Django's apps need its settings
            continue
        for name, made in inspect.getmembers(importlib.import_module(info.name), inspect.isclass):
            if made.__module__ == info.name:
                assert issubclass(made, BaseException) == name.endswith("Error"), f"{info.name}.{name}"
