"""The features: what a client sends for each, and what Anthropic answers."""

from collections.abc import Mapping
from typing import Any, NamedTuple

__all__ = ["FEATURES", "Feature"]


class Feature(NamedTuple):
    """One feature on the wire. What is empty is not looked at."""

    name: str
    members: Mapping[str, Any] = {}
    """Members of the request's body."""
    headers: Mapping[str, str] = {}
    answer: Mapping[str, Any] = {}
    """Members of the message."""
    block: Mapping[str, Any] = {}
    """A content block in front of the text."""
    usage: Mapping[str, Any] = {}
    event: Mapping[str, Any] = {}
    """An event of the stream, in front of `message_delta`."""
    path: str = "/v1/messages"
    exact: bool = False
    """True: request and answer must pass byte for byte, with their blanks and their order."""


def _beta(value: str) -> dict[str, str]:
    return {"anthropic-beta": value}


_FALLBACK = {
    "type": "fallback",
    "from": {"model": "claude-opus-5"},
    "to": {"model": "claude-sonnet-5"},
    "trigger": "refusal",
}
_HOP = {"type": "fallback_message", "model": "claude-sonnet-5", "input_tokens": 25, "output_tokens": 12}

FEATURES = [
    Feature(
        "message threads",
        members={"thread": {"type": "create"}},
        headers=_beta("message-threads-2026-08-12"),
    ),
    Feature(
        "fallbacks on the server",
        members={"fallbacks": [{"model": "claude-sonnet-5"}]},
        headers=_beta("server-side-fallback-2026-07-01"),
        block=_FALLBACK,
        usage={"iterations": [_HOP]},
    ),
    Feature(
        "fallback credit",
        members={"fallback_credit_token": "fct_0123456789"},
        headers=_beta("fallback-credit-2026-06-01"),
        usage={"fallback_credit": {"status": {"type": "redeemed"}}},
    ),
    Feature(
        "safeguards",
        members={"safeguards": [{"type": "dangerous_tool_use"}]},
        headers=_beta("dangerous-tool-use-2026-09-03"),
    ),
    Feature(
        "diagnostics of the prompt cache",
        members={"diagnostics": {"previous_message_id": "msg_01Previous"}},
        answer={
            "diagnostics": {
                "cache_miss_reason": {"type": "system_changed", "cache_missed_input_tokens": 2048},
            }
        },
    ),
    Feature(
        "billing policy",
        members={"billing_policy": {"type": "billing_policy", "bill_to": "user_profile"}},
        headers=_beta("user-profiles-billing-2026-10-01"),
    ),
    Feature(
        "prefill of the answer",
        members={
            "messages": [
                {"role": "user", "content": "Give me JSON"},
                {"role": "assistant", "content": '{"city":'},
            ]
        },
    ),
    Feature("every byte of request and answer", exact=True),
    Feature("counting tokens", path="/v1/messages/count_tokens"),
    Feature("Message Batches", path="/v1/messages/batches", members={"requests": []}),
    Feature("API version 2026-10-21", headers={"anthropic-version": "2026-10-21"}),
    Feature(
        "a field and an event of the future",
        members={"invented_2027": {"colour": "green", "depth": [1, 2.50, None]}},
        headers=_beta("invented-2027-01-01"),
        answer={"invented_answer": {"depth": 1.50}},
        block={"type": "invented_block", "inside": {"a": 1}},
        usage={"invented_tokens": 7},
        event={"type": "invented_event", "a": 1},
    ),
]
