"""Translates a vendor's error to Anthropic's: status, type, a message without keys and URLs, and a wait."""

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from msgspec import Struct

from nexusflow_core.errors import UpstreamStatusError
from nexusflow_core.resilience import stated_wait
from nexusflow_core.spending import EXHAUSTED, is_exhausted, regained_at
from nexusflow_core.translation.error_bodies import LONGEST, ReportedFailure, seconds_of
from nexusflow_core.untyped import compiled
from nexusflow_core.upstream import Credential, Headers, Upstream, cleaned, header, masked

__all__ = ["Origin", "failure", "filtered", "rate_limits"]

_TYPES = {
    400: (400, "invalid_request_error"),
    401: (401, "authentication_error"),
    402: (402, "billing_error"),
    403: (403, "permission_error"),
    404: (404, "not_found_error"),
    405: (400, "invalid_request_error"),
    408: (504, "timeout_error"),
    409: (409, "conflict_error"),
    413: (413, "request_too_large"),
    415: (400, "invalid_request_error"),
    422: (400, "invalid_request_error"),
    429: (429, "rate_limit_error"),
    500: (500, "api_error"),
    501: (500, "api_error"),
    502: (502, "api_error"),
    503: (529, "overloaded_error"),
    504: (504, "timeout_error"),
    529: (529, "overloaded_error"),
}

_BUSY = r"(?i)slow_down|overloaded"
_FILTER = r"(?i)content_?filter|content_policy|ResponsibleAIPolicyViolation"
_OF_THE_PROMPT = (
    r"(?i)\bflagged\b|\bmoderat|\bsafety\b|\bguardrail|\b(?:content|usage|acceptable use)[ _]polic|\bharmful\b"
)
_OF_THE_GATEWAY = r"""(?ix)
    \bkeys?\b | api_?key | credential | authenti | authori[sz] | signature
    | (?:access|auth\w*|bearer|invalid|expired)[ _-]tokens?\b | \btokens?\ (?:is|was|has)\b
    | permission | privilege | \bscopes?\b | \broles?\b | \biam\b | access_?denied
    | \baccess\ (?:to\ .{0,80}\ )?(?:is\ |was\ )?denied | (?:have|has|had|no|without)\ access\b
    | account | organi[sz]ation | workspace | \bproject | tenant | subscri | entitle | suspend | deactivat
    | region | country | countries | territor | location | \bip\b | service_?disabled
    | billing | payment | credit | balance | quota | \bplans?\b | \btier
    | 密钥 | 权限 | 账户 | 账号 | 帐号 | 余额 | 欠费 | 地区
    """
"""The reason of a 403. Only the operator can solve these; all others are the caller's."""
_QUOTED = r"""(?s)"(?:\\.|[^"\\])*(?:"|$)|`[^`]*(?:`|$)|(?<!\w)\'(?:\\.|[^'\\])*\'(?!\w)"""
"""Vendors quote the caller's words, which must not be taken for their own."""
_NO_MODEL = r"(?i)model_not_found"
_LIMIT = r"(?i)rate.?limit"
_KEY = r"(?i)api.?key"
_MEANT = (
    (_KEY, 401),
    (r"(?i)unauthori[sz]ed|authenticat", 401),
    (r"(?i)permission", 403),
    (r"(?i)rate.?limit|resource_exhausted", 429),
    (r"(?i)overloaded", 529),
    (r"(?i)invalid_request", 400),
)
"""The meaning of an error in an answer of status 200, in this order: `invalid_api_key` may accompany
`invalid_request_error`."""
_TOO_LONG = "prompt is too long"
"""Anthropic's text. Agents shorten their conversation when they see it."""
_MAY_BE_TOO_LONG = (400, 413, 422, 500)
_LOOK = 10_000
"""Characters of a message that are searched for a reason: a vendor's quote of the prompt follows them."""
_LONGEST_WAIT = 60
_COUNT = re.compile(rb"[0-9]{1,18}")


class Origin(Struct, frozen=True):
    """The upstream that was asked, and how to read its errors.

    `model` is the client's name of the model, `credential` the client's own, if it has one. `too_long` gets a
    message and the vendor's words. `unknown_model`: a pattern of texts in a 400 that mean a 404.
    """

    too_long: Callable[[str, str], bool]
    unknown_model: str | None
    model: str
    upstream: Upstream
    credential: Credential | None

    @property
    def own_key(self) -> bool:
        """True if the credential was not the client's. Then the client is not told of its refusal."""
        return self.upstream.own_credential

    def cleaned(self, message: str) -> str:
        """Returns an upstream's message that is safe to show."""
        key: str | None = None
        if self.upstream.api_key is not None and self.upstream.auth != "none":
            key = self.upstream.api_key.reveal()
        elif self.credential is not None:
            key = self.credential.value.decode("latin-1")
        message = cleaned(message, key)
        for secret in self.upstream.hidden():
            message = masked(message, secret)
        return message


