"""A FastAPI dependency as the gateway's authentication, in a real FastAPI app."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Annotated, Any, NamedTuple

import anyio
import pytest
from fastapi import Depends, FastAPI, Header, HTTPException, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from nexusflow_asgi import NexusFlow
from nexusflow_asgi.contrib.fastapi import from_dependency
from nexusflow_core import CallRecord, Principal
from tests.asgi.asking import Answer, ask, offline
from tests.planted import assert_no_key


class User(NamedTuple):
    id: int
    team: str


async def database(request: Request) -> AsyncIterator[dict[str, User]]:
    """A dependency of the dependency, which needs the host's app."""
    yield request.app.state.users


def current_user(
    token: Annotated[HTTPAuthorizationCredentials, Depends(HTTPBearer())],
    users: Annotated[dict[str, User], Depends(database)],
) -> User:
    """A sync function, as most are: it runs in FastAPI's threads."""
    if token.credentials == "teapot":
        raise HTTPException(418, "no coffee here", {"x-why": "teapot"})
    try:
        return users[token.credentials]
    except KeyError:
        raise HTTPException(401, "unknown token") from None


class Host:
    """A FastAPI app whose gateway authenticates by a dependency."""

    def __init__(self, dependency: Any, **options: Any) -> None:
        self.records: list[CallRecord] = []
        self.app = FastAPI()
        self.app.state.users = {"sk-alice-token": User(7, "red")}
        authenticate = from_dependency(dependency, app=self.app, **options)
        self.gateway = NexusFlow(config=offline(), transport="offline", authenticate=authenticate, hooks=[self])
        self.app.mount("/llm", self.gateway)

    def after(self, record: CallRecord) -> None:
        self.records.append(record)

    def call(self, *headers: tuple[bytes, bytes]) -> Answer:
        return anyio.run(lambda: ask(self.app, "/llm/v1/messages", headers=headers))


def bearer(token: str) -> tuple[bytes, bytes]:
    return b"authorization", b"Bearer " + token.encode()


def principal(user: User) -> Principal:
    return Principal(str(user.id), metadata={"team": user.team}, consumes=("authorization",))


def test_the_user_of_a_dependency_calls() -> None:
    """With what it depends on itself, solved by FastAPI."""
    host = Host(current_user, to=principal)
    assert host.call(bearer("sk-alice-token")).status == 200
    assert (host.records[0].principal, host.records[0].metadata) == ("7", {"team": "red"})


def test_what_a_dependency_raises_is_the_answer() -> None:
    """Its status, words and headers, in Anthropic's shape, whatever handlers the host has."""
    host = Host(current_user, to=principal)

    @host.app.exception_handler(HTTPException)
    async def own_page(request: Request, error: HTTPException) -> Any:
        raise AssertionError("the host's handler must not answer a call")

    got = host.call(bearer("sk-wrong-token"))
    assert (got.status, got.error) == (401, "authentication_error")
    assert b"unknown token" in got.body
    got = host.call(bearer("teapot"))
    assert (got.status, got.value(b"x-why")) == (418, b"teapot")
    assert host.call().status in (401, 403), "FastAPI's own answer to a call without credentials"


def test_a_missing_header_is_a_401() -> None:
    """FastAPI would answer 422. The place is named, the value is not."""

    async def by_number(x_user: Annotated[int, Header()]) -> int:
        return x_user

    host = Host(by_number)
    assert host.call((b"x-user", b"12")).status == 200
    assert host.records[0].principal == "12"
    for headers in ((), ((b"x-user", b"sk-not-a-number"),)):
        got = host.call(*headers)
        assert (got.status, got.error) == (401, "authentication_error")
        assert b"header x-user" in got.body
        assert_no_key(got.body, "an answer")


@pytest.mark.parametrize("found", [None, Principal("p"), "name", 5])
def test_a_dependency_may_return_what_authenticate_may(found: Any) -> None:
    """A principal, an id, or None for an unknown caller."""
    host = Host(lambda: found)
    assert host.call().status == (401 if found is None else 200)


def test_overrides_of_the_host_count() -> None:
    """As in the host's own tests."""
    host = Host(current_user, to=principal)
    host.app.dependency_overrides[current_user] = lambda: User(1, "test")
    assert host.call().status == 200
    assert host.records[0].principal == "1"


def test_a_dependency_that_fails_is_a_500_without_its_words() -> None:
    """The log has the reason."""

    def broken() -> str:
        raise RuntimeError("words of the host")

    host = Host(broken)
    got = host.call()
    assert (got.status, got.error) == (500, "api_error")
    assert b"words" not in got.body


def test_the_body_stays_the_gateways() -> None:
    """A dependency that reads the body gets an empty one; the upstream gets the whole."""

    async def greedy(request: Request) -> str:
        assert await request.body() == b""
        return "u"

    assert Host(greedy).call().status == 200
