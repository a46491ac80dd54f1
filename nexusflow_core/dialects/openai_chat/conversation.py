"""ChatConversation: translates turns to Chat Completions messages, and their content to parts."""

from collections.abc import Sequence
from typing import Any

from nexusflow_core.dialects.openai_chat.cache_markers import CacheMarkers
from nexusflow_core.dialects.openai_chat.thinking import Recall
from nexusflow_core.dialects.openai_chat.vendors import ChatTranslation, Prefill
from nexusflow_core.errors import InvalidRequestError
from nexusflow_core.messages import RedactedThinkingBlock, TextBlock, ThinkingBlock, ToolUseBlock
from nexusflow_core.translation.conversation import Called, TurnTranslator
from nexusflow_core.translation.documents import Part
from nexusflow_core.translation.ids import CallIds
from nexusflow_core.translation.parts import Parts
from nexusflow_core.translation.replay import Thoughts
from nexusflow_core.translation.turns import Placed, Turn
from nexusflow_core.untyped import is_list, object_of

__all__ = ["ChatConversation"]


class ChatParts(Parts):
    """Makes parts for one Chat Completions vendor."""

    text_type = "text"
    image_type = "image_url"

    def __init__(self, translation: ChatTranslation) -> None:
        super().__init__(translation.vendor, translation.losses, translation.options)
        self._string_content = translation.vendor.string_content

    def image(self, url: str) -> Part:
        return {"type": "image_url", "image_url": {"url": url}}

    def pdf(self, url: str, title: str | None) -> Part:
        return {"type": "file", "file": {"filename": "document.pdf", "file_data": url}}

    def content(self, parts: list[Part]) -> str | list[Part]:
        """Returns parts as the content of a message: a string where they are text, and may be one."""
        if len(parts) == 1:
            return parts[0]["text"] if parts[0]["type"] == "text" else parts
        if self._string_content:
            texts: list[str] = [part["text"] for part in parts if part["type"] == "text"]
            if len(texts) == len(parts):
                return "\n\n".join(texts)
        return parts


class ChatConversation(TurnTranslator):
    """Translates a request's turns to messages, the system prompt first."""

    def __init__(
        self, translation: ChatTranslation, *, markers: CacheMarkers, recall: Recall, ids: CallIds
    ) -> None:
        self._own_parts = ChatParts(translation)
        super().__init__(translation, self._own_parts, markers, ids)
        self._own_markers = markers
        self._vendor = translation.vendor
        self._recall = recall
        self.begun: str | None = None
        """The client's beginning of the answer, if the last turn is one."""
        self.continued = Prefill()
        """The members that continue such an answer; empty if there is none."""

    def begin(self, turns: Sequence[Turn]) -> None:
        self._recall.begin(turns)

    def prefill(self, made: list[Part]) -> None:
        prefill = self._vendor.prefill
        if prefill is None:
            super().prefill(made)
            return
        for message in made:
            text = _last_text(message.get("content"))
            if text != text.rstrip():
                raise InvalidRequestError(
                    "messages: final assistant content cannot end with trailing whitespace"
                )
            message.update(prefill.message)
            self.begun, self.continued = text, prefill

    def system(self, parts: list[Part]) -> list[Part]:
        return [{"role": "system", "content": self._own_markers.text(parts)}]

    def system_in_place(self, text: str, turn: Turn) -> list[Part]:
        return [self._own_markers.on_message({"role": "system", "content": text}, turn.content)]

    def user(self, parts: list[Part], blocks: Sequence[Placed]) -> Part:
        if not self._own_markers.active:
            return {"role": "user", "content": self._own_parts.content(parts)}
        self._own_markers.on_rest(parts, blocks)
        return {"role": "user", "content": parts}

    def result(self, call: str, content: str | list[Part], placed: Placed) -> Part:
        message = {"role": "tool", "tool_call_id": call, "content": content}
        return self._own_markers.on_message(message, [placed])

    def bridge(self) -> list[Part]:
        return [{"role": "assistant", "content": "Understood."}]

    def assistant(self, turn: Turn) -> list[Part]:
        texts: list[str] = []
        blocks: list[ToolUseBlock] = []
        calls: list[Part] = []
        thoughts = _NO_THOUGHTS
        for path, block in turn.content:
            if isinstance(block, TextBlock):
                texts.append(self.text(block, path))
            elif isinstance(block, ToolUseBlock):
                blocks.append(block)
                calls.append(_call(self.call(block, path, turn)))
            elif isinstance(block, (ThinkingBlock, RedactedThinkingBlock)):
                thoughts = Thoughts() if thoughts is _NO_THOUGHTS else thoughts
                self._recall.read(block, path, thoughts)
            else:
                self.other(block, path)
        text = "".join(texts)
        if not text and not calls:
            for path in thoughts.paths:
                self._losses.drop(path, "this upstream takes no turn of thinking alone")
            return []
        message: Part = {"role": "assistant"}
        if text or self._vendor.null_content:
            message["content"] = text or None
        if calls:
            message["tool_calls"] = calls
            self._recall.sign(blocks, calls, thoughts, f"messages[{turn.start}]")
        self._recall.put(thoughts, message, f"messages[{turn.start}]")
        return [self._own_markers.on_message(message, turn.content)]


_NO_THOUGHTS = Thoughts()
"""For turns without thinking: nothing is added to it."""


def _call(called: Called) -> Part:
    id, name, arguments = called
    return {"id": id, "type": "function", "function": {"name": name, "arguments": arguments}}


def _last_text(content: Any) -> str:
    if is_list(content):
        return str(object_of(content[-1]).get("text", "")) if content else ""
    return content or ""
