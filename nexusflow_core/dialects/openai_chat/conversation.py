"""Conversation: translates turns to Chat Completions messages, and their content to parts."""

from typing import Any

import msgspec

from nexusflow_core.dialects.openai_chat.cache_markers import CacheMarkers
from nexusflow_core.dialects.openai_chat.context import ChatTranslation
from nexusflow_core.dialects.openai_chat.thinking import Recall
from nexusflow_core.dialects.openai_chat.vendors import Prefill
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
from nexusflow_core.translation.parts import Parts
from nexusflow_core.translation.refusals import drop_own_members
from nexusflow_core.translation.replay import Thoughts
from nexusflow_core.translation.turns import (
    TOOL_CHANGES,
    OpenCalls,
    Placed,
    kind_of,
    ran_at_anthropic,
    turns_of,
)
from nexusflow_core.untyped import is_list, object_of

__all__ = ["Conversation"]


class ChatParts(Parts):
    """Makes parts for one Chat Completions vendor."""

    text_type = "text"
    image_type = "image_url"

    def __init__(self, it: ChatTranslation) -> None:
        super().__init__(it.vendor, it.losses, it.options)
        self._string_content = it.vendor.string_content

    def image(self, url: str) -> Part:
        return {"type": "image_url", "image_url": {"url": url}}

    def pdf(self, url: str, title: str | None) -> Part:
        return {"type": "file", "file": {"filename": "document.pdf", "file_data": url}}

    def content(self, parts: list[Part]) -> str | list[Part]:
        """Returns parts as the content of a message: a string where they are text, and may be one."""
        only_text = all(map(self.is_text, parts))
        if only_text and (len(parts) == 1 or self._string_content):
            return "\n\n".join(part["text"] for part in parts)
        return parts


