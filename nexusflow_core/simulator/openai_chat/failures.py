"""The errors in OpenAI's form, by Anthropic's names for them and by OpenAI's own codes."""

from __future__ import annotations

from nexusflow_core.simulator.failures import Failure
from nexusflow_core.simulator.jsonvalue import Object

_REFUSED = "invalid_request_error"

NO_CREDENTIAL = Failure(
    401,
    _REFUSED,
    "You didn't provide an API key. You need to provide your API key in an Authorization header using Bearer "
    "auth (i.e. Authorization: Bearer YOUR_KEY).",
    code="invalid_api_key",
)

_BAD_REQUEST = Failure(400, _REFUSED, "simulated: the request is not valid", code="invalid_value")
_TOO_LONG = Failure(
    400,
    _REFUSED,
    "This model's maximum context length is 128000 tokens. However, your messages resulted in more (simulated)."
    " Please reduce the length of the messages.",
    param="messages",
    code="context_length_exceeded",
)
_POLICY = Failure(
    400,
    _REFUSED,
    "Your request was rejected as a result of our safety system (simulated).",
    code="content_policy_violation",
)
_BAD_KEY = Failure(
    401,
    _REFUSED,
    "Incorrect API key provided: sk-sim*****ated. "
    "You can find your API key at https://platform.openai.com/account/api-keys.",
    code="invalid_api_key",
)
_NO_QUOTA = Failure(
    429,
    "insufficient_quota",
    "You exceeded your current quota, please check your plan and billing details (simulated).",
    code="insufficient_quota",
)
_NOT_ALLOWED = Failure(
    403,
    "request_forbidden",
    "Country, region, or territory not supported",
    code="unsupported_country_region_territory",
)
_NO_MODEL = Failure(
    404,
    _REFUSED,
    "The model `{model}` does not exist or you do not have access to it.",
    code="model_not_found",
)
_CONFLICT = Failure(409, _REFUSED, "simulated: the request conflicts with another one", code="conflict")
_TOO_LARGE = Failure(413, _REFUSED, "simulated: the request body is too large", code="request_too_large")
_RATE = Failure(
    429,
    "requests",
    "Rate limit reached for {model} on requests per min (RPM): Limit 10000, Used 10000, Requested 1. "
    "Please try again in 1s. (simulated)",
    retry_after=1,
    code="rate_limit_exceeded",
)
_BROKEN = Failure(
    500, "server_error", "The server had an error while processing your request. Sorry about that! (simulated)"
)
_TIMEOUT = Failure(504, "server_error", "Request timed out (simulated)", code="timeout")
_OVERLOADED = Failure(
    503,
    "service_unavailable_error",
    "The engine is currently overloaded, please try again later (simulated)",
    code="server_is_overloaded",
)

FAILURES = {
    # as for the other protocol, so that one phrase serves both
    "invalid_request_error": _BAD_REQUEST,
    "authentication_error": _BAD_KEY,
    "billing_error": _NO_QUOTA,
    "permission_error": _NOT_ALLOWED,
    "not_found_error": _NO_MODEL,
    "conflict_error": _CONFLICT,
    "request_too_large": _TOO_LARGE,
    "rate_limit_error": _RATE,
    "api_error": _BROKEN,
    "timeout_error": _TIMEOUT,
    "overloaded_error": _OVERLOADED,
    # OpenAI's own words
    "context_length_exceeded": _TOO_LONG,
    "content_policy_violation": _POLICY,
    "invalid_api_key": _BAD_KEY,
    "insufficient_quota": _NO_QUOTA,
    "model_not_found": _NO_MODEL,
    "rate_limit_exceeded": _RATE,
    "server_error": _BROKEN,
    "server_is_overloaded": _OVERLOADED,
}


def error_body(failure: Failure) -> Object:
    """The body of an error response, which is also the data of an error inside a stream."""
    error: Object = {
        "message": failure.message,
        "type": failure.type,
        "param": failure.param,
        "code": failure.code,
    }
    return {"error": error}
