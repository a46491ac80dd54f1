"""Usage in Anthropic's names: from counts of a dialect, from bits of them in a stream, or estimated."""

from typing import Any

from nexusflow_core.counting import TOKEN_BYTES
from nexusflow_core.untyped import is_object, is_zero
from nexusflow_core.usage import MAX_USAGE_MEMBERS
from nexusflow_core.usage.chat import ChatCounts, count

__all__ = ["TOTALS", "estimated_usage", "merge_usage", "usage_of"]

TOTALS = ("input_tokens", "cache_creation_input_tokens", "cache_read_input_tokens", "output_tokens")


def estimated_usage(prompt_tokens: int, output_bytes: int) -> dict[str, Any]:
    """Where the upstream gives no usage. Shown, and never priced as a fact."""
    return {
        "input_tokens": prompt_tokens,
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": 0,
        "output_tokens": -(-output_bytes // TOKEN_BYTES),
    }


def merge_usage(known: dict[str, Any], usage: dict[str, Any], deepest: int = 2) -> None:
    """Field by field the last that tells something. A zero behind a count tells nothing: what has been used
    stays used. Ever new members are left out beyond a bound, `deepest` objects down."""
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
    """Usage in Anthropic's names: the prompt less what was read and written, so that nothing counts twice."""
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
