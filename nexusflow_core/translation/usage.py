"""Usage in Anthropic's names: from a dialect's counts, merged over a stream, or estimated."""

from typing import Any

from nexusflow_core.counting import TOKEN_BYTES
from nexusflow_core.untyped import is_object, is_zero
from nexusflow_core.usage import MAX_USAGE_MEMBERS
from nexusflow_core.usage.chat import ChatCounts, count

__all__ = ["TOTALS", "estimated_usage", "merge_usage", "usage_of"]

TOTALS = ("input_tokens", "cache_creation_input_tokens", "cache_read_input_tokens", "output_tokens")


def estimated_usage(prompt_tokens: int, output_bytes: int) -> dict[str, Any]:
    """Returns usage for an upstream that sends none. It is shown, but never priced."""
    return {
        "input_tokens": prompt_tokens,
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": 0,
        "output_tokens": -(-output_bytes // TOKEN_BYTES),
    }


def merge_usage(known: dict[str, Any], usage: dict[str, Any], deepest: int = 2) -> None:
    """Merges `usage` into `known`, in place. A later zero does not replace a count.

    New members are limited in number, down to `deepest` nested objects.
    """
    for name, value in usage.items():
        before = known.get(name)
        number = isinstance(value, int | float) and value is not False
        if (is_zero(value) and not number) or (not value and count(known, name)):
            continue
        if len(known) >= MAX_USAGE_MEMBERS and name not in known:
            continue
        if is_object(value) and deepest:
            known[name] = {**before} if is_object(before) else {}
            merge_usage(known[name], value, deepest - 1)
        else:
            known[name] = value


def usage_of(it: ChatCounts) -> dict[str, Any]:
    """Returns usage in Anthropic's names. `input_tokens` excludes cached tokens, so nothing counts twice."""
    found: dict[str, Any] = {
        "input_tokens": it.prompt - it.read - it.written,
        "cache_creation_input_tokens": it.written,
        "cache_read_input_tokens": it.read,
        "output_tokens": it.output,
    }
    if it.lives is not None:
        short, hour = it.lives
        found["cache_creation"] = {"ephemeral_5m_input_tokens": short, "ephemeral_1h_input_tokens": hour}
    if it.reasoning:
        found["output_tokens_details"] = {"thinking_tokens": min(it.reasoning, it.output)}
    return found
