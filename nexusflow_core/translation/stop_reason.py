"""Translates finish reasons to Anthropic's stop reasons: one table for streams and whole answers."""

import re
from collections.abc import Container
from enum import Enum, auto
from functools import lru_cache
from typing import Any

from msgspec import Struct

from nexusflow_core.errors import UpstreamError, UpstreamStatusError
from nexusflow_core.untyped import compiled

__all__ = ["CUT_SHORT", "End", "Ending", "Stopped", "end_of", "ending_of"]

CUT_SHORT = frozenset({"max_tokens", "model_context_window_exceeded", "refusal"})
"""Stop reasons of answers that end in the middle."""


class Ending(Struct, frozen=True):
    """`stop_reason`, `stop_sequence` and `stop_details` of a message."""

    stop_reason: str
    stop_sequence: str | None = None
    stop_details: dict[str, Any] | None = None
    guessed: bool = False
    """The vendor's word is unknown, and its meaning was guessed from its parts."""


class End(Enum):
    """The meaning of a finish reason."""

    NATURAL = auto()
    CUT = auto()  # the limit of output tokens
    FULL = auto()  # the context window
    FILTERED = auto()
    BUSY = auto()
    LATE = auto()
    FAILED = auto()  # the vendor gave up


_MEANINGS = {
    End.NATURAL: """
        stop stopped eos eos_token eosfound eos_found end_of_text endoftext end end_turn ended stop_sequence
        stop_str stop_string stopstringfound stop_token stop_token_id stopped_eos stopped_word complete
        completed done normal finish finished success succeeded ok tool_calls tool_call toolcalls tool_use
        function_call function_calls
        """,
    End.CUT: """
        length max_tokens max_token max_output_tokens max_completion_tokens max_new_tokens maxtokens max_output
        max_len max_length maxpredictedtokensreached stopped_limit limit token_limit truncated truncation
        cut_off cutoff incomplete repetition repetition_truncation repetition_detected not_finished
        """,
    End.FULL: """
        model_length model_context_window_exceeded context_length context_length_exceeded contextlengthreached
        context_window_exceeded context_limit max_context max_context_length
        """,
    End.FILTERED: """
        content_filter content_filtered contentfilter content_filter_error content_policy
        content_policy_violation sensitive safety refusal refused recitation prohibited_content blocklist spii
        language image_safety image_prohibited_content image_recitation escalation model_armor guardrail
        guardrails guardrail_intervened error_toxic toxic moderation moderated flagged blocked
        policy_violation jailbreak
        """,
    End.BUSY: "insufficient_system_resource overloaded server_overloaded engine_overloaded",
    End.LATE: "timeout timed_out time_limit deadline_exceeded",
    End.FAILED: """
        error errored failed failure network_error abort aborted cancel canceled cancelled user_cancel
        userstopped interrupted terminated other malformed_function_call unexpected_tool_call
        function_call_filter no_image image_other malformed_response malformed_model_output malformed_tool_use
        too_many_tool_calls missing_thought_signature error_limit unload modelunloaded load
        """,
}
_KNOWN = {word: end for end, words in _MEANINGS.items() for word in words.split()}

_PARTS = (
    (End.FAILED, r"malformed|error|fail|abort|cancel|invalid|interrupt|terminat|exception|unexpected|network"),
    (End.LATE, r"time_?out|time_?limit|deadline|timed"),
    (End.BUSY, r"rate_?limit|overload|resource|capacity|busy|unavailable"),
    (
        End.FILTERED,
        r"filter|safety|polic|guard|moderat|block|refus|prohibit|toxic|harm|sensitive|recitation|jailbreak|censor"
        r"|copyright|pii\b|unsafe|violat",
    ),
    (End.FULL, r"context|model_?length"),
    (End.CUT, r"length|max|limit|truncat|token|incomplete|repetit|cut"),
)
"""The meaning of parts of an unknown word, in this order. No part means a natural end."""

_NOTHING = frozenset({"", "null", "none", "nil", "undefined", "unspecified", "finish_reason_unspecified"})
"""Words that mean the same as no finish reason: some servers write null as text."""

