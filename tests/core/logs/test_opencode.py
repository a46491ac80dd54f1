"""Messages of opencode."""

from typing import Any

from nexusflow_core.logs import Pricer, Skipped
from tests.core.logs.independent import dollars, read, total

MESSAGE: dict[str, Any] = {
    "id": "msg_1",
    "sessionID": "ses_1",
    "role": "assistant",
    "time": {"created": 1_763_640_000_123, "completed": 1_763_640_004_000},
    "parentID": "msg_0",
    "modelID": "claude-opus-4-7",
    "providerID": "anthropic",
    "mode": "build",
    "agent": "build",
    "path": {"cwd": "/somewhere", "root": "/somewhere"},
    "cost": 0.0195,
    "tokens": {
        "total": 10_500,
        "input": 3000,
        "output": 400,
        "reasoning": 100,
        "cache": {"read": 6000, "write": 1000},
    },
}


def test_the_kinds_of_tokens_do_not_overlap() -> None:
    """Reasoning is output beside the rest of the output; the cache is no input."""
    (entry,) = read(MESSAGE)
    assert total([entry]) == dollars("anthropic", "claude-opus-4-7", 3000, 6000, 1000, 0, 500)
    assert (entry.id, entry.session, entry.agent, entry.upstream) == ("msg_1", "ses_1", "build", "anthropic")
    assert entry.at.isoformat() == "2025-11-20T12:00:00.123000+00:00"


def test_opencode_s_own_cost() -> None:
    """It is compared with ours, and counts where no price is known."""
    (entry,) = read({**MESSAGE, "modelID": "acme-1", "providerID": "acme"})
    cost = Pricer().price(entry).cost
    assert cost is not None
    assert (cost.femto_usd, cost.flags) == (195 * 10**11, ("logged_cost",))


def test_what_is_no_answer_does_not_count() -> None:
    """What the user said, and an answer without tokens."""
    user = {"id": "msg_0", "sessionID": "ses_1", "role": "user", "time": {"created": 1}}
    assert read(user, {**MESSAGE, "tokens": None}) == []


def test_messages_that_cannot_be_read() -> None:
    """Negative counts, and a time that is none."""
    for changes in ({"tokens": {"input": -1}}, {"time": {"created": 1e300}}):
        assert isinstance(read({**MESSAGE, **changes})[0], Skipped)
