"""Directives: phrases in the user's text that control the simulator."""

import re
from collections.abc import Collection, Mapping

from msgspec import Struct

from nexusflow_core.errors import UpstreamStatusError

__all__ = ["FAILURES", "Directives", "called_tools", "read_directives"]

_ERROR = re.compile(r"simulate (stream )?error ([a-z_]+)")
_SIZE = re.compile(r"simulate ([0-9]{1,9})[0-9]* tokens?\b")
_CALL = re.compile(r"\bcall ([\w-]+(?:(?:, and |, | and )[\w-]+)*)")
_COMMA_OR_AND = re.compile(r", and |, | and ")

MAX_SIZE = 100_000
MAX_CALLS = 8

FAILURES = {
    name: UpstreamStatusError(status, name, message, headers={"retry-after": "1"} if status == 429 else {})
    for status, name, message in (
        (400, "invalid_request_error", "simulated: the request is not valid"),
        (401, "authentication_error", "invalid x-api-key"),
        (402, "billing_error", "simulated: a problem with billing or payment"),
        (403, "permission_error", "simulated: your API key may not use the resource"),
        (404, "not_found_error", "simulated: the requested resource could not be found"),
        (409, "conflict_error", "simulated: the request conflicts with the state of the resource"),
        (413, "request_too_large", "Request exceeds the maximum size"),
        (429, "rate_limit_error", "This request would exceed your organization's rate limit (simulated)"),
        (500, "api_error", "Internal server error"),
        (504, "timeout_error", "Request timed out"),
        (529, "overloaded_error", "Overloaded"),
    )
}
"""The errors that a user's text can request, by Anthropic's names."""


class Directives(Struct, frozen=True):
    """The directives in the last user text: an error, a broken stream, a number of tokens."""

    failure: UpstreamStatusError | None = None
    failure_in_stream: bool = False
    truncate: bool = False
    tokens: int | None = None


def read_directives(text: str, failures: Mapping[str, UpstreamStatusError] = FAILURES) -> Directives:
    """Returns the directives `simulate [stream ]error <type>`, `simulate truncation`, `simulate <n> tokens`.

    `failures` are the errors of the protocol, by the names used in directives.
    """
    known = (match for match in _ERROR.finditer(text) if match[2] in failures)
    error, size = next(known, None), _SIZE.search(text)
    return Directives(
        failure=None if error is None else failures[error[2]],
        failure_in_stream=error is not None and error[1] is not None,
        truncate="simulate truncation" in text,
        tokens=None if size is None else min(int(size[1]), MAX_SIZE),
    )


def called_tools(text: str, names: Collection[str]) -> tuple[str, ...]:
    """Returns the tools named after the word `call`: `call a`, `call a and b`, `call a, b and c`."""
    calls: list[str] = []
    for match in _CALL.finditer(text):
        calls.extend(name for name in _COMMA_OR_AND.split(match[1]) if name in names)
        if len(calls) >= MAX_CALLS:
            break
    return tuple(calls[:MAX_CALLS])
