"""Errors in a cloud's own shape become Anthropic's; the operator's accounts and projects stay private."""

import json
from typing import Any

import pytest

from tests.core.doors.asking import refused
from tests.core.translation.driving import REFUSED

AWS = [
    ("ValidationException:http://internal.amazon.com/x", 400, 400, "invalid_request_error"),
    ("ServiceQuotaExceededException", 400, 429, "rate_limit_error"),
    ("ThrottlingException", 429, 429, "rate_limit_error"),
    ("ModelNotReadyException", 429, 529, "overloaded_error"),
    ("ResourceNotFoundException", 404, 404, "not_found_error"),
    ("ModelTimeoutException", 408, 504, "timeout_error"),
    ("com.amazon.coral.service#InternalServerException", 500, 500, "api_error"),
    ("ServiceUnavailableException", 503, 529, "overloaded_error"),
    ("UnrecognizedClientException", 403, 500, "api_error"),
    ("InvalidSignatureException", 403, 500, "api_error"),
]


@pytest.mark.parametrize(("kind", "status", "answered", "type"), AWS)
@pytest.mark.parametrize("member", ["message", "Message"])
def test_an_error_of_aws(kind: str, status: int, answered: int, type: str, member: str) -> None:
    """The header says what it is. A failure of our own credential is not the client's to see."""
    headers = [(b"x-amzn-errortype", kind.encode())]
    driven = refused("bedrock", {member: "Too bad."}, status=status, headers=headers)
    assert (driven.status, driven.json["type"], driven.json["error"]["type"]) == (answered, "error", type)
    own = answered == 500 and status == 403
    assert driven.json["error"]["message"] == (REFUSED if own else "Too bad.")
    assert driven.record.error_type == type


def test_without_the_header_the_status_says_it() -> None:
    """The front door's 429 has a capital M, and no type."""
    driven = refused("bedrock", {"Message": "Rate exceeded"}, status=429)
    assert (driven.status, driven.json["error"]["message"]) == (429, "Rate exceeded")
    assert driven.headers["retry-after"] == "1"


def test_a_quota_of_the_account_is_not_retried() -> None:
    """A client that asks again would be refused again."""
    kind = (b"x-amzn-errortype", b"ServiceQuotaExceededException")
    driven = refused("bedrock", {"message": "No."}, status=400, headers=[kind])
    assert driven.headers["x-should-retry"] == "false"


def test_the_failed_model_says_its_own_status() -> None:
    """424 means nothing to a client of Anthropic."""
    kind = (b"x-amzn-errortype", b"ModelErrorException")
    body = {"message": "It failed.", "originalStatusCode": 529}
    assert refused("bedrock", body, status=424, headers=[kind]).status == 529
    assert refused("bedrock", {"message": "It failed."}, status=424, headers=[kind]).status == 502


def test_a_clients_own_key_is_the_clients_failure() -> None:
    """It is told that its key is unknown."""
    kind = (b"x-amzn-errortype", b"UnrecognizedClientException")
    driven = refused("bedrock", {"message": "No."}, status=403, headers=[kind], own=b"bedrock-api-key-x")
    assert (driven.status, driven.json["error"]["type"]) == (401, "authentication_error")


GOOGLE = [
    ("UNAUTHENTICATED", 401, 500, "api_error"),
    ("FAILED_PRECONDITION", 400, 403, "permission_error"),
    ("RESOURCE_EXHAUSTED", 429, 429, "rate_limit_error"),
    ("UNAVAILABLE", 503, 529, "overloaded_error"),
    ("DEADLINE_EXCEEDED", 504, 504, "timeout_error"),
    ("INVALID_ARGUMENT", 400, 400, "invalid_request_error"),
]


@pytest.mark.parametrize("in_a_list", [False, True])
@pytest.mark.parametrize(("kind", "status", "answered", "type"), GOOGLE)
def test_an_error_of_google(kind: str, status: int, answered: int, type: str, in_a_list: bool) -> None:
    """Streams answer with an array around it."""
    body: Any = {"error": {"code": status, "message": "Too bad.", "status": kind}}
    driven = refused("google", [body] if in_a_list else body, status=status)
    assert (driven.status, driven.json["error"]["type"]) == (answered, type)


def test_an_error_of_azure() -> None:
    """Its front door writes no type."""
    body = {"error": {"code": "api_not_supported", "message": "API not supported."}}
    driven = refused("foundry", body, status=404)
    assert (driven.status, driven.json["error"]["type"]) == (404, "not_found_error")
    assert driven.json["error"]["message"] == "API not supported."


def test_an_error_behind_status_200() -> None:
    """AWS's front door answers unknown operations so: it is a failure, and never an answer."""
    body = {"Output": {"__type": "com.amazon.coral.service#UnknownOperationException"}, "Version": "1.0"}
    driven = refused("bedrock-mantle", body, status=200)
    assert (driven.status, driven.json["error"]["type"]) == (404, "not_found_error")
    assert driven.record.ending == "error"


@pytest.mark.parametrize("door", ["bedrock", "bedrock-mantle", "aws", "google", "foundry"])
def test_an_error_of_anthropic_passes_byte_for_byte(door: str) -> None:
    """With its status and blanks."""
    body = b'{ "type":"error", "error":{"type":"overloaded_error","message":"Overloaded"},"request_id":"r"}'
    driven = refused(door, body, status=529)
    assert (driven.status, driven.body) == (529, body)


PRIVATE = [
    ("bedrock", "arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/abc", "123456789012"),
    ("bedrock", "User: arn:aws-us-gov:sts::210987654321:assumed-role/prod/i-0 is not here", "assumed-role"),
    ("bedrock", "account 123456789012 has no such model", "123456789012"),
    ("google", "Project `secret-project` is not allowed to use Publisher Model", "secret-project"),
    ("google", "projects/secret-project/locations/global was not found", "secret-project"),
    ("google", "the quota of acme-prod is exceeded", "acme-prod"),
    ("foundry", "deployment x of acme-claude does not exist", "acme-claude"),
]


@pytest.mark.parametrize(("door", "text", "private"), PRIVATE)
def test_what_belongs_to_the_operator_is_cut(door: str, text: str, private: str) -> None:
    """A tenant learns neither the account, nor the project, nor an ARN."""
    driven = refused(door, {"message": text}, status=400)
    assert private not in driven.body.decode()
    assert "[removed]" in driven.json["error"]["message"]
    assert private not in json.dumps(driven.headers)


def test_no_key_shows_in_an_error() -> None:
    """Not even if the cloud repeats it."""
    driven = refused("bedrock", {"message": "the key sk-cloud-key is bad"}, status=400)
    assert "sk-cloud-key" not in driven.body.decode()


def test_an_error_that_is_no_json() -> None:
    """A proxy's page has no words of use."""
    driven = refused("foundry", b"<html>Bad gateway</html>", status=502)
    assert (driven.status, driven.json["error"]["type"]) == (502, "api_error")
    assert "html" not in driven.json["error"]["message"]
