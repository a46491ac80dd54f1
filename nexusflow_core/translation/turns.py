"""Turns of a conversation: neighbours of one role as one, and what a compaction has left of them."""

from collections.abc import Sequence
from typing import Any, TypeAlias

from msgspec import Struct

from nexusflow_core.messages import Block, InputMessage, OtherBlock, TextBlock
from nexusflow_core.translation.losses import Losses

__all__ = ["Placed", "Turn", "turns_of"]

Placed: TypeAlias = tuple[str, Block]
"""A block and where it stands in the request: `messages[0].content[1]`."""


class Turn(Struct):
    """`start` is the number of its first message."""

    role: str
    start: int
    content: list[Placed]


def turns_of(messages: Sequence[InputMessage], losses: Losses) -> list[Turn]:
    """A compaction's summary replaces all that stands before it, as it does at Anthropic: a user's turn."""
    turns: list[Turn] = []
    first, skip = 0, 0
    for index in range(len(messages) - 1, -1, -1):
        at = _last_compaction(messages[index].content)
        if at is not None:
            first, skip = index, at + 1
            turns.append(Turn("user", index, [_summary(messages[index].content[at], index, at, losses)]))
            break
    for index, message in enumerate(messages[first:], first):
        placed = [(f"messages[{index}].content[{i}]", block) for i, block in enumerate(message.content)]
        placed = placed[skip:] if index == first else placed
        if turns and turns[-1].role == message.role:
            turns[-1].content += placed
        elif placed or not skip or index != first:
            turns.append(Turn(message.role, index, placed))
    return turns


def _last_compaction(content: Sequence[Block]) -> int | None:
    """One without a summary has failed, and replaces nothing."""
    for at in range(len(content) - 1, -1, -1):
        block = content[at]
        if isinstance(block, OtherBlock) and block.kind == "compaction" and block.data.get("content"):
            return at
    return None


def _summary(block: Block, index: int, at: int, losses: Losses) -> Placed:
    data: dict[str, Any] = block.data if isinstance(block, OtherBlock) else {}
    path = f"messages[{index}].content[{at}]"
    if index:
        losses.hint(f"messages[:{index}]", "the compaction after it has its summary")
    if at:
        losses.hint(f"messages[{index}].content[:{at}]", "the compaction after it has its summary")
    for name, value in data.items():
        if name in ("signature", "encrypted_content") and value is not None:
            losses.hint(f"{path}.{name}", "only Anthropic can read it; the summary goes along as text")
        elif name == "tool_changes" and value:
            losses.drop(f"{path}.{name}", "every tool is offered from the start")
        elif name not in ("type", "content", "cache_control", "signature", "encrypted_content", "tool_changes"):
            losses.unknown(f"{path}.{name}")
    return path, TextBlock(str(data["content"]), data.get("cache_control"))
