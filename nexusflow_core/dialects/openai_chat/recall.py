"""Reasoning of earlier turns, given back to the vendor that thought it."""

from collections.abc import Sequence
from typing import Any

from msgspec import Struct, field

from nexusflow_core.dialects.openai_chat.vendors import Vendor
from nexusflow_core.messages import RedactedThinkingBlock, ThinkingBlock, ToolUseBlock
from nexusflow_core.messages.marks import Mark, read_mark
from nexusflow_core.translation.losses import Losses
from nexusflow_core.translation.turns import Turn
from nexusflow_core.untyped import is_list, object_of

__all__ = ["Recall", "Thoughts"]

_BLANK = " "
_STAND_IN = "skip_thought_signature_validator"
"""Google documents it for calls that another model made."""


class Thoughts(Struct):
    """The reasoning of one assistant's turn, as far as it is this vendor's."""

    texts: list[str] = field(default_factory=list[str])
    details: list[Any] = field(default_factory=list[Any])
    signatures: dict[str, Any] = field(default_factory=dict[str, Any])
    paths: list[str] = field(default_factory=list[str])
    """Of the blocks that it was read from."""


class Recall:
    """Reads marked blocks and puts what they hold where the vendor wants it.

    `thinker`: whose marks count. `off`: this answer is made without thinking, so that none must be shown.
    """

    def __init__(self, vendor: Vendor, thinker: str, model: str, *, off: bool) -> None:
        self._vendor = vendor
        self._thinker = thinker
        self._blank = None if off else vendor.replay_blank
        self._blank_always = False
        self._stand_in = vendor.signs_calls(model)
        self._stood_in = False

    def begin(self, turns: Sequence[Turn]) -> None:
        """The turns that will be sent, which a compaction may have shortened."""
        self._blank_always = self._blank == "history" and _has_calls(turns)

    def read(
        self, block: ThinkingBlock | RedactedThinkingBlock, path: str, thoughts: Thoughts, losses: Losses
    ) -> None:
        """Takes a block's reasoning; names the block where it is another's, or nobody's any more."""
        sign = block.signature if isinstance(block, ThinkingBlock) else block.data
        mark = read_mark(sign)
        if mark is None or mark.vendor != self._thinker:
            losses.drop(path, "thinking of another model is not shown to this upstream")
        elif mark.kind == "signatures" and self._vendor.thought_signatures:
            thoughts.signatures.update(object_of(mark.payload))
            thoughts.paths.append(path)
        elif self._vendor.replay is None:
            losses.drop(path, "this upstream takes no thinking of earlier turns")
        else:
            text = block.thinking if isinstance(block, ThinkingBlock) else ""
            _take(mark, text, thoughts)
            thoughts.paths.append(path)

    def put(self, thoughts: Thoughts, message: dict[str, Any], path: str, losses: Losses) -> None:
        """Adds the reasoning to an assistant's message."""
        replay = self._vendor.replay
        text = "".join(thoughts.texts)
        if replay == "reasoning_details" and (thoughts.details or text):
            message[replay] = thoughts.details or [{"type": "reasoning.text", "text": text}]
        elif replay == "parts" and text:
            thinking = {"type": "thinking", "thinking": [{"type": "text", "text": text}]}
            said = [{"type": "text", "text": message["content"]}] if message.get("content") else []
            message["content"] = [thinking, *said]
        elif replay in ("reasoning_content", "reasoning"):
            if not text and (self._blank_always or (self._blank is not None and "tool_calls" in message)):
                text = _BLANK
                losses.hint(f"{path}.thinking", "not known any more, and sent blank")
            if text:
                message[replay] = text

    def sign(
        self,
        blocks: Sequence[ToolUseBlock],
        calls: Sequence[dict[str, Any]],
        thoughts: Thoughts,
        path: str,
        losses: Losses,
    ) -> None:
        """Adds what the tool calls of one turn, made of these blocks, must carry back. The first one gets a
        stand-in where the vendor refuses it without a signature: another model made it, or it was lost."""
        for block, call in zip(blocks, calls, strict=True):
            signature = thoughts.signatures.get(block.id)
            if signature is None and self._stand_in and call is calls[0]:
                signature = _STAND_IN
                if not self._stood_in:
                    losses.hint(f"{path}.thinking", "its signatures are not known here; a stand-in is sent")
                self._stood_in = True
            if signature is not None:
                call["extra_content"] = {"google": {"thought_signature": signature}}


def _take(mark: Mark, text: str, thoughts: Thoughts) -> None:
    if mark.kind == "details" and is_list(mark.payload):
        thoughts.details += mark.payload
    elif mark.kind == "hidden" and isinstance(mark.payload, str):
        text = mark.payload
    if text:
        thoughts.texts.append(text)


def _has_calls(turns: Sequence[Turn]) -> bool:
    return any(isinstance(block, ToolUseBlock) for turn in turns for _, block in turn.content)
