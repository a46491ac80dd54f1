"""Why an answer stopped, in Anthropic's words: one table for streams and whole answers."""

from typing import Any

from msgspec import Struct

from nexusflow_core.errors import UpstreamError, UpstreamStatus

__all__ = ["Ending", "ending", "unknown_finish"]


class Ending(Struct, frozen=True):
    """`stop_reason`, `stop_sequence` and `stop_details` of a message."""

    stop_reason: str
    stop_sequence: str | None = None
    stop_details: dict[str, Any] | None = None


_CUT = frozenset({"length", "max_tokens", "max_output_tokens", "MAX_TOKENS"})
_FILTERED = frozenset({"content_filter", "sensitive"})
_FULL = frozenset({"model_length", "model_context_window_exceeded"})
_FAILED = frozenset({"error", "network_error", "insufficient_system_resource"})
_DONE = frozenset({"stop", "eos", "end_turn", "tool_calls", "function_call"})


def ending(
    finish: str | None, *, native: str | None, stop_text: Any, refusal: str, calls: bool, found: str | None
) -> Ending | UpstreamError:
    """The ending of a finish reason and what came with it; an error where the vendor calls its failure one.

    `native` is OpenRouter's native_finish_reason, `stop_text` vLLM's stop_reason, `found` a stop string that
    was found here.
    """
    if found is not None or isinstance(stop_text, str):
        return Ending("stop_sequence", found if found is not None else stop_text)
    if refusal:
        return Ending("refusal", None, {"type": "refusal", "category": None, "explanation": refusal})
    if finish in _FILTERED:
        return Ending("refusal", None, {"type": "refusal", "category": None, "explanation": None})
    if finish in _CUT or native in _CUT:
        return Ending("max_tokens")
    if finish in _FULL:
        return Ending("model_context_window_exceeded")
    if finish in ("error", "network_error"):
        return UpstreamStatus(502, "api_error", "the upstream ended its answer with an error")
    if finish == "insufficient_system_resource":
        return UpstreamStatus(529, "overloaded_error", "the upstream has no resources left")
    return Ending("tool_use") if calls else Ending("end_turn")


def unknown_finish(finish: str | None) -> bool:
    """Whether a finish reason is none that is known, so that it was taken for a natural end."""
    return bool(finish) and finish not in _DONE | _CUT | _FILTERED | _FULL | _FAILED
