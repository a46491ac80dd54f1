"""TurnTranslator: translates the turns of a request in order, and pairs calls with results.

Each dialect has a subclass, which makes the messages.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Protocol

import msgspec

from nexusflow_core.errors import InvalidRequestError
from nexusflow_core.messages import Block, OtherBlock, TextBlock, ToolResultBlock, ToolUseBlock
from nexusflow_core.translation.cache_markers import is_billing
from nexusflow_core.translation.context import Translation
from nexusflow_core.translation.documents import Part
from nexusflow_core.translation.ids import CallIds, ToolNames
from nexusflow_core.translation.losses import dotted
from nexusflow_core.translation.parts import Parts
from nexusflow_core.translation.refusals import drop_own_members
from nexusflow_core.translation.turns import (
    TOOL_CHANGES,
    OpenCalls,
    Placed,
    Turn,
    kind_of,
    ran_at_anthropic,
    turns_of,
)

__all__ = ["Called", "Markers", "TurnTranslator"]

_encode = msgspec.json.Encoder().encode

Called = tuple[str, str, str]
"""A call for the upstream: id, tool name, and arguments as JSON."""


class Markers(Protocol):
    """Puts cache markers on parts, in the order of the conversation."""

    def on(self, parts: list[Part], path: str) -> list[Part]:
        """Returns the parts of the block at `path`, with its marker."""
        ...

    def close(self) -> None:
        """Lists markers that no part carries."""
        ...


class TurnTranslator(ABC):
    """Translates a request's turns. Raises InvalidRequestError for turns that no upstream accepts."""

    def __init__(self, translation: Translation, parts: Parts, markers: Markers, ids: CallIds) -> None:
        self._request = translation.request
        self._losses = translation.losses
        self._parts = parts
        self._markers = markers
        self._ids = ids
        self._calls = OpenCalls()
        self._results_last = False

    # A dialect implements these

    @abstractmethod
    def system(self, parts: list[Part]) -> list[Part]:
        """Returns the messages for the system prompt. `parts` is not empty."""

    @abstractmethod
    def system_in_place(self, text: str, turn: Turn) -> list[Part]:
        """Returns the messages for a system message between other messages."""

    @abstractmethod
    def user(self, parts: list[Part], blocks: Sequence[Placed]) -> Part:
        """Returns the message of a user's turn. Tool results have their own messages."""

    @abstractmethod
    def result(self, call: str, content: str | list[Part], placed: Placed) -> Part:
        """Returns the message with a call's result. `call` is the call's id at the upstream."""

    @abstractmethod
    def assistant(self, turn: Turn) -> list[Part]:
        """Returns the messages for an assistant's turn; [] for a turn without content."""

    def begin(self, turns: Sequence[Turn]) -> None:  # noqa: B027 - most dialects do not need it
        """Takes all turns, before the first is translated."""

    def prefill(self, made: list[Part]) -> None:
        """Handles a prefill: a last assistant turn, `made`, that begins the answer. The default refuses it."""
        raise InvalidRequestError(
            "This model does not support assistant message prefill. "
            "The conversation must end with a user message."
        )

    def reads(self, block: OtherBlock) -> bool:
        """Returns True if the upstream can read this compaction."""
        return False

    def bridge(self) -> list[Part]:
        """Returns messages between results and a user's message. [] unless the upstream requires one."""
        return []

    # The walk

    def translated(self) -> list[Part]:
        """Returns all messages, the system prompt first. Raises InvalidRequestError."""
        head = self._system()
        out: list[Part] = []
        spoken = False
        turns = turns_of(self._request.messages, self._losses, reads=self.reads)
        self.begin(turns)
        for turn in turns:
            if turn.role == "user":
                made = self._user(turn.content)
            else:
                self._calls.expect_results()
                made = self.assistant(turn) if turn.role == "assistant" else self._system_in_place(turn)
                if made and turn.role == "assistant" and turn is turns[-1]:  # an empty turn is no prefill
                    self._calls.expect_results()
                    self.prefill(made)
                self._results_last = self._results_last and not made
            out += made
            spoken = spoken or (bool(made) and turn.role != "system")
        self._markers.close()
        if not spoken:
            raise InvalidRequestError("messages.0: all messages must have non-empty content")
        return head + out

    def estimated(self, size: int) -> int:
        """Returns the estimated tokens of a request of `size` bytes with this conversation."""
        return self._parts.estimated(size)

    def _system(self) -> list[Part]:
        parts: list[Part] = []
        for index, block in enumerate(self._request.system):
            drop_own_members(block, f"system[{index}]", self._losses)
            if block.text and not is_billing(block):
                parts += self._markers.on([self._parts.text(block.text)], f"system[{index}]")
        return self.system(parts) if parts else []

    def _system_in_place(self, turn: Turn) -> list[Part]:
        texts: list[str] = []
        for path, block in turn.content:
            if isinstance(block, OtherBlock) and block.kind in TOOL_CHANGES:
                self._losses.drop(path, "every tool is offered from the start")
                continue
            if not isinstance(block, TextBlock):
                raise InvalidRequestError(f"{dotted(path)}: a system message takes text only")
            drop_own_members(block, path, self._losses)
            texts.append(block.text)
        text = "\n\n".join(filter(None, texts))
        return self.system_in_place(text, turn) if text else []

    def _user(self, blocks: list[Placed]) -> list[Part]:
        results: dict[str, Part] = {}
        rest: list[Part] = []
        hoisted: list[Part] = []
        for path, block in blocks:
            if isinstance(block, ToolResultBlock):
                call = self._calls.check_result(block, path, results)
                if rest:  # for Anthropic, results after other content answer no call
                    self._calls.expect_results(results)
                content = self._parts.of_result(block, path, call, hoisted)
                results[block.tool_use_id] = self.result(call, content, (path, block))
            else:
                rest += self._markers.on(self._parts.of_user(block, path), path)
        self._calls.expect_results(results)
        ordered = [results[id] for id in self._calls.close()]
        self._results_last = self._results_last or bool(ordered)
        content = hoisted + rest if hoisted else rest
        if not content:
            return ordered
        bridge = self.bridge() if self._results_last and self._parts.bridged else []
        self._results_last = False
        return [*ordered, *bridge, self.user(content, blocks)]

    # Blocks of an assistant's turn

    def call(self, block: ToolUseBlock, path: str, turn: Turn) -> Called:
        """Returns a call for the upstream, and expects its result."""
        name = ToolNames.sent(block.name)
        id = self._ids.sent(block.id, name)
        self._calls.add(block, path, id)
        self._calls.made_at(turn.start)
        if block.caller or block.toolset_name:
            drop_own_members(block, path, self._losses)
        return id, name, _encode(block.input).decode()

    def text(self, block: TextBlock, path: str) -> str:
        """Returns a block's text. Lists its citations."""
        if block.citations:
            drop_own_members(block, path, self._losses)
        return block.text

    def other(self, block: Block, path: str) -> None:
        """Lists a block that only Anthropic can read. Raises InvalidRequestError for any other block."""
        if not isinstance(block, OtherBlock) or not ran_at_anthropic(block.kind):
            raise InvalidRequestError(
                f"{dotted(path)}: a {kind_of(block)!r} block cannot be sent to this upstream"
            )
        self._losses.drop(path, "what a server tool did is known to Anthropic only")
