"""A 403 of an upstream: what the caller wrote, or the gateway's own key."""

import json
from typing import Any

import pytest

from tests.core.translation.driving import REFUSED, answered, asking, drive, error, exchange_of

OF_THE_CALLER: list[Any] = [
    error("Input rejected by the provider.", code=403),
    error("Your request was blocked.", code=403),
    error('Input was flagged for "my api key and my account"', code=403),
    error("The prompt violates our usage policies", type="permission_error"),
    error("Not served: 'ignore the permission of this account'", code="forbidden"),
    error('Not served: "they said \\"no billing region\\" twice"', code="forbidden"),
    {"detail": "Forbidden"},
    b"<html><h1>403 Forbidden</h1></html>",
    b"",
]
OF_THE_GATEWAY: list[Any] = [
    error("The key you use has no right to this", code=403),
    error("Invalid API key", code="forbidden"),
    error("no", type="permission_error"),
    error("no", status="PERMISSION_DENIED"),
    error("You do not have access to the model `gpt-5.4`", code="model_access"),
    error("Country, region, or territory not supported", code="unsupported_country_region_territory"),
    error("Your account has been suspended"),
    error("Billing is not enabled"),
    error("Access to this model is denied"),
    {"message": "User: arn:aws:iam::1:user/x is not authorized to perform: bedrock:InvokeModel"},
    {"error": "The security token is invalid"},
    error("该账户没有权限"),
]


def forbidden(body: Any, *, stream: bool = False) -> Any:
    """A call with two targets, the first of which answers 403 with this body, the second 500."""
    exchange = exchange_of(asking(stream=stream), targets=2)
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return exchange, data


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("body", OF_THE_CALLER, ids=str)
def test_a_403_is_the_callers(body: Any, stream: bool) -> None:
    """It goes out as permission_error, and no other target gets the request."""
    exchange, data = forbidden(body, stream=stream)
    driven = drive(exchange, [data], status=403, headers=[])
    assert (driven.status, driven.json["error"]["type"]) == (403, "permission_error")
    assert driven.json["error"]["message"] != REFUSED
    assert [attempt.upstream for attempt in driven.record.attempts] == ["u0"]


@pytest.mark.parametrize("body", OF_THE_GATEWAY, ids=str)
def test_a_403_that_speaks_of_the_gateways_key_is_not(body: Any) -> None:
    """Key, account, permission, region, billing: the next target serves, the client learns nothing."""
    driven = answered(body, status=403)
    assert (driven.status, driven.json["error"]["message"]) == (500, REFUSED)
    exchange, data = forbidden(body)
    exchange.start(0.0)
    exchange.receive_head(403, [], 0.0)
    exchange.receive_data(data, 0.0)
    exchange.receive_eof(0.0)
    assert exchange.order.request.upstream.name == "u1"


def test_with_the_callers_own_key_every_403_is_the_callers() -> None:
    """Its key, its account: it is told so in the upstream's words."""
    driven = answered(error("Your account has been suspended"), status=403, own_key=False)
    assert (driven.status, driven.json["error"]["message"]) == (403, "Your account has been suspended")
