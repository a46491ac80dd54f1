"""Rules for the items of earlier turns, in OpenAI's words; and the seal of reasoning that is sent back."""

import hashlib
from itertools import pairwise
from typing import Any

from nexusflow_core.simulator.openai_responses.request import Item, is_made, kind_of, refused

__all__ = ["check_history", "is_sealed", "sealed"]


def check_history(items: list[Item]) -> None:
    """Raises InvalidRequestError for calls and outputs that do not match, and for lost or foreign reasoning."""
    waiting: set[Any] = set()
    called: set[Any] = set()
    for item, follower in pairwise([*items, {}]):
        kind, call = kind_of(item), str(item.get("call_id"))
        if kind == "function_call":
            called.add(call)
            waiting.add(call)
        elif kind == "function_call_output":
            if call not in called:
                raise refused(f"No tool call found for function call output with call_id {call}.")
            waiting.discard(call)
        elif kind == "reasoning":
            _check_reasoning(item, follower)
        elif kind == "item_reference":  # an id finds nothing, since nothing is stored
            raise refused(f"Item with id '{item.get('id')}' not found.")
    if waiting:
        raise refused(f"No tool output found for function call {min(waiting)}.")


def sealed(content: str) -> str:
    """Returns content that proves itself: a pure function cannot remember what it made."""
    return f"{content}.{hashlib.sha256(content.encode()).hexdigest()[:24]}"


def is_sealed(content: Any) -> bool:
    """True if `sealed` made the content."""
    return isinstance(content, str) and content == sealed(content.rpartition(".")[0])


def _check_reasoning(item: Item, follower: Item) -> None:
    if not is_made(follower):
        name = f"Item '{item.get('id', 'rs_')}' of type 'reasoning'"
        raise refused(f"{name} was provided without its required following item.")
    if item.get("encrypted_content") is not None and not is_sealed(item["encrypted_content"]):
        message = "The encrypted content could not be verified."
        raise refused(message, code="invalid_encrypted_content")
