"""Requests for tests: texts by length, breakpoints, tools, and conversations of several turns."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

MODEL = "claude-sonnet-5"
"""Caches from 1,024 tokens on."""

START = datetime(2026, 10, 1, 12, tzinfo=UTC)


def after(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def text(name: str, tokens: int = 2000, mark: str | None = None) -> dict[str, Any]:
    """A text of about so many tokens, which begins with its name."""
    return marked({"type": "text", "text": (name + " ").ljust(tokens * 9 // 2, "x")}, mark)


def marked(block: dict[str, Any], mark: str | None) -> dict[str, Any]:
    return block if mark is None else {**block, "cache_control": {"type": "ephemeral", "ttl": mark}}


def tool(name: str, mark: str | None = None, description: str = "does it") -> dict[str, Any]:
    return marked({"name": name, "description": description * 800, "input_schema": {"type": "object"}}, mark)


def user(*blocks: dict[str, Any]) -> dict[str, Any]:
    return {"role": "user", "content": list(blocks)}


def assistant(*blocks: dict[str, Any]) -> dict[str, Any]:
    return {"role": "assistant", "content": list(blocks)}


def request(*messages: dict[str, Any], **members: Any) -> dict[str, Any]:
    return {"model": MODEL, "messages": list(messages), **members}


def usage(read: int = 0, short: int = 0, long: int = 0, uncached: int = 3, **members: Any) -> dict[str, Any]:
    """The usage of an answer, as Anthropic writes it."""
    return {
        "input_tokens": uncached,
        "cache_read_input_tokens": read,
        "cache_creation_input_tokens": short + long,
        "cache_creation": {"ephemeral_5m_input_tokens": short, "ephemeral_1h_input_tokens": long},
        "output_tokens": 10,
        **members,
    }
