"""Sessions of Codex CLI, whose counts are cumulative."""

from typing import Any

from nexusflow_core.logs import Entry, Skipped
from tests.core.logs.independent import dollars, read, total


def counts(input: int, cached: int, output: int, reasoning: int = 0, written: int = 0) -> dict[str, int]:
    return {
        "input_tokens": input,
        "cached_input_tokens": cached,
        "cache_write_input_tokens": written,
        "output_tokens": output,
        "reasoning_output_tokens": reasoning,
        "total_tokens": input + output,
    }


def line(second: int, kind: str, **payload: Any) -> dict[str, Any]:
    return {"timestamp": f"2026-11-20T10:00:{second:02}.000Z", "type": kind, "payload": payload}


def counted(second: int, total: dict[str, int] | None, last: dict[str, int] | None = None) -> dict[str, Any]:
    info = {"total_token_usage": total, "last_token_usage": last, "model_context_window": 272_000}
    return line(second, "event_msg", type="token_count", info=info, rate_limits=None)


META = line(
    0, "session_meta", id="s1", timestamp="2026-11-20T10:00:00Z", cli_version="1.0", model_provider="openai"
)
TURN = line(1, "turn_context", cwd="/somewhere", model="gpt-5", effort="medium")


def test_totals_are_cumulative() -> None:
    """Each event adds what the totals have grown by. Repeated totals and events without counts add nothing."""
    first, second = counts(10_000, 6000, 500, 300), counts(30_000, 22_000, 900, 400)
    found = read(
        META,
        TURN,
        line(2, "event_msg", type="token_count", info=None, rate_limits={}),
        counted(3, first, first),
        line(3, "response_item", type="message", role="assistant", content=[]),
        counted(4, first, first),
        counted(9, second, counts(20_000, 16_000, 400, 100)),
    )
    one = dollars("openai", "gpt-5", 4000, 6000, 0, 0, 500)
    assert total(found) == one + dollars("openai", "gpt-5", 4000, 16_000, 0, 0, 400)
    assert [(it.session, it.agent, it.upstream) for it in found] == [("s1", None, "openai")] * 2
    assert found[1].at.isoformat() == "2026-11-20T10:00:09+00:00"


def test_the_first_event_of_a_file_says_what_it_adds() -> None:
    """The totals of a forked session begin in another file. So do totals that became smaller."""
    found = read(
        META,
        TURN,
        counted(3, counts(90_000, 0, 900), counts(1000, 0, 10)),
        counted(4, counts(2000, 0, 20), counts(500, 0, 5)),
    )
    assert [(it.usage.input_tokens, it.usage.output_tokens) for it in found] == [(1000, 10), (500, 5)]


def test_old_versions_give_totals_or_last_counts_alone() -> None:
    """Both are enough."""
    by_totals = read(META, TURN, counted(3, counts(1000, 0, 10)), counted(4, counts(3000, 0, 40)))
    by_last = read(META, TURN, counted(3, None, counts(1000, 0, 10)), counted(4, None, counts(2000, 0, 30)))
    for found in (by_totals, by_last):
        assert [(it.usage.input_tokens, it.usage.output_tokens) for it in found] == [(1000, 10), (2000, 30)]


def test_a_subagent_is_told_by_its_parent() -> None:
    """Its session is the parent's, and its own id is the agent."""
    meta = line(0, "session_meta", id="s2", session_id="s1", parent_thread_id="s1", model_provider="openai")
    (entry,) = read(meta, META, TURN, counted(3, counts(1000, 0, 10)))
    assert (entry.session, entry.agent) == ("s1", "s2")


def test_lines_that_cannot_be_read() -> None:
    """Counts before any model is named, and impossible ones; the others count."""
    found = read(
        META, counted(2, counts(10, 0, 1)), TURN, counted(3, counts(20, 50, 2)), counted(4, counts(40, 50, 3))
    )
    assert [type(it) for it in found] == [Skipped, Skipped, Entry]
