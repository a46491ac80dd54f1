"""Finds errors in Responses answers, and maps their codes to statuses."""

import re
from typing import Any

import msgspec
from msgspec.structs import replace

from nexusflow_core.dialects.openai_responses.schema import Event, Response
from nexusflow_core.dialects.openai_responses.vendors import Vendor
from nexusflow_core.overflow import too_long
from nexusflow_core.translation.error_bodies import ReportedFailure, message_of, read_error, read_error_body
from nexusflow_core.translation.errors import Origin
from nexusflow_core.translation.json_lenient import decode_json
from nexusflow_core.untyped import is_zero, object_of
from nexusflow_core.upstream import Credential, Upstream

__all__ = ["error_in", "error_of_answer", "error_of_body", "origin_of", "refused_parts"]

_FAILED = ("failed", "cancelled", "canceled", "expired")


def origin_of(vendor: Vendor, model: str, upstream: Upstream, credential: Credential | None) -> Origin:
    """Returns the Origin of this vendor's errors. `model` is the name that the client sent."""
    return Origin(too_long, vendor.unknown_model, model, upstream, credential)


def error_in(event: Event) -> ReportedFailure | None:
    """Returns the error in an event of a stream, flat or nested; None for an event without an error."""
    if event.response is not None and (reported := error_of_answer(event.response)) is not None:
        return reported
    kind = event.type if isinstance(event.type, str) else ""
    if not is_zero(event.error):
        beside = {"message": event.message, "code": event.code}
        return _understood({"error": event.error, **({} if isinstance(event.error, dict) else beside)})
    flat = not kind and not (is_zero(event.message) and is_zero(event.detail))
    if kind in ("error", "response.error", "response.failed") or flat:
        return _understood({"message": event.message, "code": event.code, "detail": event.detail})
    return None


def error_of_answer(response: Response) -> ReportedFailure | None:
    """Returns the error of a failed or cancelled answer; None for any other answer."""
    status = str(response.status or "").lower()
    if is_zero(response.error) and status not in _FAILED:
        return None
    reported = _understood({"error": response.error} if not is_zero(response.error) else {})
    return (
        reported
        if reported.message or reported.words
        else replace(reported, message=f"the upstream's answer is {status}")
    )


def error_of_body(body: bytes) -> ReportedFailure:
    """Returns the error in the body of an error response, or in JSON without an answer."""
    reported = read_error_body(body)
    try:
        members = object_of(decode_json(body))
    except msgspec.DecodeError:
        members = {}
    kind = members.get("error_type") or object_of(members.get("error")).get("error_type")
    return _meant(
        replace(reported, words=f"{reported.words} {kind[:200]}") if isinstance(kind, str) else reported
    )


def _understood(error: dict[str, Any]) -> ReportedFailure:
    reported = read_error({name: value for name, value in error.items() if not is_zero(value)})
    if not reported.message and is_zero(error.get("error")):
        reported = replace(reported, message=str(message_of(error) or ""))
    return _meant(reported)


def refused_parts(reported: ReportedFailure, status: int) -> tuple[str, ...]:
    """Returns `reasoning` or `summaries` if the upstream refused it: the call can do without them."""
    if status != 400:
        return ()
    if "invalid_encrypted_content" in reported.words:
        return ("reasoning",)
    return ("summaries",) if _SUMMARIES.search(reported.message[:_LOOK]) else ()


# The meaning of a code

_SUMMARIES = re.compile(r"reasoning\.summary|must be verified to generate reasoning summar", re.I)
_REFUSED = re.compile(r"\binvalid_prompt\b|\bcontent_?filter|\w+_policy(?:_violation)?\b", re.I)
"""These codes become a refusal by the model. Agents handle a refusal better than an error."""
_WRONG_KEY = re.compile(r"\s*Incorrect API key", re.I)
_STATUS = (
    (re.compile(r"insufficient_quota|usage_not_included|billing"), 402),
    (re.compile(r"rate_limit|too_many_requests"), 429),
    (re.compile(r"overloaded|slow_down"), 529),
    (re.compile(r"server_error|vector_store_timeout|internal_error"), 500),
    (re.compile(r"model_not_found|not_found_error"), 404),
    (re.compile(r"invalid_api_key|authentication"), 401),
    (
        re.compile(
            r"image|unsupported_|unknown_parameter|invalid_|context_length|previous_response|data_residency|\w+_value"
        ),
        400,
    ),
)
"""Pattern of codes and their status, for errors inside status 200. The first match counts."""
_LOOK = 2000


def _meant(reported: ReportedFailure) -> ReportedFailure:
    """Returns the error, with its status and with words that the error patterns know."""
    words, message = reported.words, reported.message
    if _WRONG_KEY.match(message):
        words += " invalid_api_key"
    elif "usage_not_included" in words:
        words += " insufficient_quota"
    elif _REFUSED.search(words) and not too_long(message, words):
        words += " content_filter"
    status = reported.status or next(
        (status for pattern, status in _STATUS if pattern.search(words.lower())), None
    )
    return replace(reported, words=words, status=status)
