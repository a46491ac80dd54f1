"""The errors in OpenAI's form, by Anthropic's names for them and by OpenAI's own codes."""

from nexusflow_core.errors import UpstreamStatusError

_REFUSED = "invalid_request_error"
_SOON = {"retry-after": "1", "retry-after-ms": "1000"}

_ROWS = (
    # names that order it, status, type, code, message
    ("invalid_request_error", 400, _REFUSED, "invalid_value", "the request is not valid"),
    ("authentication_error invalid_api_key", 401, _REFUSED, "invalid_api_key", "Incorrect API key provided"),
    ("billing_error insufficient_quota", 429, *["insufficient_quota"] * 2, "You exceeded your current quota"),
    (
        "permission_error",
        403,
        "request_forbidden",
        "unsupported_country_region_territory",
        "Country not supported",
    ),
    ("not_found_error model_not_found", 404, _REFUSED, "model_not_found", "The model does not exist"),
    ("conflict_error", 409, _REFUSED, "conflict", "the request conflicts with another one"),
    ("request_too_large", 413, _REFUSED, "request_too_large", "the request body is too large"),
    ("rate_limit_error rate_limit_exceeded", 429, "requests", "rate_limit_exceeded", "Rate limit reached"),
    (
        "api_error server_error",
        500,
        "server_error",
        None,
        "The server had an error while processing your request",
    ),
    ("timeout_error", 504, "server_error", "timeout", "Request timed out"),
    (
        "overloaded_error server_is_overloaded",
        503,
        "service_unavailable_error",
        "server_is_overloaded",
        "The engine is currently overloaded, please try again later",
    ),
    (
        "context_length_exceeded",
        400,
        _REFUSED,
        "context_length_exceeded",
        "This model's maximum context length is 128000 tokens. Please reduce the length of the messages.",
    ),
    (
        "content_policy_violation",
        400,
        _REFUSED,
        "content_policy_violation",
        "Your request was rejected as a result of our safety system.",
    ),
)

FAILURES = {
    name: UpstreamStatusError(
        status,
        type,
        f"{message} (simulated)",
        headers=_SOON if code == "rate_limit_exceeded" else None,
        details={"param": None, "code": code},
    )
    for names, status, type, code, message in _ROWS
    for name in names.split()
}
"""One phrase orders an error of both protocols, so Anthropic's names are here too."""
