"""Turns of a conversation: joins neighbours of one role, and pairs each tool call with its result."""

from collections.abc import Callable, Collection, Sequence
from itertools import islice
from typing import Any, TypeAlias

from msgspec import Struct

from nexusflow_core.errors import InvalidRequestError
from nexusflow_core.messages import Block, InputMessage, OtherBlock, TextBlock, ToolResultBlock, ToolUseBlock
from nexusflow_core.translation.losses import Losses, dotted

__all__ = ["TOOL_CHANGES", "OpenCalls", "Placed", "Turn", "kind_of", "ran_at_anthropic", "turns_of"]

Placed: TypeAlias = tuple[str, Block]
"""A block, and its path in the request, such as `messages[0].content[1]`."""


class Turn(Struct, gc=False):
    """One turn. `start` is the number of its first message."""

    role: str
    start: int
    content: list[Placed]


def _reads_none(block: OtherBlock) -> bool:
    return False


def turns_of(
    messages: Sequence[InputMessage], losses: Losses, *, reads: Callable[[OtherBlock], bool] = _reads_none
) -> list[Turn]:
    """Returns the turns. The last compaction replaces all earlier messages: one that the upstream `reads` as it
    is, any other as its summary, in a user turn."""
    turns: list[Turn] = []
    first, skip = 0, 0
    for index in range(len(messages) - 1, -1, -1):
        if messages[index].plain:
            continue
        at = _last_compaction(messages[index].content, reads)
        if at is not None:
            first, skip = index, at + 1
            turns.append(_compacted(messages[index].content[at], index, at, losses, reads))
            break
    for index, message in enumerate(messages[first:], first):
        placed = _placed(message.content, index)
        placed = placed[skip:] if skip and index == first else placed
        if turns and turns[-1].role == message.role:
            turns[-1].content += placed
        elif placed or not skip or index != first:
            turns.append(Turn(message.role, index, placed))
    return turns


def _placed(content: Sequence[Block], message: int) -> list[Placed]:
    if len(content) == 1:  # most messages
        return [(f"messages[{message}].content[0]", content[0])]
    return [(f"messages[{message}].content[{index}]", block) for index, block in enumerate(content)]


def _last_compaction(content: Sequence[Block], reads: Callable[[OtherBlock], bool]) -> int | None:
    """Returns the position of the last compaction. One without a summary has failed, and does not count."""
    for at in range(len(content) - 1, -1, -1):
        block = content[at]
        if not isinstance(block, OtherBlock) or block.kind != "compaction":
            continue
        if block.data.get("content") or reads(block):
            return at
    return None


def _compacted(block: Block, index: int, at: int, losses: Losses, reads: Callable[[OtherBlock], bool]) -> Turn:
    """Returns the turn that a compaction becomes. Lists what it replaces."""
    path = f"messages[{index}].content[{at}]"
    if index:
        losses.hint(f"messages[:{index}]", "the compaction after it has its summary")
    if at:
        losses.hint(f"messages[{index}].content[:{at}]", "the compaction after it has its summary")
    if isinstance(block, OtherBlock) and reads(block):
        return Turn("assistant", index, [(path, block)])
    return Turn("user", index, [_summary(block, path, losses)])


def _summary(block: Block, path: str, losses: Losses) -> Placed:
    data: dict[str, Any] = block.data if isinstance(block, OtherBlock) else {}
    for name, value in data.items():
        if name in ("signature", "encrypted_content") and value is not None:
            losses.hint(f"{path}.{name}", "only Anthropic can read it; the summary goes along as text")
        elif name == "tool_changes" and value:
            losses.drop(f"{path}.{name}", "every tool is offered from the start")
        elif name not in ("type", "content", "cache_control", "signature", "encrypted_content", "tool_changes"):
            losses.unknown(f"{path}.{name}")
    return path, TextBlock(str(data["content"]), data.get("cache_control"))


class OpenCalls:
    """The tool calls of the last assistant turn. Each waits for one result in the next turn."""

    def __init__(self) -> None:
        self._open: dict[str, str] = {}  # the client's ids, and the upstream's
        self._at = 0  # the message with the calls

    def add(self, block: ToolUseBlock, path: str, sent: str) -> None:
        """Adds a call; `sent` is its id at the upstream.

        Raises InvalidRequestError for an id used twice in the turn. A later turn may reuse it, as at Anthropic.
        """
        if block.id in self._open:
            raise InvalidRequestError(f"{dotted(path)}: `tool_use` ids must be unique")
        self._open[block.id] = sent

    def made_at(self, message: int) -> None:
        """Notes the first message of the turn with the calls."""
        self._at = message

    def check_result(self, block: ToolResultBlock, path: str, answered: Collection[str]) -> str:
        """Returns the upstream's id of the call that a result answers.

        Raises InvalidRequestError for a second result of a call, and for a result without a call.
        """
        if block.tool_use_id in answered:
            raise InvalidRequestError(
                f"{dotted(path)}: each tool_use must have a single result. "
                f"Found multiple `tool_result` blocks with id: {block.tool_use_id[:60]}"
            )
        if block.tool_use_id not in self._open:
            raise InvalidRequestError(
                f"{dotted(path)}: unexpected `tool_use_id` found in `tool_result` blocks: "
                f"{block.tool_use_id[:60]}. Each `tool_result` block must have a corresponding `tool_use` "
                "block in the previous message."
            )
        return self._open[block.tool_use_id]

    def expect_results(self, answered: Collection[str] = ()) -> None:
        """Raises InvalidRequestError if a call has no result yet."""
        if all(map(answered.__contains__, self._open)):
            return
        missing = [id for id in self._open if id not in answered]
        ids = ", ".join(id[:60] for id in islice(missing, 5))
        raise InvalidRequestError(
            f"messages.{self._at}: `tool_use` ids were found without `tool_result` blocks "
            f"immediately after: {ids}. Each `tool_use` block must have a corresponding `tool_result` "
            "block in the next message."
        )

    def close(self) -> list[str]:
        """Returns the client's ids of the calls in order, and forgets them."""
        if not self._open:
            return []
        ids, self._open = list(self._open), {}
        return ids


# Blocks that only Anthropic understands

_SERVER_SIDE = ("server_tool_use", "mcp_tool_use", "mcp_tool_listing", "fallback", "compaction")
TOOL_CHANGES = ("tool_addition", "tool_removal")
"""Blocks that add or remove tools in the middle of a conversation."""


def ran_at_anthropic(kind: str) -> bool:
    """True if a block of this type reports a tool that ran at Anthropic."""
    return kind in _SERVER_SIDE or kind.endswith("_tool_result")


def kind_of(block: Block) -> str:
    """Returns the wire type of a block."""
    return block.kind[:60] if isinstance(block, OtherBlock) else str(block.__struct_config__.tag)