_ENUM = re.compile(r"^(?:finish_?reason\w*\.|finish_reason_|reason_)")
_HUMP = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
"""The boundary of two words in camel case."""
_SHOWN = re.compile(r"[A-Za-z_]+(?:[ .:/]+[A-Za-z_]+)*")
"""A finish reason that is safe to show: digits and dashes could belong to a key."""
_LONGEST_SHOWN = 60


class Stopped(Struct, frozen=True):
    """Facts about the end of an answer. `finish`: the finish reason; `native`: that of a router's provider.

    `text`: the stop string named by the upstream. `refusal`: the model's own text. `found`: a stop string that
    was found here.
    """

    finish: str | None = None
    native: str | None = None
    text: str | None = None
    refusal: str = ""
    calls: bool = False
    found: str | None = None


def ending_of(stopped: Stopped, stops: Container[str] = ()) -> Ending | UpstreamError:
    """Returns the ending, or an error if the vendor gave up or its words are unknown.

    `stops`: the client's stop sequences. A stop string of the model's own template is a natural end.
    """
    if stopped.found is not None:
        return Ending("stop_sequence", stopped.found)
    end, guessed = end_of(stopped.finish)
    if end in _FAILURES:
        return _failure(end, stopped.finish)
    native, unsure = end_of(stopped.native)
    if end in (None, End.NATURAL) and native in (End.CUT, End.FULL, End.FILTERED):
        end = native
    elif end in (None, End.NATURAL) and native in _FAILURES and not unsure:
        return _failure(native, stopped.native)
    if stopped.refusal.strip():
        return _refused(stopped.refusal, guessed=guessed)
    if end is End.FILTERED:
        return _refused(None, guessed=guessed)
    if end is End.CUT:
        return Ending("max_tokens", guessed=guessed)
    if end is End.FULL:
        return Ending("model_context_window_exceeded", guessed=guessed)
    if stopped.calls:
        return Ending("tool_use")
    if stopped.text is not None and stopped.text in stops:
        return Ending("stop_sequence", stopped.text)
    return Ending("end_turn")


def end_of(finish: str | None) -> tuple[End | None, bool]:
    """Returns the meaning of a finish reason, None if it has none; and True if it was guessed."""
    if finish is None or len(finish) > _LONGEST:
        return (None if finish is None else End.FAILED), False
    return _end_of(finish)


_LONGEST = 200


@lru_cache(maxsize=256)
def _end_of(finish: str) -> tuple[End | None, bool]:
    part = finish.partition(":")[0].strip().replace("-", "_").replace(" ", "_")
    word = _ENUM.sub("", part.lower())
    for one in (word, _ENUM.sub("", _HUMP.sub("_", part).lower())):
        if one in _NOTHING:
            return None, False
        if one in _KNOWN:
            return _KNOWN[one], False
    return next((end for end, part in _PARTS if compiled(part).search(word)), End.FAILED), True


_FAILURES: dict[End | None, tuple[int, str, str]] = {
    End.FAILED: (502, "api_error", "the upstream ended its answer with an error"),
    End.LATE: (504, "timeout_error", "the upstream ran out of time in its answer"),
    End.BUSY: (529, "overloaded_error", "the upstream has no resources left"),
}


_PLAIN = frozenset({"error", "network_error", "insufficient_system_resource"})
"""Words that would only repeat the message."""


_OF_THE_MODEL = re.compile(r"malformed|tool|function|image|thought")
"""Words about the model's output. A prompt can cause it, so it does not count against the server."""


def _failure(end: End | None, finish: str | None) -> UpstreamStatusError:
    status, kind, message = _FAILURES[end]
    word = (finish or "").strip()
    shown = word.lower() not in _PLAIN and len(word) <= _LONGEST_SHOWN and _SHOWN.fullmatch(word)
    error = UpstreamStatusError(status, kind, f"{message}: {word}" if shown else message)
    error.counts = _OF_THE_MODEL.search(word.lower()) is None
    return error


def _refused(explanation: str | None, *, guessed: bool) -> Ending:
    details = {"type": "refusal", "category": None, "explanation": explanation}
    return Ending("refusal", None, details, guessed)