class Conversation:
    """Translates a request's turns. Raises InvalidRequestError for turns that no upstream accepts."""

    def __init__(self, it: ChatTranslation, *, markers: CacheMarkers, recall: Recall, ids: CallIds) -> None:
        self._request = it.request
        self._markers = markers
        self._vendor = it.vendor
        self._recall = recall
        self._losses = it.losses
        self._parts = ChatParts(it)
        self._ids = ids
        self._calls = OpenCalls()
        self.begun: str | None = None
        """The client's beginning of the answer, if the last turn is one."""
        self.prefill = Prefill()
        """The members that continue such an answer; empty if there is none."""

    def messages(self) -> list[Part]:
        """Returns all messages, the system prompt first. Raises InvalidRequestError."""
        out = self._system()
        turns = turns_of(self._request.messages, self._losses)
        self._recall.begin(turns)
        for turn in turns:
            if turn.role == "user":
                out += self._user(turn.content)
                continue
            self._calls.expect_results()
            if turn.role == "assistant":
                made = self._assistant(turn.content, turn.start)
            else:
                made = self._system_in_place(turn.content, turn.start)
            made = [self._markers.on_message(message, turn.content) for message in made]
            if made and turn.role == "assistant" and turn is turns[-1]:  # an empty one begins nothing
                self._begin(made)
            out += made
        self._markers.close()
        if not any(message["role"] != "system" for message in out):
            raise InvalidRequestError("messages.0: all messages must have non-empty content")
        return _bridged(out) if self._parts.bridged else out

    def _begin(self, made: list[Part]) -> None:
        """Handles a last turn of the assistant, which begins the answer. Its calls need results first."""
        self._calls.expect_results()
        prefill = self._vendor.prefill
        if prefill is None:
            raise InvalidRequestError(
                "This model does not support assistant message prefill. "
                "The conversation must end with a user message."
            )
        for message in made:
            text = _last_text(message.get("content"))
            if text != text.rstrip():
                raise InvalidRequestError(
                    "messages: final assistant content cannot end with trailing whitespace"
                )
            message.update(prefill.message)
            self.begun, self.prefill = text, prefill

    def _system(self) -> list[Part]:
        texts: list[Part] = []
        for index, block in enumerate(self._request.system):
            drop_own_members(block, f"system[{index}]", self._losses)
            if block.text and not is_billing(block):
                texts += self._markers.on([{"type": "text", "text": block.text}], f"system[{index}]")
        return [{"role": "system", "content": self._markers.text(texts)}] if texts else []

    def _system_in_place(self, blocks: list[Placed], start: int) -> list[Part]:
        texts: list[str] = []
        for path, block in blocks:
            if isinstance(block, OtherBlock) and block.kind in TOOL_CHANGES:
                self._losses.drop(path, "every tool is offered from the start")
                continue
            if not isinstance(block, TextBlock):
                raise InvalidRequestError(f"{dotted(path)}: a system message takes text only")
            drop_own_members(block, path, self._losses)
            texts.append(block.text)
        text = "\n\n".join(filter(None, texts))
        return [{"role": "system", "content": text}] if text else []

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
                results[block.tool_use_id] = self._result(block, path, hoisted)
            else:
                rest += self._markers.on(self._parts.of_user(block, path), path)
        self._calls.expect_results(results)
        ordered = [results[id] for id in self._calls.close()]
        content = hoisted + rest
        if not content:
            return ordered
        self._markers.on_rest(content, blocks)
        kept = content if self._markers.active else self._parts.content(content)
        return [*ordered, {"role": "user", "content": kept}]

    def _result(self, block: ToolResultBlock, path: str, hoisted: list[Part]) -> Part:
        call = self._calls.sent(block.tool_use_id)
        content = self._parts.of_result(block, path, call, hoisted)
        message = {"role": "tool", "tool_call_id": call, "content": content}
        return self._markers.on_message(message, [(path, block)])

    # The assistant's turns

    def _assistant(self, blocks: list[Placed], start: int) -> list[Part]:
        texts: list[str] = []
        calls: list[ToolUseBlock] = []
        thoughts = Thoughts()
        for path, block in blocks:
            if isinstance(block, TextBlock):
                drop_own_members(block, path, self._losses)
                texts.append(block.text)
            elif isinstance(block, ToolUseBlock):
                self._calls.add(block, path, self._ids.sent(block.id, ToolNames.sent(block.name)))
                drop_own_members(block, path, self._losses)
                calls.append(block)
            elif isinstance(block, ThinkingBlock | RedactedThinkingBlock):
                self._recall.read(block, path, thoughts)
            elif isinstance(block, OtherBlock) and ran_at_anthropic(block.kind):
                self._losses.drop(path, "what a server tool did is known to Anthropic only")
            else:
                raise InvalidRequestError(
                    f"{dotted(path)}: a {kind_of(block)!r} block cannot be sent to this upstream"
                )
        text = "".join(texts)
        if not text and not calls:
            for path in thoughts.paths:
                self._losses.drop(path, "this upstream takes no turn of thinking alone")
            return []
        message: Part = {"role": "assistant"}
        if text or self._vendor.null_content:
            message["content"] = text or None
        if calls:
            message["tool_calls"] = [self._call(block) for block in calls]
            self._recall.sign(calls, message["tool_calls"], thoughts, f"messages[{start}]")
            self._calls.made_at(start)
        self._recall.put(thoughts, message, f"messages[{start}]")
        return [message]

    def _call(self, block: ToolUseBlock) -> Part:
        arguments = msgspec.json.encode(block.input).decode()
        function = {"name": ToolNames.sent(block.name), "arguments": arguments}
        return {"id": self._calls.sent(block.id), "type": "function", "function": function}


def _bridged(messages: list[Part]) -> list[Part]:
    """Returns the messages with a short assistant message between a tool's and a user's."""
    out: list[Part] = []
    for message in messages:
        if message["role"] == "user" and out and out[-1]["role"] == "tool":
            out.append({"role": "assistant", "content": "Understood."})
        out.append(message)
    return out


def _last_text(content: Any) -> str:
    if is_list(content):
        return str(object_of(content[-1]).get("text", "")) if content else ""
    return content or ""
