"""The errors that a user's text can request, by Anthropic's names."""

from nexusflow_core.errors import UpstreamStatusError

__all__ = ["FAILURES"]

FAILURES = {
    failure.type: failure
    for failure in (
        UpstreamStatusError(400, "invalid_request_error", "simulated: the request is not valid"),
        UpstreamStatusError(401, "authentication_error", "invalid x-api-key"),
        UpstreamStatusError(402, "billing_error", "simulated: a problem with billing or payment"),
        UpstreamStatusError(403, "permission_error", "simulated: your API key may not use the resource"),
        UpstreamStatusError(404, "not_found_error", "simulated: the requested resource could not be found"),
        UpstreamStatusError(
            409, "conflict_error", "simulated: the request conflicts with the state of the resource"
        ),
        UpstreamStatusError(413, "request_too_large", "Request exceeds the maximum size"),
        UpstreamStatusError(
            429,
            "rate_limit_error",
            "This request would exceed your organization's rate limit (simulated)",
            headers={"retry-after": "1"},
        ),
        UpstreamStatusError(500, "api_error", "Internal server error"),
        UpstreamStatusError(504, "timeout_error", "Request timed out"),
        UpstreamStatusError(529, "overloaded_error", "Overloaded"),
    )
}
