"""The turns of a conversation as items. No item has an id: without a store, an id finds nothing."""

from typing import Any

import msgspec

from nexusflow_core.dialects.openai_responses.cache_markers import CacheMarkers
from nexusflow_core.dialects.openai_responses.context import ResponsesTranslation
from nexusflow_core.dialects.openai_responses.parts import ResponsesParts
from nexusflow_core.dialects.openai_responses.reasoning import carried_item, reasoning_item
from nexusflow_core.errors import InvalidRequestError
from nexusflow_core.messages import (
    OtherBlock,
    RedactedThinkingBlock,
    TextBlock,
    ThinkingBlock,
    ToolResultBlock,
    ToolUseBlock,
)
from nexusflow_core.translation.cache_markers import is_billing
from nexusflow_core.translation.documents import Part
from nexusflow_core.translation.ids import CallIds, ToolNames
from nexusflow_core.translation.losses import dotted
from nexusflow_core.translation.refusals import drop_own_members
from nexusflow_core.translation.turns import (
    TOOL_CHANGES,
    OpenCalls,
    Placed,
    kind_of,
    ran_at_anthropic,
    turns_of,
)

__all__ = ["Items"]

_PREFILL = (
    "This model does not support assistant message prefill. The conversation must end with a user message."
)


class Items:
    """Translates a request's turns. Raises InvalidRequestError for turns that no upstream would accept."""

    def __init__(self, it: ResponsesTranslation, markers: CacheMarkers) -> None:
        self._request = it.request
        self._vendor = it.vendor
        self._losses = it.losses
        self._thinker = it.thinker
        self._refused = "reasoning" in it.call.without
        self._phased = it.vendor.phased(it.model)
        self._markers = markers
        self._parts = ResponsesParts(it)
        self._ids = CallIds("any", it.call_ids())
        self._calls = OpenCalls()
        self.instructions: str | None = None
        """The system prompt, where it is not the first item."""

    def items(self) -> list[Part]:
        """Returns every item in order. Sets `instructions`."""
        out = self._system()
        before = len(out)
        turns = turns_of(self._request.messages, self._losses, reads=self._reads)
        for turn in turns:
            if turn.role == "user":
                out += self._user(turn.content)
                continue
            self._calls.expect_results()
            if turn.role == "system":
                out += self._system_in_place(turn.content, turn.start)
                continue
            made = self._assistant(turn.content, turn.start)
            self._markers.pass_over(turn.content)
            if made and turn is turns[-1]:
                self._calls.expect_results()
                raise InvalidRequestError(_PREFILL)
            out += made
        self._markers.close()
        if all(item.get("role") == self._vendor.system_role for item in out[before:]):
            raise InvalidRequestError("messages.0: all messages must have non-empty content")
        return out

    def _system(self) -> list[Part]:
        parts: list[Part] = []
        for index, block in enumerate(self._request.system):
            drop_own_members(block, f"system[{index}]", self._losses)
            if block.text and not is_billing(block):
                parts += self._markers.on([self._parts.text(block.text)], f"system[{index}]")
        if not parts:
            return []
        if self._markers.active or not self._vendor.instructions:  # `instructions` take no breakpoint
            return [_message(self._vendor.system_role, parts)]
        self.instructions = "\n\n".join(part["text"] for part in parts)
        return []

    def _system_in_place(self, blocks: list[Placed], start: int) -> list[Part]:
        parts: list[Part] = []
        for path, block in blocks:
            if isinstance(block, OtherBlock) and block.kind in TOOL_CHANGES:
                self._losses.drop(path, "every tool is offered from the start")
                continue
            if not isinstance(block, TextBlock):
                raise InvalidRequestError(f"{dotted(path)}: a system message takes text only")
            parts += self._markers.on(self._parts.of_user(block, path), path)
        if not parts:
            return []
        if self._vendor.system_anywhere:
            return [_message(self._vendor.system_role, parts)]
        self._losses.drop(f"messages[{start}].role", "sent as a user's turn")
        text = "\n\n".join(part["text"] for part in parts)
        return [_message("user", [{**parts[-1], "text": f"<system>{text}</system>"}])]

    # The user's turns

    def _user(self, blocks: list[Placed]) -> list[Part]:
        results: dict[str, Part] = {}
        rest: list[Part] = []
        hoisted: list[Part] = []
        for path, block in blocks:
            if isinstance(block, ToolResultBlock):
                self._calls.check_result(block, path, results)
                if rest:  # as Anthropic sees it, what comes after other content answers nothing
                    self._calls.expect_results(results)
                results[block.tool_use_id] = self._output(block, path, hoisted)
            else:
                rest += self._markers.on(self._parts.of_user(block, path), path)
        self._calls.expect_results(results)
        ordered = [results[id] for id in self._calls.close()]
        content = hoisted + rest
        if not content:
            return ordered
        bridge = [_message("assistant", "Understood.")] if ordered and self._parts.bridged else []
        return [*ordered, *bridge, _message("user", content)]

    def _output(self, block: ToolResultBlock, path: str, hoisted: list[Part]) -> Part:
        call = self._calls.sent(block.tool_use_id)
        content = self._parts.of_result(block, path, call, hoisted)
        if self._markers.active and content:  # the same form whether or not this one is marked
            parts = [self._parts.text(content)] if isinstance(content, str) else content
            content = self._markers.on(parts, path)
        return {"type": "function_call_output", "call_id": call, "output": content}

    # The assistant's turns

    def _assistant(self, blocks: list[Placed], start: int) -> list[Part]:
        out: list[Part] = []
        led: list[tuple[str, Part]] = []  # reasoning, before the item that it led to
        searches = self._searches(blocks)
        for path, block in blocks:
            if isinstance(block, OtherBlock) and block.data.get("id") in searches:
                continue  # the item is in the search's result
            if isinstance(block, ThinkingBlock | RedactedThinkingBlock):
                item = self._reasoning(block, path)
                led += [(path, item)] if item is not None else []
                continue
            item = self._item(block, path)
            if item is None:
                self._drop_led(led)
            else:
                out += [*(reasoning for _, reasoning in led), item]
            led = []
        self._drop_led(led)
        if any(isinstance(block, ToolUseBlock) for _, block in blocks):
            self._calls.made_at(start)
        return _phased(out) if self._phased else out

    def _item(self, block: Any, path: str) -> Part | None:
        """Returns the item of a block; None where it is dropped."""
        if isinstance(block, TextBlock):
            drop_own_members(block, path, self._losses)
            return _message("assistant", block.text) if block.text else None
        if isinstance(block, ToolUseBlock):
            name = ToolNames.sent(block.name)
            self._calls.add(block, path, self._ids.sent(block.id, name))
            drop_own_members(block, path, self._losses)
            arguments = msgspec.json.encode(block.input).decode()
            call = self._calls.sent(block.id)
            return {"type": "function_call", "call_id": call, "name": name, "arguments": arguments}
        if isinstance(block, OtherBlock) and ran_at_anthropic(block.kind):
            item = carried_item(block, self._thinker)
            if item is None:
                self._losses.drop(path, "what a server tool did is known to Anthropic only")
            return item
        raise InvalidRequestError(f"{dotted(path)}: a {kind_of(block)!r} block cannot be sent to this upstream")

    def _reasoning(self, block: ThinkingBlock | RedactedThinkingBlock, path: str) -> Part | None:
        if self._refused:
            self._losses.drop(path, "the upstream refused it")
            return None
        if self._vendor.replay:
            return reasoning_item(block, path, self._thinker, self._losses)
        self._losses.drop(path, "this upstream takes no thinking of earlier turns")
        return None

    def _drop_led(self, led: list[tuple[str, Part]]) -> None:
        """Lists reasoning that leads to nothing: the vendor refuses it."""
        for path, _ in led:
            self._losses.drop(path, "the item that this thinking led to is not there")

    def _searches(self, blocks: list[Placed]) -> set[Any]:
        """Returns the ids of searches that the vendor gets back."""
        others = [block for _, block in blocks if isinstance(block, OtherBlock)]
        return {block.data.get("tool_use_id") for block in others if self._reads(block)} - {None}

    def _reads(self, block: OtherBlock) -> bool:
        return carried_item(block, self._thinker) is not None


def _message(role: str, content: str | list[Part]) -> Part:
    return {"type": "message", "role": role, "content": content}


def _phased(items: list[Part]) -> list[Part]:
    """Marks messages as the model did: the last one is the answer, unless calls make all of them commentary."""
    messages = [item for item in items if item["type"] == "message"]
    for message in messages:
        message["phase"] = "commentary"
    if messages and not any(item["type"] == "function_call" for item in items):
        messages[-1]["phase"] = "final_answer"
    return items
