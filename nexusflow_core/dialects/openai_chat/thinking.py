"""Thinking in a vendor's fields: asks for it, and sends earlier reasoning back."""

from collections.abc import Sequence
from typing import Any, Final

from nexusflow_core.dialects.openai_chat.vendors import ChatTranslation
from nexusflow_core.errors import InvalidRequestError
from nexusflow_core.messages import RedactedThinkingBlock, ThinkingBlock, ToolUseBlock
from nexusflow_core.translation.replay import Replay, Thoughts
from nexusflow_core.translation.thinking import Steered, Thinking, Wish, read_wish, steer
from nexusflow_core.translation.turns import Turn

__all__ = ["Recall", "steer_thinking"]

_TOOLS_ONLY: Final = "switched off: with tools, Chat Completions takes this model only without thinking"
_BLANK = " "
_STAND_IN = "skip_thought_signature_validator"
"""Google documents this value for calls made by another model."""


def steer_thinking(translation: ChatTranslation) -> Steered:
    """Adds the vendor's thinking fields to the body, after its tools. Returns how the model will think.

    Raises InvalidRequestError.
    """
    wish, row = read_wish(translation), translation.vendor.thinking_of(translation.model)
    if row is not None and "tools" in translation.body and row.with_tools != "any":
        return _without(translation, row, wish)
    return steer(translation, wish, row, translation.body)


def _without(translation: ChatTranslation, row: Thinking, wish: Wish) -> Steered:
    """Switches thinking off for a model that accepts tools only without it. Returns that fact.

    Raises InvalidRequestError for a model that accepts no tools.
    """
    losses = translation.losses
    if row.with_tools == "never" or row.off is None:
        raise InvalidRequestError(
            f"tools: {translation.model[:100]} takes no tools on Chat Completions; call it through an upstream "
            'with dialect = "openai-responses"'
        )
    if wish.effort is not None:
        losses.drop("output_config.effort", _TOOLS_ONLY)
    if wish.kind not in (None, "disabled"):
        losses.drop("thinking", _TOOLS_ONLY)
    elif wish.kind is None and wish.effort is None and row.by_default:
        losses.hint("thinking", _TOOLS_ONLY)
    translation.body.update(row.off)
    return Steered(off=True, hidden=wish.hidden)


class Recall:
    """Reads marked blocks and adds their reasoning where the vendor expects it.

    `off`: this answer is made without thinking, so earlier reasoning may be missing.
    """

    def __init__(self, translation: ChatTranslation, *, off: bool) -> None:
        vendor = translation.vendor
        self._vendor = vendor
        self._losses = translation.losses
        self._replay = Replay(translation.thinker, vendor.replay is not None, vendor.thought_signatures)
        self._blank = None if off else vendor.replay_blank
        self._blank_always = False
        self._stand_in = vendor.signs_calls(translation.model)
        self._stood_in = False

    def begin(self, turns: Sequence[Turn]) -> None:
        """Takes the turns that will be sent. A compaction may have shortened them."""
        self._blank_always = self._blank == "history" and _has_calls(turns)

    def read(self, block: ThinkingBlock | RedactedThinkingBlock, path: str, thoughts: Thoughts) -> None:
        """Adds a block's reasoning. Drops a block of another model, or an unreadable one."""
        self._replay.read(block, path, thoughts, self._losses)

    def put(self, thoughts: Thoughts, message: dict[str, Any], path: str) -> None:
        """Adds the reasoning to an assistant message."""
        replay = self._vendor.replay
        if replay is None:
            return
        text = "".join(thoughts.texts)
        if replay == "reasoning_details" and (thoughts.details or text):
            message[replay] = thoughts.details or [{"type": "reasoning.text", "text": text}]
        elif replay == "parts" and text:
            thinking = {"type": "thinking", "thinking": [{"type": "text", "text": text}]}
            rest = [{"type": "text", "text": message["content"]}] if message.get("content") else []
            message["content"] = [thinking, *rest]
        elif replay in ("reasoning_content", "reasoning"):
            if not text and (self._blank_always or (self._blank is not None and "tool_calls" in message)):
                text = _BLANK
                self._losses.hint(f"{path}.thinking", "not known any more, and sent blank")
            if text:
                message[replay] = text

    def sign(
        self,
        blocks: Sequence[ToolUseBlock],
        calls: Sequence[dict[str, Any]],
        thoughts: Thoughts,
        path: str,
    ) -> None:
        """Adds the signatures that this turn's calls must carry.

        If the vendor requires one and it is unknown, the first call gets a stand-in.
        """
        if not self._stand_in and not thoughts.signatures:
            return
        for block, call in zip(blocks, calls, strict=True):
            signature = thoughts.signatures.get(block.id)
            if signature is None and self._stand_in and call is calls[0]:
                signature = _STAND_IN
                if not self._stood_in:
                    self._losses.hint(
                        f"{path}.thinking", "its signatures are not known here; a stand-in is sent"
                    )
                self._stood_in = True
            if signature is not None:
                call["extra_content"] = {"google": {"thought_signature": signature}}


def _has_calls(turns: Sequence[Turn]) -> bool:
    return any(isinstance(block, ToolUseBlock) for turn in turns for _, block in turn.content)
