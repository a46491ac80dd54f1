"""The items of earlier turns in a Responses request, checked: calls, their outputs, and reasoning."""

from __future__ import annotations

import hashlib
from itertools import pairwise
from typing import Any

from tests.simulator.openai_chat.checks import Refused
from tests.simulator.openai_responses.models import Fields

__all__ = ["check_history", "sealed"]


def check_history(items: list[Fields]) -> None:
    """Raises Refused for unpaired calls and outputs, and for lost or changed reasoning."""
    waiting: set[Any] = set()
    called: set[Any] = set()
    for item, follower in pairwise([*items, {}]):
        kind, call = kind_of(item), str(item.get("call_id"))
        if kind == "function_call":
            called.add(call)
            waiting.add(call)
        elif kind == "function_call_output":
            if call not in called:
                raise Refused(f"No tool call found for function call output with call_id {call}.", "input")
            waiting.discard(call)
        elif kind == "reasoning":
            _check_reasoning(item, follower)
        elif kind == "item_reference":  # the simulator stores nothing
            raise Refused(f"Item with id '{item.get('id')}' not found.", "input")
    if waiting:
        raise Refused(f"No tool output found for function call {min(waiting)}.", "input")


def kind_of(item: Fields) -> str:
    """The type of an item. Messages may omit it."""
    return str(item.get("type") or "message")


def is_made(item: Fields) -> bool:
    """Whether a model made the item in an earlier turn."""
    kind = kind_of(item)
    return item.get("role") == "assistant" or kind == "reasoning" or kind.endswith("_call")


def sealed(content: str) -> str:
    """Content with its checksum: the simulator cannot remember its answers."""
    return f"{content}.{hashlib.sha256(content.encode()).hexdigest()[:24]}"


def is_sealed(content: Any) -> bool:
    """Whether the content has the checksum of `sealed`."""
    return isinstance(content, str) and content == sealed(content.rpartition(".")[0])


def _check_reasoning(item: Fields, follower: Fields) -> None:
    if not is_made(follower):
        name = f"Item '{item.get('id', 'rs_')}' of type 'reasoning'"
        raise Refused(f"{name} was provided without its required following item.", "input")
    if item.get("encrypted_content") is not None and not is_sealed(item["encrypted_content"]):
        raise Refused("The encrypted content could not be verified.", "input", "invalid_encrypted_content")
