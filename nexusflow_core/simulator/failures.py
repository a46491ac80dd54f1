"""The errors that the simulated service can answer with, by the names Anthropic gave them.

What other protocols answer for the same names is in their own tables.
"""

from __future__ import annotations

import msgspec


class Failure(msgspec.Struct, frozen=True):
    """One error answer: HTTP status, wire type, message, and seconds to wait before a retry.

    `code` and `param` (the field at fault) are told only by protocols that have them.
    """

    status: int
    type: str
    message: str
    retry_after: int | None = None
    code: str | None = None
    param: str | None = None

    @property
    def retryable(self) -> bool:
        """Whether the service tells SDKs to try again (`x-should-retry`)."""
        return self.status in (408, 409, 429) or self.status >= 500


FAILURES = {
    failure.type: failure
    for failure in (
        Failure(400, "invalid_request_error", "simulated: the request is not valid"),
        Failure(401, "authentication_error", "invalid x-api-key"),
        Failure(402, "billing_error", "simulated: a problem with billing or payment"),
        Failure(403, "permission_error", "simulated: your API key may not use the resource"),
        Failure(404, "not_found_error", "simulated: the requested resource could not be found"),
        Failure(409, "conflict_error", "simulated: the request conflicts with the state of the resource"),
        Failure(413, "request_too_large", "Request exceeds the maximum size"),
        Failure(
            429,
            "rate_limit_error",
            "This request would exceed your organization's rate limit (simulated)",
            retry_after=1,
        ),
        Failure(500, "api_error", "Internal server error"),
        Failure(504, "timeout_error", "Request timed out"),
        Failure(529, "overloaded_error", "Overloaded"),
    )
}


def invalid_request(message: str) -> Failure:
    """A 400 that says which field is wrong, worded like `max_tokens: Field required`."""
    return Failure(400, "invalid_request_error", message)
