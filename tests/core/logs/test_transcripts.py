"""Claude Code's transcripts: each message once, at the time when its turn was sent, by its agent."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

from nexusflow_core.logs import Entry, Skipped, read_log, read_transcript


def line(kind: str, uuid: str, parent: str | None, second: int, **members: Any) -> bytes:
    told = {
        "type": kind,
        "uuid": uuid,
        "parentUuid": parent,
        "sessionId": "s1",
        "isSidechain": False,
        "timestamp": f"2026-10-01T12:00:{second:02}.000Z",
        "version": "2.1.300",
        "cwd": "/somewhere",
        **members,
    }
    return json.dumps(told).encode()


def answer(id: str, output: int, **members: Any) -> dict[str, Any]:
    usage = {"input_tokens": 3, "cache_creation_input_tokens": 500, "cache_read_input_tokens": 9000}
    return {
        "message": {"id": id, "model": "claude-opus-5", "usage": {**usage, "output_tokens": output}, **members}
    }


USER = line("user", "u1", None, 1, message={"role": "user", "content": "hello"})


def read(*lines: bytes) -> list[Entry]:
    found = list(read_transcript(lines))
    assert all(isinstance(it, Entry) for it in found)
    return [it for it in found if isinstance(it, Entry)]


def test_a_message_counts_once_and_its_last_line_holds() -> None:
    """A line a block, each with the usage so far; the call was sent when the line before it was written."""
    (entry,) = read(
        USER,
        line("assistant", "a1", "u1", 4, **answer("msg_1", 1)),
        line("assistant", "a2", "a1", 9, **answer("msg_1", 220, stop_reason="tool_use")),
    )
    assert entry.usage is not None
    assert (entry.usage.output_tokens, entry.usage.cache_read_tokens) == (220, 9000)
    assert entry.at == datetime(2026, 10, 1, 12, 0, 1, tzinfo=UTC)
    assert (entry.models, entry.session, entry.agent) == (("claude-opus-5",), "s1", None)
    assert entry.stop_reason == "tool_use"


def test_a_resumed_session_counts_once() -> None:
    """Its file repeats the lines of the one before it."""
    first = [USER, line("assistant", "a1", "u1", 4, **answer("msg_1", 1))]
    seen: set[str] = set()
    assert len(list(read_transcript(first, seen))) == 1
    again = [*first, line("assistant", "a2", "a1", 9, **answer("msg_2", 1))]
    assert len(list(read_transcript(again, seen))) == 1


def test_subagents_are_told_apart() -> None:
    """By their id; without one, by the line that their chain begins with."""
    named = {"isSidechain": True, "agentId": "agent-7"}
    nameless = {"isSidechain": True}
    found = read(
        USER,
        line("assistant", "a1", "u1", 2, **answer("msg_1", 1)),
        line("user", "s1", None, 3, message={}, **named),
        line("assistant", "a2", "s1", 4, **answer("msg_2", 1), **named),
        line("user", "s2", None, 5, message={}, **nameless),
        line("assistant", "a3", "s2", 6, **answer("msg_3", 1), **nameless),
        line("user", "s3", "a3", 7, message={}, **nameless),
        line("assistant", "a4", "s3", 8, **answer("msg_4", 1), **nameless),
    )
    assert [entry.agent for entry in found] == [None, "agent-7", "s2", "s2"]


def test_what_is_no_answer_of_a_model_does_not_count() -> None:
    """Claude Code's own error messages, and lines that keep house."""
    lines = [
        USER,
        line("assistant", "a1", "u1", 2, **answer("msg_1", 1), isApiErrorMessage=True),
        line(
            "assistant",
            "a2",
            "u1",
            2,
            message={"id": "m", "model": "<synthetic>", "usage": {"input_tokens": 0}},
        ),
        line("assistant", "a3", "u1", 2, message={"id": "m2", "model": "claude-opus-5"}),
        b'{"type":"file-history-snapshot","messageId":"m","isSnapshotUpdate":false}',
        b'{"type":"summary","summary":"a title","leafUuid":"a1"}',
    ]
    assert read(*lines) == []


def test_the_vendors_reason_of_a_miss_is_kept() -> None:
    """`diagnostics.cache_miss_reason`, where a version of Claude Code asked for it."""
    told = {"cache_miss_reason": {"type": "tools_changed", "cache_missed_input_tokens": 6455}}
    (entry,) = read(USER, line("assistant", "a1", "u1", 2, **answer("msg_1", 1, diagnostics=told)))
    assert entry.upstream_cache_miss == "tools_changed"


def test_a_line_that_cannot_be_read_is_told_and_the_others_count() -> None:
    """Cut off in the middle, impossible counts, a time without its zone."""
    wrong = {"id": "m", "model": "claude-opus-5", "usage": {"input_tokens": -1, "output_tokens": 1}}
    found = list(
        read_transcript(
            [
                USER,
                b'{"type":"assistant","mess',
                b"\xff\xfe",
                line("assistant", "a1", "u1", 2, message=wrong),
                line("assistant", "a2", None, 2, **answer("msg_2", 1), timestamp="yesterday"),
                line("assistant", "a3", "u1", 3, **answer("msg_3", 1)),
            ]
        )
    )
    skipped = [it.reason for it in found if isinstance(it, Skipped)]
    assert len(skipped) == 4
    assert len(found) == 5
    assert all(reason.isprintable() for reason in skipped)


def test_a_transcript_is_known_by_its_lines() -> None:
    """Also if its first lines are internal ones; no line of another log is taken for one."""
    answered = line("assistant", "a1", "u1", 4, **answer("msg_1", 1))
    internal = b'{"type":"mode","mode":"normal"}'
    usage = b'{"usage":{"input_tokens":1},"model":"claude-opus-5","at":"2026-10-01"}'
    (entry,) = (it for _, it in read_log(enumerate([internal, internal, USER, answered, internal])))
    assert isinstance(entry, Entry)
    assert entry.id == "msg_1"
    before, after = (it for _, it in read_log(enumerate([usage, b"no JSON"])))
    assert isinstance(before, Entry)
    assert isinstance(after, Skipped)
    unknown = [it for _, it in read_log(enumerate([internal] * 30))]
    assert [isinstance(it, Skipped) for it in unknown] == [True] * 30
