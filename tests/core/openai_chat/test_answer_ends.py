"""Why an answer stopped, in whatever words: never a natural end that was none."""

import pytest

from tests.core.openai_chat.careless import LOOK, X, call, lines, said, whole
from tests.core.translation.driving import streamed

ENDS: dict[str, tuple[str, ...]] = {
    "refusal": (
        *(
            "SAFETY",
            "safety",
            "RECITATION",
            "PROHIBITED_CONTENT",
            "BLOCKLIST",
            "SPII",
            "IMAGE_SAFETY",
            "refusal",
        ),
        *(
            "content_filter: PROHIBITED_CONTENT",
            "content_filtered",
            "guardrail_intervened",
            "FinishReason.SAFETY",
        ),
        *("content-filter", "policy_block_v2", "Moderated", "ERROR_TOXIC", "sensitive"),
    ),
    "max_tokens": (
        *("LENGTH", "length", "MAX_TOKENS", "repetition_truncation", "max_output_tokens", "token_limit_v2"),
        *("Length: 100", "FINISH_REASON_MAX_TOKENS", "incomplete"),
    ),
    "model_context_window_exceeded": ("model_length", "context_length_exceeded", "contextLengthReached"),
    "error": (
        *("abort", "timeout", "cancelled", "error", "MALFORMED_FUNCTION_CALL", "because", "OTHER", "aborted"),
        *("function_call_filter: MALFORMED_FUNCTION_CALL", "network_error", "TIME_LIMIT", "x" * 500),
    ),
    "end_turn": (
        "stop",
        "STOP",
        "eos",
        "eos_token",
        "COMPLETE",
        "Stop",
        "end_turn",
        "FinishReason.STOP",
        "null",
        "",
    ),
}


@pytest.mark.parametrize(
    ("reason", "word"), [(reason, word) for reason, words in ENDS.items() for word in words]
)
@pytest.mark.parametrize("text", ["Half an ans", None])
def test_what_a_finish_reason_means(reason: str, word: str, text: str | None) -> None:
    """In any case, up to a colon; a word that nobody knows is never a natural end, with text or without."""
    for driven in whole({"content": text}, word):
        if word in ("null", "") and text is None and driven.headers["content-type"] != "application/json":
            continue  # a stream that says nothing at all
        assert said(driven)[3] == reason
        assert (driven.record.ending == "error") == (reason == "error")
    if reason == "error":
        for driven in whole({"tool_calls": [call(0, "c1", "search", X)]}, word):
            assert said(driven)[3] == "error"


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["stop", "stop", "length"], "max_tokens"),
        (["null", "null", "length"], "max_tokens"),
        (["stop", "content_filter"], "refusal"),
        (["length", "null", "", None], "max_tokens"),
        (["error", "stop"], "error"),
    ],
)
def test_the_last_finish_reason_that_says_something_counts(words: list[str | None], reason: str) -> None:
    """The first one may be a server's habit; an answer that was given up stays given up."""
    choices = [{"delta": {"content": "a"}, "finish_reason": word} for word in words]
    assert said(streamed(lines(*choices)))[3] == reason


@pytest.mark.parametrize("member", ["stop_reason", "matched_stop"])
def test_a_template_s_own_stop_string_is_no_stop_sequence(member: str) -> None:
    """Only `stop`, no calls, and a string that the client asked for make one."""
    calls = {"tool_calls": [call(0, "c1", "search", X)]}
    for message, finish, text, reason in (
        (calls, "tool_calls", "<|observation|>", "tool_use"),
        (calls, "stop", "END", "tool_use"),
        ({"content": "a"}, "length", "END", "max_tokens"),
        ({"content": "a"}, "stop", "<|im_end|>", "end_turn"),
        ({"content": "a"}, "stop", "END", "stop_sequence"),
        ({"content": "a"}, "content_filter", "END", "refusal"),
    ):
        for driven in whole(message, finish, stop_sequences=["END"], **{member: text}):
            assert said(driven)[3] == reason


def test_done_is_an_end_of_its_own() -> None:
    """Behind a text or a whole call; nothing, half a call or thinking alone is no whole answer."""
    text, thought = {"delta": {"content": "Hi."}}, {"delta": {"reasoning_content": "Deep."}}
    one, half = call(0, "c1", "search", X), call(0, "c1", "search", '{"q":')
    assert said(streamed(lines(text)))[::3] == ("Hi.", "end_turn")
    assert said(streamed(lines({"delta": {"tool_calls": [one]}})))[2:] == ([LOOK], "tool_use")
    for choices in ([thought], [{"delta": {"tool_calls": [half]}}], [text, {"delta": {"tool_calls": [half]}}]):
        assert said(streamed(lines(*choices)))[3] == "error"
    assert said(streamed(lines(text, done=False)))[3] == "error"
