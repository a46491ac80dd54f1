"""Message threads: the provider keeps the history, and a `continue` request sends the new turn only. Upstreams
without threads would take that turn for the whole conversation.
"""

from typing import Any

import msgspec

from nexusflow_core.errors import InvalidRequestError
from nexusflow_core.json_spans import members
from nexusflow_core.untyped import MALFORMED, is_zero, object_of

__all__ = ["UNSUPPORTED", "continues_thread", "thread_of", "thread_refused"]

UNSUPPORTED: dict[str, Any] = {"error_code": "thread_unsupported_request", "unsupported": ["thread"]}
"""Details that make the SDK and Claude Code send the whole conversation again."""


def thread_of(text: bytes) -> dict[str, Any]:
    """Returns the thread object of a request's body; {} if there is none."""
    if b'"thread"' not in text:
        return {}
    found = [text[start:end] for name, start, end in members(text) if name == "thread"]
    try:
        asked = object_of(msgspec.json.decode(found[-1])) if found else {}
    except MALFORMED:
        return {}
    return {} if is_zero(asked) else asked


def continues_thread(text: bytes) -> bool:
    """True if the provider keeps the history of this request."""
    return thread_of(text).get("type") == "continue"


def thread_refused() -> InvalidRequestError:
    """Returns the error that makes clients send the whole conversation."""
    return InvalidRequestError(
        "thread: this upstream keeps no threads; send the whole conversation without `thread`",
        details=UNSUPPORTED,
    )