def failure(
    reported: ReportedFailure, status: int, headers: Headers = (), *, origin: Origin, now: datetime
) -> UpstreamStatusError:
    """Returns the error of an answer with this status, possibly 200. `now` is for `retry-after` dates."""
    made = _failure(reported, status, origin, now)
    made.headers = {**made.headers, **_retry_headers(made.status, headers, reported.wait, now)}
    return made


def _failure(reported: ReportedFailure, status: int, origin: Origin, now: datetime) -> UpstreamStatusError:
    message, words = origin.cleaned(reported.message), reported.words
    by_status = status >= 400
    unknown = not by_status
    status = status if status >= 400 else _reported_status(reported)
    unknown = unknown and status == 502
    if status == 400 and compiled(_KEY).search(words):
        status = 401
    text = f"{reported.message} {words}"
    no_model = status == 400 and origin.unknown_model and re.search(origin.unknown_model, text)
    if no_model or compiled(_NO_MODEL).search(text):
        return UpstreamStatusError(404, "not_found_error", f"model: {origin.model}")
    if (status in _MAY_BE_TOO_LONG or unknown) and origin.too_long(
        f"{reported.message[:_LOOK]} {reported.raw}", words
    ):
        text = message if message.startswith(_TOO_LONG) else f"{_TOO_LONG}: {message}"
        return UpstreamStatusError(400, "invalid_request_error", text)
    if is_exhausted(400 if unknown else status, words, f"{reported.message} {reported.raw}"):
        error = UpstreamStatusError(
            402, "billing_error", message, headers={"x-should-retry": "false"}, reason=EXHAUSTED
        )
        error.regained_at = regained_at(reported.message, now)
        return error
    if origin.own_key and (status == 401 or (status == 403 and _is_of_the_gateway(reported))):
        quiet = {"x-should-retry": "false"}
        return UpstreamStatusError(
            500, "api_error", "the gateway's own credential was refused upstream", headers=quiet
        )
    if compiled(_BUSY).search(words):
        status = 503
    mapped, kind = _TYPES.get(status, (400, "invalid_request_error") if status < 500 else (500, "api_error"))
    nothing = f"the upstream answered with status {status}" if by_status else "the upstream failed"
    return UpstreamStatusError(mapped, kind, message or origin.cleaned(words) or nothing)


def _is_of_the_gateway(reported: ReportedFailure) -> bool:
    """True if a 403 is about the gateway's key, account or region, and not about the caller's prompt."""
    shown = f"{reported.message[:_LOOK]} {reported.raw[:_LOOK]}"
    text = f"{reported.words} {compiled(_QUOTED).sub(' ', shown)}"
    return compiled(_OF_THE_PROMPT).search(text) is None and compiled(_OF_THE_GATEWAY).search(text) is not None


def filtered(reported: ReportedFailure) -> bool:
    """True for an error of a content filter: agents handle a refusal better.

    Only the vendor's words decide; its message may quote a tool's name or the user.
    """
    return compiled(_FILTER).search(reported.words) is not None


def rate_limits(headers: Headers, now: datetime) -> list[tuple[bytes, bytes]]:
    """Returns `x-ratelimit-*` as `anthropic-ratelimit-*`. The duration of a reset becomes a moment.

    Only digits and such durations are passed on. Other values could contain a key, or break the head.
    """
    given = [(name, value) for name, value in headers if name[:12] == b"x-ratelimit-"]
    found: list[tuple[bytes, bytes]] = []
    for what in (b"limit", b"remaining", b"reset") if given else ():
        for unit in (b"requests", b"tokens"):
            value = header(given, b"x-ratelimit-%b-%b" % (what, unit))
            if value is None:
                continue
            if what == b"reset":
                seconds = seconds_of(value.decode("latin-1"))
                if seconds is None:
                    continue
                value = (
                    (now + timedelta(seconds=seconds)).astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ").encode()
                )
            elif not _COUNT.fullmatch(value):
                continue
            found.append((b"anthropic-ratelimit-%b-%b" % (unit, what), value))
    return found


def _reported_status(reported: ReportedFailure) -> int:
    """Returns the status that an error in an answer of status 200 means."""
    if reported.status is not None:
        return reported.status
    meant = next((status for pattern, status in _MEANT if compiled(pattern).search(reported.words)), None)
    return meant or (429 if compiled(_LIMIT).search(reported.message) else 502)


def _retry_headers(status: int, headers: Headers, wait: float | None, now: datetime) -> dict[str, str]:
    should = header(headers, b"x-should-retry")
    found = {"x-should-retry": should.decode("latin-1")} if should in (b"true", b"false") else {}
    if status not in (429, 529):
        return found
    seconds = stated_wait(headers, now)
    if seconds is None:
        seconds = wait
    if seconds is None and status == 429:
        resets = [header(headers, b"x-ratelimit-reset-requests"), header(headers, b"x-ratelimit-reset-tokens")]
        seconds = max(
            (s for r in resets if r and (s := seconds_of(r.decode("latin-1"))) is not None), default=None
        )
    if seconds is None:
        return {**found, "retry-after": "1"} if status == 429 else found
    if seconds > _LONGEST_WAIT:
        found["x-should-retry"] = "false"
    return {**found, "retry-after": str(max(1, -int(-min(seconds, LONGEST) // 1)))}
